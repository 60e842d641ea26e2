#!/usr/bin/python3
"""Old names of other exporters: the rules are clean, and every one of them has a value in a test."""
import re
import subprocess
import unittest

import yaml

import cases

MIGRATION = cases.ALERTS / "migration"


class Migration(unittest.TestCase):
    def test_promtool_accepts_the_rules_and_runs_their_tests(self):
        rules = [path for path in sorted(MIGRATION.glob("*.yml")) if not path.name.endswith(".test.yml")]
        self.assertEqual(len(rules), 2)
        for words in (["check", "rules", "--lint=all", "--lint-fatal", *rules],
                      ["test", "rules", *sorted(MIGRATION.glob("*.test.yml"))]):
            done = subprocess.run(["promtool", *words], text=True, capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_old_name_has_a_value_in_a_test(self):
        for path in sorted(MIGRATION.glob("*.test.yml")):
            test = yaml.safe_load(path.read_text(encoding="utf-8"))
            rules = yaml.safe_load((MIGRATION / test["rule_files"][0]).read_text(encoding="utf-8"))
            names = {rule["record"] for rule in cases.rules_in(rules["groups"])}
            tested = {check["expr"] for group in test["tests"] for check in group["promql_expr_test"]
                      if check["exp_samples"]}
            self.assertLessEqual(names, tested, path.name)

    def test_the_readmes_table_has_the_names_that_the_rules_make(self):
        readme = (cases.ROOT / "README.md").read_text(encoding="utf-8")
        table = readme.partition("| `rabbitmq_` | `queue_` |")[2].partition("\n\n")[0]
        named = set()
        for old, new in re.findall(r"^\| (.*?) \| (.*) \|$", table, re.MULTILINE):
            for name in re.findall(r"`(\w[\w{},]*)`", old) if not new.startswith("none") else ():
                head, _, rest = name.partition("{")
                choices, _, tail = rest.partition("}")
                named |= {f"rabbitmq_{head}{choice}{tail}" for choice in choices.split(",")}
        rules = yaml.safe_load((MIGRATION / "kbudde-rabbitmq-exporter.yml").read_text(encoding="utf-8"))
        self.assertEqual(named, {rule["record"] for rule in cases.rules_in(rules["groups"])})

    def test_they_ask_only_for_families_of_the_catalogue(self):
        readme = (cases.ROOT / "README.md").read_text(encoding="utf-8")
        for path in sorted(MIGRATION.glob("*.yml")):
            expressions = re.sub(r"record: \S+", "", path.read_text(encoding="utf-8"))
            for name in set(re.findall(r"(?<![\w\"])queue_(?!name)\w+(?=[ {)\n\[])", expressions)):
                self.assertIn(f"| `{name}` |", readme, path.name)


if __name__ == "__main__":
    cases.need("promtool")
    unittest.main()
