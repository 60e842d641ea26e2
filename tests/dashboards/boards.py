"""The dashboards as they are in the tree, and the reasons for what is not as it should be."""
import functools
import json
import pathlib
import re
import sys

import promql

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "dashboards"
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))


@functools.cache
def boards():
    """{uid: dashboard}"""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "json").glob("*.json"))]
    return {board["uid"]: board for board in found}


def panels(board):
    """All but rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets():
    """(where, dashboard, panel, target) of every query of every panel; where is "uid / title / refId"."""
    for uid, board in boards().items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{uid} / {panel['title']} / {target['refId']}", board, panel, target


def queries():
    """(where, query) of panels, variables and annotations."""
    for where, _, _, target in targets():
        yield where, target["expr"]
    for uid, board in boards().items():
        for annotation in board["annotations"]["list"]:
            yield f"{uid} / annotation {annotation['name']}", annotation["expr"]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{uid} / variable {variable['name']}", variable_query(variable)


def variable_query(variable):
    """The query whose labels fill a variable: label_values(QUERY, label)."""
    return re.fullmatch(r"label_values\((.*),\s*(\w+)\)", variable["query"]).group(1)


def reasons(kind):
    """{where: reason} of exceptions.json"""
    return json.loads((HERE / "exceptions.json").read_text(encoding="utf-8"))[kind]


@functools.cache
def catalogue():
    """{series name: (type, its labels)} of the README's metric reference, and what Prometheus adds by itself."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = text[text.index("<!-- begin metric reference -->"):text.index("<!-- end metric reference -->")]
    known = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", text, re.M):
        labels = {"job", "instance", *re.findall(r"`(\w+)`", labels)}
        if kind == "histogram":
            known[f"{name}_bucket"] = ("counter", labels | {"le"})
            known[f"{name}_sum"] = known[f"{name}_count"] = ("counter", labels)
        else:
            known[name] = (kind, labels)
    for name in ("up", "scrape_duration_seconds", "scrape_samples_scraped"):
        known[name] = ("gauge", {"job", "instance"})
    of_alerts = {"alertname", "severity", "job", "instance", "source", "vhost", "queue"}
    known["ALERTS"] = ("gauge", of_alerts | {"alertstate"})
    known["ALERTS_FOR_STATE"] = ("gauge", of_alerts)
    return known


def parsed(where, query):
    try:
        return promql.parse(query)
    except (promql.Unreadable, IndexError, ValueError, StopIteration) as error:
        raise AssertionError(f"{where}: {error}: {query}") from None
