#!/usr/bin/python3
"""Each alert has its runbook; what it says to type works."""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

import yaml

import cases
import generate

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "integration"))
import daemon as qe  # noqa: E402  pylint: disable=wrong-import-position

RUNBOOKS = cases.ALERTS / "runbooks"
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
SOURCE = generate.load()
ALERTS = [row["alert"] for group in SOURCE["groups"] for row in group["rules"] if "alert" in row]
RECORDED = {row["record"] for group in SOURCE["groups"] for row in group["rules"] if "record" in row}
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(RUNBOOKS.glob("*.md"))}


def blocks(text, language):
    """The lines of all code blocks of that language."""
    return [line.strip() for block in re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.M | re.S)
            for line in block.splitlines() if line.strip()]


class Runbooks(qe.WithFolder):
    def test_every_alert_has_one_and_no_other_is_there(self):
        self.assertEqual(sorted(TEXTS), sorted(ALERTS))

    def test_each_has_the_four_headings_in_order_with_something_below(self):
        for name, text in TEXTS.items():
            self.assertTrue(text.startswith(f"# {name}\n"), name)
            self.assertEqual(re.findall(r"^## .*$", text, re.M), HEADINGS, name)
            for part in re.split(r"^## .*$", text, flags=re.M)[1:]:
                self.assertGreater(len(part.split()), 3, name)
            self.assertTrue(blocks(text, "promql") and blocks(text, "sh"), f"{name}: no query or no command")

    def test_links_between_them_lead_somewhere(self):
        for name, text in TEXTS.items():
            for target in re.findall(r"\]\(([^)]+)\)", text):
                self.assertTrue((RUNBOOKS / target).is_file(), f"{name}: {target}")

    def test_each_check_of_a_queues_settings_is_explained(self):
        source = (cases.ROOT / "src" / "model" / "derive.c").read_text(encoding="utf-8")
        checks = re.findall(r'"(\w+)"', source.split("s_warning_names[QE_WARN_COUNT] = {")[1].split("}")[0])
        self.assertGreater(len(checks), 7)
        for check in checks:
            self.assertIn(f"`{check}`", TEXTS["QueueConfigurationWarning"])

    def test_promtool_parses_every_query(self):
        rules = [{"record": f"query:{name.lower()}:x{number}", "expr": query}
                 for name, text in TEXTS.items() for number, query in enumerate(blocks(text, "promql"))]
        path = self.folder / "queries.yml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
        done = subprocess.run(["promtool", "check", "rules", path], text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertGreater(len(rules), 2 * len(ALERTS))

    def test_every_series_asked_for_exists(self):
        readme = (cases.ROOT / "README.md").read_text(encoding="utf-8")
        known = set(re.findall(r"^\| `((?:queue|process)_\w+)` \|", readme, re.M))
        for name, text in TEXTS.items():
            for query in blocks(text, "promql"):
                bare = re.sub(r"\{[^}]*\}|\b(by|without) \([^)]*\)", "", query)
                for series in re.findall(r"(?<![:\w])(?:queue|process)_\w+", bare):
                    base = re.sub(r"_(bucket|sum|count)$", "", series)
                    self.assertTrue(series in known or base in known, f"{name}: {series}")
                for series in re.findall(r"\w+:\w+:\w+", bare):
                    self.assertIn(series, RECORDED, name)

    def test_queuectl_accepts_every_command(self):
        config = self.write_config()
        working = self.write_config(extra=qe.CONSUMER, name="working.yml")
        self.queuectl("stats", config=config)  # creates the store
        tried = set()
        for name, text in TEXTS.items():
            for line in blocks(text, "sh"):
                words = shlex.split(line)
                self.assertEqual(words[0], "queuectl", f"{name}: {line}")
                queue = "orders-dlq" if "DeadLetter" in name else "orders"
                self.queuectl("send", "local", queue, "--body", "x", config=config)  # something to look at
                words = [{"SOURCE": "local", "QUEUE": queue}.get(word, word) for word in words[1:]
                         if not word.startswith(">")]
                tried.add(" ".join(words[:2]) if words[0] == "dlq" else words[0])
                worker = self.daemon(config=working) if "--canary" in words else None
                done = self.queuectl(*words, *(["--canary-wait", "1s"] if worker else []), config=config, check=False)
                if worker:
                    tried.add("canary")
                    worker.stop()
                self.assertEqual(done.returncode, 0, f"{name}: {line}: {done.stderr}")
        self.assertLessEqual({"stats", "peek", "dlq list", "dlq inspect", "dlq redrive", "canary", "dlq export",
                              "dlq purge"}, tried)

    def test_a_page_about_dead_letters_leads_to_the_tools_for_them(self):
        for name in ("QueueDeadLettersGrowing", "QueueDeadLetterQueueNotEmpty", "QueueDeadLettersExpiring"):
            commands = "\n".join(blocks(TEXTS[name], "sh"))
            for command in ("dlq list", "dlq inspect"):
                self.assertIn(f"queuectl {command} SOURCE", commands, name)
        commands = blocks(TEXTS["QueueDeadLetterQueueNotEmpty"], "sh")
        order = [next(i for i, line in enumerate(commands) if word in line) for word in
                 ("dlq list", "dlq inspect", "--dry-run", "--canary", "dlq export", "dlq purge")]
        self.assertEqual(order, sorted(order), "look, rehearse, try a few; save, then delete")

    def test_no_page_leaves_those_alone_whose_broker_cannot_peek_or_deletes_what_was_not_seen(self):
        spoken = {row["alert"]: row["description"] for group in SOURCE["groups"] for row in group["rules"]
                  if "alert" in row}
        for name, text in TEXTS.items():
            self.assertNotIn("queuectl peek", spoken[name], name)
            commands = "\n".join(blocks(text, "sh"))
            self.assertNotIn("--ack", commands, name)
            if "queuectl peek" in commands:
                self.assertRegex(text, "Amazon SQS cannot do that: `receive` instead", name)


class Examples(unittest.TestCase):
    """What the two pages for readers show."""

    def test_the_commands_of_the_pages_make_rules(self):
        for page in (cases.ROOT / "README.md", cases.ALERTS / "README.md"):
            text = page.read_text(encoding="utf-8").replace("\\\n", " ")
            commands = re.findall(r"^alerts/generate\.py [^#\n]*", text, re.M)
            self.assertTrue(commands, page)
            for command in commands:
                with tempfile.TemporaryDirectory() as folder:
                    words = [os.path.join(folder, word) if word == "queue.rules.yml" else word
                             for word in shlex.split(command)]
                    done = subprocess.run([sys.executable, "-B", *words], cwd=cases.ROOT, text=True,
                                          capture_output=True, check=False)
                    self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
                    done = subprocess.run(["promtool", "check", "rules", os.path.join(folder, "queue.rules.yml")],
                                          text=True, capture_output=True, check=False)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_weakness_of_existing_rules_has_a_test(self):
        text = (cases.ALERTS / "README.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text.split("## Weaknesses", 1)[1].split("\n## ")[0], re.M)[2:]
        names = {f"{file}: {case['name']}" for file, test in cases.load_all().items() for case in test["cases"]}
        for path in sorted(cases.ROOT.glob("tests/alerts/test_*.py")):
            names |= {f"{path.stem}: {name[5:].replace('_', ' ')}"
                      for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}
        for path in cases.ROOT.glob("tests/unit/*/test_*.c"):
            names |= {f"{path.stem}: {name.replace('_', ' ')}" for name in
                      re.findall(r"cmocka_unit_test\((\w+)\)", path.read_text(encoding="utf-8"))}
        self.assertGreater(len(rows), 60)
        for weakness, tests in rows:
            self.assertGreater(len(weakness.split()), 3)
            found = re.findall(r"`([^`]+)`", tests)
            self.assertTrue(found, f"no test for: {weakness}")
            self.assertEqual([name for name in found if name not in names], [], f"no such test for: {weakness}")


if __name__ == "__main__":
    cases.need("promtool")
    unittest.main()
