#!/usr/bin/python3
"""Grafana's own types accept every dashboard, and refuse what is misspelt."""
import copy
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from boards import HERE, ROOT, boards, panels

# Where packaging/quickstart/dashboards.sh puts them.
MODULES = pathlib.Path(os.environ.get("QE_GRAFANA_TYPES") or ROOT / "build" / "grafana-types" / "node_modules")
OPTIONS = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext", "--moduleResolution",
           "bundler", "--pretty", "false"]

if not (MODULES / "typescript").is_dir() or not (MODULES / "@grafana" / "schema").is_dir() or not shutil.which("node"):
    missing = f"no node, or no typescript and @grafana/schema in {MODULES}"
    if os.environ.get("QE_REQUIRE_SERVERS") == "1":
        sys.exit(f"FAILED: {missing}; required here (QE_REQUIRE_SERVERS=1)")
    print(f"skipped: {missing}; packaging/quickstart.sh test fetches them")
    sys.exit(77)


def first(board, kind):
    return next(panel for panel in panels(board) if panel["type"] == kind)


# {what is wrong: how to do it}
MISTAKES = {
    "no schema version": lambda board: board.pop("schemaVersion"),
    "an unknown field of a dashboard": lambda board: board.update(refersh="1m"),
    "a wrong type": lambda board: board.update(refresh=60),
    "an unknown cursor": lambda board: board.update(graphTooltip=3),
    "an unknown kind of panel": lambda board: first(board, "stat").update(type="statt"),
    "a panel without description": lambda board: first(board, "stat").pop("description"),
    "a misspelt option": lambda board: first(board, "timeseries")["options"].update(legends={}),
    "a style that does not exist": lambda board: first(
        board, "timeseries")["fieldConfig"]["defaults"]["custom"].update(drawStyle="lines"),
    "a custom field of another panel": lambda board: first(
        board, "table")["fieldConfig"]["defaults"]["custom"].update(drawStyle="line"),
    "a colour mode that does not exist": lambda board: first(board, "stat")["options"].update(colorMode="values"),
    "an override of what does not exist": lambda board: first(board, "table")["fieldConfig"]["overrides"].append(
        {"matcher": {"id": "byName", "options": "x"}, "properties": [{"id": "custom.widht", "value": 3}]}),
    "a query without a name": lambda board: first(board, "stat")["targets"][0].pop("refId"),
    "a variable that refreshes never enough": lambda board: board["templating"]["list"][1].update(refresh=5),
    "an annotation without colour": lambda board: board["annotations"]["list"][0].pop("iconColor"),
    "a threshold in words": lambda board: first(
        board, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"][0].update(value="0"),
}


class Types(unittest.TestCase):
    def test_grafana_accepts_the_dashboards_and_refuses_mistakes(self):
        texts = {f"good-{uid}": board for uid, board in boards().items()}
        for i, mistake in enumerate(MISTAKES.values()):
            texts[f"bad-{i}"] = copy.deepcopy(boards()["queue-overview"])
            mistake(texts[f"bad-{i}"])
        with tempfile.TemporaryDirectory(prefix="qe-test-") as name:
            folder = pathlib.Path(name)
            (folder / "node_modules").symlink_to(MODULES)
            shutil.copy(HERE / "types" / "dashboard.ts", folder)
            for file, board in texts.items():
                (folder / f"{file}.ts").write_text("import type { Dashboard } from './dashboard';\n"
                                                   f"export const it: Dashboard = {json.dumps(board, indent=1)};\n")
            done = subprocess.run(["node", MODULES / "typescript" / "lib" / "tsc.js", *OPTIONS,
                                   *(f"{file}.ts" for file in texts)], cwd=folder, capture_output=True, text=True)
        errors = re.findall(r"^([\w-]+)\.ts\(.*", done.stdout, re.M)
        self.assertEqual([line for line in done.stdout.splitlines() if line.startswith(("good", "dashboard", "error"))],
                         [], done.stdout[-3000:] + done.stderr)
        passed = [words for i, words in enumerate(MISTAKES) if f"bad-{i}" not in errors]
        self.assertEqual(passed, [], "these mistakes were not noticed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
