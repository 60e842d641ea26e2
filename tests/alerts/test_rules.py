#!/usr/bin/python3
"""The rules: nothing drifted, promtool accepts them, every alert passes its own tests."""
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

import cases
import generate

SOURCE = generate.load()
VALUES = generate.values_of(SOURCE)
GROUPS = generate.complete(generate.groups_of(SOURCE), VALUES)
ALERTS = {rule["alert"]: rule for rule in cases.rules_in(GROUPS) if "alert" in rule}
TESTS = cases.load_all()


def run(*words, **options):
    return subprocess.run(words, text=True, capture_output=True, check=False, **options)


class Made(unittest.TestCase):
    """What is made from the source."""

    def test_nothing_in_the_tree_drifted_from_the_source(self):
        done = run(sys.executable, "-B", cases.ALERTS / "generate.py", "--check")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_a_drift_is_told(self):
        made = generate.made(SOURCE, {**VALUES, "hold": "4m"})
        same = [path.name for path, text in made.items() if path.read_text(encoding="utf-8") == text]
        self.assertEqual(sorted(same), ["README.md", "README.md"])  # the rules, manifest and mixin differ

    def test_promtool_lints_them_clean_with_both_windows(self):
        with tempfile.TemporaryDirectory() as folder:
            for windows in ("default", "short"):
                path = os.path.join(folder, "rules.yml")
                made = run(sys.executable, "-B", cases.ALERTS / "generate.py", "--windows", windows, "--output", path)
                self.assertEqual(made.returncode, 0, made.stderr)
                done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", path)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_prometheus_manifest_and_mixin_hold_the_same_rules(self):
        rules = yaml.safe_load((cases.ALERTS / "queue.rules.yml").read_text(encoding="utf-8"))["groups"]
        manifest = yaml.safe_load((cases.ALERTS / "kubernetes" / "prometheusrule.yml").read_text(encoding="utf-8"))
        self.assertEqual(manifest["spec"]["groups"], rules)
        self.assertEqual((manifest["apiVersion"], manifest["kind"]),
                         ("monitoring.coreos.com/v1", "PrometheusRule"))
        mixin = self.jsonnet("local m = import 'mixin.libsonnet'; m.prometheusRules.groups + m.prometheusAlerts.groups")
        by_name = lambda rules: {rule.get("record", rule.get("alert")): rule for rule in rules}  # noqa: E731
        self.assertEqual(by_name(cases.rules_in(mixin)), by_name(cases.rules_in(rules)))

    def test_every_parameter_is_a_field_of_the_mixin(self):
        changed = {name: f"new_{name}" for name in VALUES}
        mixin = self.jsonnet("local m = (import 'mixin.libsonnet') { _config+:: " + json.dumps(changed)
                             + " }; m.prometheusRules.groups + m.prometheusAlerts.groups")
        wanted = cases.rules_in(generate.complete(generate.groups_of(SOURCE), changed))
        key = lambda rule: json.dumps(rule, sort_keys=True)  # noqa: E731
        self.assertEqual(sorted(map(key, cases.rules_in(mixin))), sorted(map(key, wanted)))
        text = json.dumps(mixin)
        self.assertEqual([name for name, value in changed.items() if value not in text], [], "unused parameters")

    def jsonnet(self, code):
        done = run("jsonnet", "-J", cases.ALERTS, "-e", code)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_wrong_parameters_are_refused_by_name(self):
        for words in (["--set", "nonsense=1", "--output", "-"], ["--set", "hold", "--output", "-"], ["--set", "hold=1m"]):
            done = run(sys.executable, "-B", cases.ALERTS / "generate.py", *words)
            self.assertNotEqual(done.returncode, 0, words)
            self.assertRegex(done.stderr, "--set", words)


class Shape(unittest.TestCase):
    """What every rule has."""

    def test_recording_rules_are_named_level_metric_operation(self):
        for rule in cases.rules_in(GROUPS):
            if "record" in rule:
                self.assertRegex(rule["record"], r"^(queue|source|job):[a-z][a-z_]+:[a-z][a-z_]+$")

    def test_alerts_have_a_severity_a_sentence_the_numbers_and_both_links(self):
        for name, rule in ALERTS.items():
            with self.subTest(name):
                self.assertRegex(name, r"^Queue[A-Z][A-Za-z]+$")
                self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
                said = rule["annotations"]
                self.assertEqual(set(said), {"summary", "description", "runbook_url", "dashboard_url"})
                self.assertRegex(said["summary"], r"^[A-Z][^{}]*\.$", "a static sentence")
                self.assertRegex(said["description"], r"\$(value|labels)")
                self.assertNotIn("$value", json.dumps(rule["labels"]))
                self.assertTrue(said["runbook_url"].endswith(f"/{name}.md"))

    def test_no_rule_names_a_queue_and_none_drops_the_labels_of_the_target(self):
        for rule in cases.rules_in(GROUPS):
            self.assertNotRegex(rule["expr"], r'(queue|vhost|source)[!=]?[=~]"')
            self.assertNotRegex(rule["expr"], r"\b(by|on|group_left|group_right)\b")

    def test_every_metric_and_label_is_in_the_catalogue(self):
        rows = re.findall(r"^\| `((?:queue|process)_\w+)` \| (\w+) \| ([^|]*) \|",
                          (cases.ROOT / "README.md").read_text(encoding="utf-8"), re.M)
        known = {name: kind for name, kind, _ in rows}
        labels = {label for _, _, text in rows for label in re.findall(r"`(\w+)`", text)}
        labels |= {"le", "job", "exported_service", "exported_node", *VALUES["replicas"].split(", ")}
        self.assertGreater(len(known), 60)
        for rule in cases.rules_in(GROUPS):
            names = set(re.findall(r"(?<![:\w\"])(?:queue|process)_\w+(?!\w*\()", strip_labels(rule["expr"])))
            for name in names:
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertTrue(name in known or known.get(base) == "histogram", f"{name} in {rule}")
            for text in re.findall(r"(?:without|ignoring) \(([^)]*)\)", rule["expr"]):
                self.assertLessEqual({label.strip() for label in text.split(",")}, labels, rule)


def strip_labels(expr):
    """Without label matchers, strings and grouping clauses."""
    return re.sub(r"\{[^}]*\}|\"[^\"]*\"|(?:without|ignoring) \([^)]*\)", "", expr)


class Tested(unittest.TestCase):
    """promtool test rules, for every alert."""

    def test_every_alert_has_a_file_with_every_kind_of_test(self):
        self.assertEqual(set(ALERTS) - set(TESTS), set(), "alerts without tests")
        for name in ALERTS:
            kinds = {case["kind"] for case in cases.all_of(TESTS[name])}
            self.assertLessEqual(kinds, cases.KINDS, name)
            missing = cases.KINDS - {"quiet"} - kinds - (set() if "for" in ALERTS[name] else {"for"})
            self.assertEqual(missing, set(TESTS[name].get("not_applicable", {})) & missing, name)
            self.assertTrue(any("says" in case for case in TESTS[name]["cases"]), f"{name}: its words are not tested")

    def test_a_join_that_forgets_the_virtual_host_is_noticed(self):
        tested = {name for name in ALERTS if list(cases.vhosts_of(TESTS[name]))}
        lack = {name for name in ALERTS if "queue" in TESTS[name].get("labels", {})} - tested
        self.assertEqual(lack, {"QueueDeadLettersUnroutable"})  # its own cases are of virtual hosts
        name = "QueueMessagesTooOld"
        rule = {**ALERTS[name], "expr": ALERTS[name]["expr"].replace("and queue", "and on (queue) queue")}
        groups = [{**group, "rules": [rule if each is ALERTS[name] else each for each in group["rules"]]}
                  for group in GROUPS]
        with tempfile.TemporaryDirectory() as folder:
            said = cases.run(TESTS[name], groups, VALUES, folder)
        self.assertIn("# in one virtual host of two", said or "")

    def test_an_event_that_fires_or_hides_an_alert_is_noticed(self):
        name = "QueueInFlightNearLimit"
        for expr in (ALERTS[name]["expr"].replace("0.8", "-1"),
                     f'({ALERTS[name]["expr"]}) unless on (job) queue_messages_ready{{queue="returns"}}'):
            rule = {**ALERTS[name], "expr": expr}
            groups = [{**group, "rules": [rule if each is ALERTS[name] else each for each in group["rules"]]}
                      for group in GROUPS]
            without = {**TESTS[name], "cases": [case for case in TESTS[name]["cases"] if case["kind"] == "fires"][:1]}
            with tempfile.TemporaryDirectory() as folder:
                said = cases.run(without, groups, VALUES, folder)
            for event in cases.EVENTS["events"].values():
                self.assertIn(f"# {event['name']}", said or "", expr)

    def test_promtool_runs_all_of_them(self):
        with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            def one(name):
                path = os.path.join(folder, name)
                os.mkdir(path)
                return cases.run(TESTS[name], GROUPS, VALUES, path)
            said = dict(zip(TESTS, pool.map(one, TESTS)))
        self.assertEqual({name: text for name, text in said.items() if text is not None}, {})


if __name__ == "__main__":
    cases.need("promtool", "jsonnet")
    unittest.main()
