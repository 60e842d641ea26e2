#!/usr/bin/python3
"""Writes everything that is made from source/rules.yml: Prometheus rules, the Kubernetes manifest, the
jsonnet mixin, and the table in the README. See --help, and alerts/README.md for what the source looks like."""
import argparse
import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE / "source" / "rules.yml"
README = HERE.parent / "README.md"
HEAD = "# Made by alerts/generate.py from alerts/source/rules.yml: change that file, and run it again.\n"
PLACEHOLDER = re.compile(r"<([a-z_]+)>")
# Which labels lead from an alert to the variables of a dashboard, and where that dashboard is.
DASHBOARDS = {"queue-detail": ("job", "source", "queue"), "queue-overview": ("job", "source"),
              "queue-exporter": ("job",)}
# Texts that <words> of a rule stand for, beside the parameters.
WORDS = {"the_queue": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source "
                      "{{ $labels.source }}"}
ORDER = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")


class Bad(Exception):
    """The source, or what was asked for, is wrong; the text says where."""


class Literal(str):
    """Text that YAML shows as a block."""


yaml.SafeDumper.add_representer(
    Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def load(path=SOURCE):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def values_of(source, windows="default", changes=()):
    """{parameter: its value}, with `name=value` of `changes` put over them."""
    values = {name: str(row.get(windows, row["default"])) for name, row in source["parameters"].items()}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in values:
            raise Bad(f"--set {change}: not NAME=VALUE with one of {', '.join(values)}")
        values[name] = value
    return values


def filled(text, values, some=False):
    """`text` with each <parameter> replaced; `some`: others may stand in it, and stay."""
    def value(match):
        if some and match.group(1) not in values:
            return match.group(0)
        if match.group(1) not in values:
            raise Bad(f"unknown parameter <{match.group(1)}> in: {text}")
        return values[match.group(1)]
    return PLACEHOLDER.sub(value, text)


def dashboard_url(uid):
    if uid not in DASHBOARDS:
        raise Bad(f"unknown dashboard {uid}")
    variables = "&".join(f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in DASHBOARDS[uid])
    if "queue" in DASHBOARDS[uid]:
        variables += "{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}"
    return f"<dashboard_base>/d/{uid}?{variables}"


def rule_of(row):
    """A rule of the source as Prometheus knows it, its parameters still open."""
    expr = row["expr"].strip()
    if "record" in row:
        return {"record": row["record"], "expr": expr}
    rule = {"alert": row["alert"], "expr": expr,
            **{key: row[key] for key in ("for", "keep_firing_for") if key in row},
            "labels": {"severity": row["severity"]},
            "annotations": {
                "summary": row["summary"], "description": filled(" ".join(row["description"].split()), WORDS, True),
                "runbook_url": f"<runbook_base>/{row['alert']}.md", "dashboard_url": dashboard_url(row["dashboard"])}}
    return rule


def groups_of(source):
    return [{"name": group["name"], "interval": "<evaluation_interval>",
             "rules": [rule_of(row) for row in group["rules"]]} for group in source["groups"]]


def mapped(node, change):
    """A copy of `node` with `change` applied to every text in it."""
    if isinstance(node, dict):
        return {key: mapped(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [mapped(value, change) for value in node]
    return change(node)


def complete(groups, values):
    return mapped(groups, lambda text: filled(text, values))


def dumped(document):
    blocks = mapped(document, lambda text: Literal(text) if isinstance(text, str) and "\n" in text else text)
    return yaml.safe_dump(blocks, sort_keys=False, width=110, allow_unicode=True)


def prometheus_rules(source, values):
    return HEAD + dumped({"groups": complete(groups_of(source), values)})


def kubernetes_rules(source, values):
    return (HEAD + "# The labels must match your Prometheus' ruleSelector: often `release: NAME`.\n" + dumped({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": "queue-exporter", "labels": {"app.kubernetes.io/name": "queue-exporter"}},
        "spec": {"groups": complete(groups_of(source), values)}}))


def mixin(source, values):
    """Every parameter is a field of _config; what is recorded and what alerts are two lists, as mixins have it."""
    def late(text):
        return PLACEHOLDER.sub(lambda match: f"%({match.group(1)})s", text.replace("%", "%%"))

    def lists(kind):
        chosen = [{**group, "rules": [rule for rule in group["rules"] if kind in rule]}
                  for group in groups_of(source)]
        return {"groups": [mapped(group, late) for group in chosen if group["rules"]]}

    def code(node, depth=1):
        pad = "  " * depth
        if isinstance(node, dict):
            rows = [f"{pad}{json.dumps(key)}: {code(value, depth + 1)},\n" for key, value in node.items()]
            return "{\n" + "".join(rows) + "  " * (depth - 1) + "}"
        if isinstance(node, list):
            return "[\n" + "".join(f"{pad}{code(value, depth + 1)},\n" for value in node) + "  " * (depth - 1) + "]"
        return json.dumps(node, ensure_ascii=False) + (" % c" if "%" in node else "")

    return (HEAD.replace("#", "//", 1) + "// local queues = import 'mixin.libsonnet';\n"
            "// (queues { _config+:: { runbook_base: 'https://…' } }).prometheusAlerts\n{\n"
            f"  _config:: {code(values, 2)},\n  local c = self._config,\n"
            f"  prometheusRules:: {code(lists('record'), 2)},\n"
            f"  prometheusAlerts:: {code(lists('alert'), 2)},\n}}\n")


def table(source, values):
    rows = ["| alert | severity | fires when |", "|---|---|---|"]
    for group in source["groups"]:
        for row in group["rules"]:
            if "alert" in row:
                meaning = " ".join(filled(row["when"], values).split()).replace("|", "\\|")
                rows.append(f"| [`{row['alert']}`](alerts/runbooks/{row['alert']}.md) | {row['severity']} | {meaning} |")
    return "\n".join(rows) + "\n"


def parameters_table(source):
    rows = ["| parameter | default | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | `{row['default']}` | {row['meaning']} |" for name, row in source["parameters"].items()]
    return "\n".join(rows) + "\n"


def between(path, name, section):
    """The text of `path` with `section` between the markers of `name`."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    text = path.read_text(encoding="utf-8")
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise Bad(f"{path.name}: no markers {begin.strip()} … {end.strip()}")
    return head + begin + section + end + tail


def made(source, values):
    """{file: its text} of everything that is kept in the tree."""
    return {HERE / "queue.rules.yml": prometheus_rules(source, values),
            HERE / "kubernetes" / "prometheusrule.yml": kubernetes_rules(source, values),
            HERE / "mixin.libsonnet": mixin(source, values),
            HERE / "README.md": between(HERE / "README.md", "parameters", parameters_table(source)),
            README: between(README, "alerts", table(source, values))}


def main(words=None):
    parser = argparse.ArgumentParser(description="Makes the rules, the manifest, the mixin and the README's table.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a made file drifted")
    parser.add_argument("--windows", choices=("default", "short"), default="default",
                        help="short: windows of seconds, for tests and demonstrations (only with --output)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
                        help="another value for a parameter; repeatable (only with --output)")
    parser.add_argument("--format", choices=("prometheus", "kubernetes"), default="prometheus")
    parser.add_argument("--output", metavar="FILE", help="write the rules there, and nothing else; - is stdout")
    asked = parser.parse_args(words)
    if (asked.changes or asked.windows != "default") and not asked.output:
        parser.error("--set and --windows need --output: what is kept in the tree has the defaults")
    source = load()
    values = values_of(source, asked.windows, asked.changes)
    if asked.output:
        text = {"prometheus": prometheus_rules, "kubernetes": kubernetes_rules}[asked.format](source, values)
        if asked.output == "-":
            sys.stdout.write(text)
        else:
            pathlib.Path(asked.output).write_text(text, encoding="utf-8")
        return 0
    drifted = [path for path, text in made(source, values).items()
               if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in drifted:
        if asked.check:
            print(f"{path.relative_to(HERE.parent)}: not what alerts/source/rules.yml makes; run alerts/generate.py")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(made(source, values)[path], encoding="utf-8")
    return 1 if asked.check and drifted else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Bad as error:
        sys.exit(f"generate.py: {error}")
