"""The compact tests of alerts/tests/ as promtool knows them, with the rules that each needs and no others.

One file per alert:

    alert: QueueX
    labels: {queue: orders}           # of the alert; job, source and its severity are added
    evaluation: 30s                   # how often the rules are evaluated; the default
    series: {depth: 'queue_x{queue="orders"}'}     # short names; job, instance and source are added
    cases:
    - name: what is promised
      kind: fires                     # one of KINDS
      step: 30s                       # between samples; the default
      given: {depth: 0x10 5x40}       # values as promtool writes them; (1x3 2)*5 repeats
      pair: {depth: 0x10 5x40}        # the same from a second exporter
      expect: {4m: none, 12m: firing} # none, pending, firing, quiet (not firing), or a list of {state, labels that differ}
      says: {at: 12m, description: …, dashboard_url: …}   # word by word, with `queue` for the label set

What happens to queues that are well (events.yml) is added for every alert that has no such case of its own; and for
every alert of a queue, that it fires in the right one of two virtual hosts."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALERTS = ROOT / "alerts"
TESTS = ALERTS / "tests"
sys.path.insert(0, str(ALERTS))
sys.dont_write_bytecode = True

LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
EVENTS = yaml.load((pathlib.Path(__file__).parent / "events.yml").read_text(encoding="utf-8"), LOADER)
KINDS = {"fires", "below", "for", "resolves", "missing", "restart", "jitter", "purge", "redrive", "pair", "quiet"}
ADDED = {"job": "queue-exporter", "instance": "a:10019", "source": "s"}
NAME = re.compile(r"[a-z]+:[a-z_]+:[a-z_0-9]+")


def need(*programs):
    """Ends the test as skipped where a program is missing; as failed where none may be (QE_REQUIRE_SERVERS)."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        print(f"skipped: not on the PATH: {', '.join(missing)} (packaging/quickstart.sh test fetches Debian's)")
        sys.exit(1 if os.environ.get("QE_REQUIRE_SERVERS") else 77)


def rules_in(groups):
    return [rule for group in groups for rule in group["rules"]]


def needed(groups, alerts):
    """The rules of `groups` that `alerts` need, themselves included, as one group in the same order."""
    rules = rules_in(groups)
    wanted, names = set(), {rule.get("record"): rule for rule in rules if "record" in rule}
    todo = [rule for rule in rules if rule.get("alert") in alerts]
    while todo:
        rule = todo.pop()
        if id(rule) not in wanted:
            wanted.add(id(rule))
            todo += [names[name] for name in NAME.findall(rule["expr"] + str(rule.get("annotations", "")))
                     if name in names]
    return [{"name": "test", "rules": [rule for rule in rules if id(rule) in wanted]}]


def written_out(values):
    """promtool's notation has no repeated groups: `(1x3 2)*5` is written out."""
    return re.sub(r"\(([^)]*)\)\*(\d+)", lambda match: " ".join([match.group(1)] * int(match.group(2))), str(values))


def series_of(name, test, instance):
    """`name` or the series it is short for, with the labels that it lacks."""
    text = test.get("series", {}).get(name, name)
    metric, _, labels = text.partition("{")
    labels = labels.rstrip("}")
    have = set(re.findall(r"(\w+)=", labels))
    plain = metric.startswith(("process_", "queue_exporter_config", "queue_exporter_build")) or metric == "up"
    added = {key: value for key, value in {**ADDED, "instance": instance}.items()
             if key not in have and not (key == "source" and plain)}
    return metric + "{" + ",".join([labels] * bool(labels) + [f'{key}="{value}"' for key, value in added.items()]) + "}"


def labels_of(test, rule, differ):
    labels = {"job": "queue-exporter", "source": "s", "severity": rule["labels"]["severity"],
              **test.get("labels", {}), **differ}
    return {key: value for key, value in labels.items() if value != "none"}


def expectation(test, case, rule, at, wanted):
    rows = wanted if isinstance(wanted, list) else [] if wanted in ("none", "quiet") else [{"state": wanted}]
    samples = []
    for row in rows:
        labels = labels_of(test, rule, {key: value for key, value in row.items() if key != "state"})
        labels.update(alertname=rule["alert"], alertstate=row["state"])
        text = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        samples.append({"labels": f"ALERTS{{{text}}}", "value": 1})
    state = ',alertstate="firing"' if wanted == "quiet" else ""
    state += ',queue!~"returns.*"' if "world" in case and case["given"] else ""
    # promtool prints the expression of what fails, but not the test it is of.
    return {"expr": f'ALERTS{{alertname="{rule["alert"]}"{state}}} # {case["name"]}', "eval_time": at,
            "exp_samples": samples}


def spoken(test, rule, says, values):
    """An alert that fires, word by word."""
    differ = says.get("labels", {})
    annotations = {"summary": rule["annotations"]["summary"], "description": says["description"],
                   "runbook_url": f"{values['runbook_base']}/{rule['alert']}.md",
                   "dashboard_url": values["dashboard_base"] + says["dashboard_url"]}
    labels = labels_of(test, rule, differ)
    return {"eval_time": says["at"], "alertname": rule["alert"],
            "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}]}


def events_of(test):
    """The cases of events.yml for an alert: each event alone, and beside what makes the alert fire."""
    have = {case["kind"] for case in test["cases"]}
    fires = next(case for case in test["cases"] if case["kind"] == "fires")
    for kind, event in EVENTS["events"].items():
        if kind not in have:
            world = {**EVENTS["world"], **event["series"]}
            yield {"name": f"{event['name']}: that alone is none", "kind": kind, "world": world, "given": {},
                   "expect": {f"{minute}m": "quiet" for minute in range(1, 121)}}
            yield {**{key: value for key, value in fires.items() if key != "says"}, "kind": kind, "world": world,
                   "name": f"{event['name']}, and beside it: {fires['name']}"}


def in_vhost(test, case, vhost):
    """What is given to a case, its queues moved into a virtual host."""
    def moved(series):
        metric, _, labels = series_of(series, test, "a:10019").partition("{")
        for label, theirs in (("queue", "vhost"), ("dead_letter_queue", "dead_letter_vhost")):
            if re.search(rf"(?<!\w){label}=", labels):
                labels = f'{theirs}="{vhost}",{labels}'
        return f"{metric}{{{labels}"
    return {moved(series): values for series, values in case["given"].items()}


def vhosts_of(test):
    """The alert of a queue as on RabbitMQ: it fires in one virtual host, and a queue of the same name in another one,
    which is well, changes nothing."""
    plain = [case for case in test["cases"] if not {"pair", "alert", "override"} & set(case)]
    fires = next((case for case in plain if case["kind"] == "fires"), None)
    well = next((case for case in plain if case["kind"] == "below"), None)
    if "queue" in test.get("labels", {}) and fires and well and fires.get("step") == well.get("step"):
        expect = {at: [{"state": wanted, "vhost": "/a"}] for at, wanted in fires["expect"].items() if wanted == "firing"}
        yield {**{key: value for key, value in fires.items() if key != "says"}, "expect": expect,
               "given": {**in_vhost(test, well, "/b"), **in_vhost(test, fires, "/a")},
               "name": f"in one virtual host of two: {fires['name']}"}


def all_of(test):
    return [*test["cases"], *([*events_of(test), *vhosts_of(test)] if "alert" in test else [])]


def expanded(test, groups, values):
    """[promtool's test group of each case]."""
    rules = {rule["alert"]: rule for rule in rules_in(groups) if "alert" in rule}
    out = []
    for case in all_of(test):
        alert = case.get("alert", test.get("alert"))
        given = {series_of(name, {}, "a:10019"): value for name, value in case.get("world", {}).items()}
        given |= {series_of(name, test, "a:10019"): value for name, value in case["given"].items()}
        given |= {series_of(name, test, "b:10019"): value for name, value in case.get("pair", {}).items()}
        step = case.get("step", "30s")
        group = {"name": case["name"], "interval": step,
                 "input_series": [{"series": series, "values": written_out(value)} for series, value in given.items()],
                 "promql_expr_test": [expectation(test | case.get("override", {}), case, rules[alert], at, wanted)
                                      for at, wanted in case["expect"].items()]}
        if "says" in case:
            group["alert_rule_test"] = [spoken(test, rules[alert], case["says"], values)]
        out.append(group)
    return out


def alerts_of(test):
    return {case.get("alert", test.get("alert")) for case in test["cases"]}


def run(test, groups, values, folder, chosen=None):
    """Runs one compact file (of it only the cases whose numbers are `chosen`), and the events that it lacks, against
    `groups` with promtool; returns None, or what it said."""
    folder = pathlib.Path(folder)
    todo = expanded(test, groups, values)
    # JSON is YAML, and much quicker to write.
    (folder / "rules.yml").write_text(json.dumps({"groups": needed(groups, alerts_of(test))}), encoding="utf-8")
    (folder / "test.yml").write_text(json.dumps({
        "rule_files": ["rules.yml"], "evaluation_interval": test.get("evaluation", "30s"),
        "tests": todo if chosen is None else [todo[number] for number in chosen]}), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", str(folder / "test.yml")], text=True, capture_output=True,
                          check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


def load_all():
    """{file name without end: its compact test}, all text: else 0x100 would be a number."""
    return {path.stem: yaml.load(path.read_text(encoding="utf-8"), LOADER) for path in sorted(TESTS.glob("*.yml"))}


def main(names):
    """By hand: python3 tests/alerts/cases.py [FILE NAME WITHOUT .yml ...]"""
    import generate  # pylint: disable=import-outside-toplevel
    source = generate.load()
    values = generate.values_of(source)
    groups = generate.complete(generate.groups_of(source), values)
    failed = 0
    for name, test in load_all().items():
        if not names or name in names:
            with tempfile.TemporaryDirectory() as folder:
                said = run(test, groups, values, folder)
            print(f"{name}: {'ok' if said is None else said}")
            failed += said is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
