#!/usr/bin/python3
"""Writes the Grafana dashboards: json/*.json, from overview.py, queue_detail.py and exporter.py.

usage: generate.py [--check | --layout] [--output=FOLDER] [--runbook-base=URL]

exit: 0 done, 1 --check found files that are not what this program writes, 2 wrong usage
"""
import argparse
import json
import pathlib
import sys

import exporter
import overview
import queue_detail

HERE = pathlib.Path(__file__).resolve().parent
RUNBOOKS = "https://runbooks.example.com/queue_exporter"
DASHBOARDS = {"overview.json": overview, "queue.json": queue_detail, "exporter.json": exporter}


def generate(runbook_base=RUNBOOKS):
    """{file name: text}"""
    return {name: json.dumps(module.make(runbook_base.rstrip("/")).json(runbook_base.rstrip("/")), indent=2,
                             ensure_ascii=False) + "\n" for name, module in DASHBOARDS.items()}


def drawing(board, scale=5):
    """The layout as text: one cell of the grid is `scale` characters wide and one line high."""
    panels = board["panels"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels)
    canvas = [[" "] * (24 * scale + 1) for _ in range(height + 1)]
    for panel in sorted(panels, key=lambda panel: panel["type"] == "row"):  # titles of rows over what ends there
        at = panel["gridPos"]
        left, right, upper, lower = at["x"] * scale, (at["x"] + at["w"]) * scale, at["y"], at["y"] + at["h"]
        if panel["type"] == "row":
            canvas[upper][:right] = f"= {panel['title']} ".ljust(right, "=")
            continue
        canvas[upper][left:right] = canvas[lower][left:right] = "-" * (right - left)
        for line in range(upper, lower + 1):
            canvas[line][left] = canvas[line][right] = "|"
        words = (panel["title"], f"{panel['type']}, {panel['fieldConfig']['defaults']['unit']}")
        for line, text in enumerate(words, upper + 1):
            canvas[line][left + 1:right] = f" {text}".ljust(right - left - 1)[:right - left - 1]
    return "\n".join("".join(line).rstrip() for line in canvas)


def main():
    parser = argparse.ArgumentParser(description="Writes the Grafana dashboards.", allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file would change")
    parser.add_argument("--layout", action="store_true", help="write nothing; draw the panels as text")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "json", metavar="FOLDER",
                        help="where to write (default: json/ beside this program)")
    parser.add_argument("--runbook-base", default=RUNBOOKS, metavar="URL",
                        help=f"where the pages of alerts/runbooks/ are served (default {RUNBOOKS})")
    chosen = parser.parse_args()
    made = generate(chosen.runbook_base)
    if chosen.layout:
        for name, text in made.items():
            print(f"{name}\n{drawing(json.loads(text))}\n")
        return 0
    changed = 0
    for name, text in made.items():
        path = chosen.output / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        changed = 1
        if chosen.check:
            print(f"{path} is not what {pathlib.Path(__file__).name} writes; run it", file=sys.stderr)
        else:
            chosen.output.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return changed if chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
