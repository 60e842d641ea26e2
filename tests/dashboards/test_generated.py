#!/usr/bin/python3
"""The JSON is what the source makes of it, its panels have room, and its links lead somewhere."""
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

from boards import FOLDER, ROOT, boards, panels

GENERATE = FOLDER / "generate.py"


def run(*words):
    return subprocess.run([sys.executable, "-B", GENERATE, *words], capture_output=True, text=True)


class Generated(unittest.TestCase):
    def test_the_files_are_what_the_source_makes(self):
        done = run("--check")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_changed_file_is_noticed_and_mended(self):
        with tempfile.TemporaryDirectory(prefix="qe-test-") as folder:
            self.assertEqual(run(f"--output={folder}").returncode, 0)
            self.assertEqual(run("--check", f"--output={folder}").returncode, 0)
            path = pathlib.Path(folder, "queue.json")
            path.write_text(path.read_text().replace('"refresh": "1m"', '"refresh": "1s"'))
            done = run("--check", f"--output={folder}")
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(path), done.stderr)
            self.assertEqual(run(f"--output={folder}").stdout, f"wrote {path}\n")
            self.assertEqual(run("--check", f"--output={folder}").returncode, 0)

    def test_a_forgotten_file_is_noticed(self):
        with tempfile.TemporaryDirectory(prefix="qe-test-") as folder:
            self.assertEqual(run("--check", f"--output={folder}").returncode, 1)

    def test_the_folder_has_no_other_dashboards(self):
        self.assertEqual(sorted(path.name for path in (FOLDER / "json").iterdir()),
                         ["exporter.json", "overview.json", "queue.json"])

    def test_the_runbooks_may_be_elsewhere(self):
        with tempfile.TemporaryDirectory(prefix="qe-test-") as folder:
            self.assertEqual(run(f"--output={folder}", "--runbook-base=https://wiki.example.net/books/").returncode, 0)
            text = pathlib.Path(folder, "overview.json").read_text()
            self.assertIn('"https://wiki.example.net/books/QueueSourceDown.md"', text)
            self.assertNotIn("runbooks.example.com", text)

    def test_every_title_is_in_the_drawing(self):
        drawn = run("--layout").stdout
        for board in boards().values():
            for panel in panels(board):
                self.assertIn(panel["title"][:10], drawn)


class Layout(unittest.TestCase):
    def test_panels_stay_within_24_columns_and_do_not_overlap(self):
        for uid, board in boards().items():
            for panel in board["panels"]:
                at = panel["gridPos"]
                self.assertTrue(0 <= at["x"] and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0,
                                f"{uid}: {panel['title']}: {at}")
            for one, other in itertools.combinations(board["panels"], 2):
                a, b = one["gridPos"], other["gridPos"]
                apart = (a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
                         or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"])
                self.assertTrue(apart, f"{uid}: {one['title']} and {other['title']} overlap")

    def test_every_line_of_panels_is_full(self):
        for uid, board in boards().items():
            filled = {}
            for panel in board["panels"]:
                filled.setdefault(panel["gridPos"]["y"], []).append(panel)
            for line in filled.values():
                self.assertEqual(sum(panel["gridPos"]["w"] for panel in line), 24, [uid, *(p["title"] for p in line)])
                self.assertEqual(len({panel["gridPos"]["h"] for panel in line}), 1, [p["title"] for p in line])

    def test_ids_and_titles_are_unique(self):
        for board in boards().values():
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            titles = [panel["title"] for panel in panels(board)]
            self.assertEqual(len(titles), len(set(titles)))

    def test_uids_are_short_and_fixed(self):
        self.assertEqual(sorted(boards()), ["queue-detail", "queue-exporter", "queue-overview"])


class Links(unittest.TestCase):
    def urls(self):
        for uid, board in boards().items():
            for panel in panels(board):
                for link in panel.get("links", []):
                    yield uid, link["url"]
                for override in panel["fieldConfig"]["overrides"]:
                    for changed in override["properties"]:
                        if changed["id"] == "links":
                            for link in changed["value"]:
                                yield uid, link["url"]

    def test_links_between_dashboards_name_one_that_exists_and_its_variables(self):
        found = 0
        for uid, url in self.urls():
            if not url.startswith("/d/"):
                continue
            found += 1
            target = re.match(r"/d/([\w-]+)\?", url).group(1)
            self.assertIn(target, boards(), url)
            theirs = {variable["name"] for variable in boards()[target]["templating"]["list"]}
            ours = {variable["name"] for variable in boards()[uid]["templating"]["list"]}
            self.assertLessEqual(set(re.findall(r"var-(\w+)=", url)), theirs, url)
            self.assertLessEqual(set(re.findall(r"\$\{(\w+):queryparam\}", url)), theirs & ours, url)
        self.assertGreaterEqual(found, 4)

    def test_every_runbook_exists(self):
        runbooks = ROOT / "alerts" / "runbooks"
        if not runbooks.is_dir() or not list(runbooks.glob("*.md")):
            self.skipTest("alerts/runbooks/ has no pages here")
        named = {url.rsplit("/", 1)[1] for _, url in self.urls() if url.endswith(".md") and "$" not in url}
        self.assertGreaterEqual(len(named), 10)
        self.assertEqual([name for name in sorted(named) if not (runbooks / name).is_file()], [])

    def test_alerts_lead_to_dashboards_and_variables_that_exist(self):
        path = ROOT / "alerts" / "queue.rules.yml"
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        urls = [rule["annotations"]["dashboard_url"] for group in groups for rule in group["rules"] if "alert" in rule]
        self.assertGreater(len(urls), 20)
        for url in urls:
            uid, query = re.search(r"/d/([\w-]+)\?(.*)", url).groups()
            self.assertIn(uid, boards())
            known = {f"var-{variable['name']}" for variable in boards()[uid]["templating"]["list"]}
            self.assertLessEqual(set(re.findall(r"(?:^|&)([\w-]+)=", query)), known, url)

    def test_the_three_find_each_other(self):
        for uid, board in boards().items():
            self.assertIn("queue-exporter", board["tags"], uid)
            self.assertTrue(any(link["type"] == "dashboards" and link["tags"] == ["queue-exporter"] and
                                link["includeVars"] and link["keepTime"] for link in board["links"]), uid)


class Provisioning(unittest.TestCase):
    def test_the_readme_puts_the_files_where_grafana_is_told_to_look(self):
        folder, readme = FOLDER / "provisioning", (FOLDER / "README.md").read_text(encoding="utf-8")
        provider = yaml.safe_load((folder / "dashboards" / "queue-exporter.yml").read_text(encoding="utf-8"))
        self.assertEqual(provider["apiVersion"], 1)
        self.assertIn(f"json/*.json {provider['providers'][0]['options']['path']}/\n", readme)
        source = yaml.safe_load((folder / "datasources" / "queue-exporter.yml").read_text(encoding="utf-8"))
        self.assertEqual((source["apiVersion"], source["datasources"][0]["type"]), (1, "prometheus"))
        for path in folder.rglob("*.yml"):
            target = f"/etc/grafana/provisioning/{path.parent.name}/"
            self.assertIn(f"dashboards/{path.relative_to(FOLDER)} {target}\n", readme)


if __name__ == "__main__":
    unittest.main(verbosity=2)
