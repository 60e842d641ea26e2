#!/usr/bin/python3
"""The 17 rules of Grafana's dashboard-linter, and what the metric reference says of every series and label."""
import re
import unittest

import promql
from boards import boards, catalogue, panels, parsed, queries, reasons, targets

# Of the units that the linter knows, those used here; a new one is looked up there before it is added.
UNITS = {"short", "s", "bytes", "percentunit", "ops", "mps", "reqps", "currencyUSD", "bool_yes_no", "dateTimeFromNow"}
WITH_TEXT = {"stat", "singlestat", "graph", "table", "timeseries", "gauge", "heatmap"}
DATASOURCES = {"$datasource", "${datasource}"}


def variables(board):
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def check_template_datasource(board):
    found = variables(board).get("datasource", {})
    if (found.get("type"), found.get("query"), found.get("label")) != ("datasource", "prometheus", "Data source"):
        yield "", "no data source variable"


def check_template_of(name, board):
    found = variables(board).get(name, {})
    wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+", "includeAll": True}
    for key, value in wanted.items():
        if found.get(key) != value:
            yield "", f"{name}: {key} is {found.get(key)}"
    if found.get("datasource", {}).get("uid") not in DATASOURCES:
        yield "", f"{name}: not from the chosen data source"


def check_template_label_promql(board):
    for name, variable in variables(board).items():
        if variable["type"] == "query":
            form = re.fullmatch(r"label_values\((.*),\s*\w+\)", variable["query"])
            if not form:
                yield "", f"{name}: {variable['query']}"
            else:
                parsed(name, form.group(1))


def check_template_on_time_change_reload(board):
    for name, variable in variables(board).items():
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield "", f"{name} is not read again when the time range changes"


def check_uneditable(board):
    if board["editable"] is not False:
        yield "", "editable"


def check_panel_datasource(_, panel):
    if panel["datasource"]["uid"] not in DATASOURCES:
        yield "not from the chosen data source"


def check_panel_title_description(_, panel):
    if panel["type"] in WITH_TEXT and not (panel["title"] and len(panel["description"]) > 10):
        yield "no title or no description"


def check_panel_units(_, panel):
    units = [panel["fieldConfig"]["defaults"].get("unit", "")]
    for override in panel["fieldConfig"]["overrides"]:
        units += [changed["value"] for changed in override["properties"] if changed["id"] == "unit"]
    yield from (f"unit {unit!r}" for unit in units if unit not in UNITS)


def check_panel_no_targets(_, panel):
    if not panel["targets"]:
        yield "no query"


def check_target_promql(_, target):
    parsed("query", target["expr"])
    yield from ()


def check_target_rate_interval(_, target):
    for selector in promql.parse(target["expr"])[0]:
        if selector.inside in ("rate", "irate") and selector.window != "$__rate_interval":
            yield f"{selector.inside} over {selector.window}"


def check_target_of(name, target):
    for selector in promql.parse(target["expr"])[0]:
        if selector.matchers.get(name) != ("=~", f"${name}"):
            yield f'{selector.metric} without {name}=~"${name}"'


def check_target_counter_agg(_, target):
    for selector in promql.parse(target["expr"])[0]:
        if selector.metric.endswith("_total") and selector.inside not in ("rate", "irate", "increase"):
            yield f"{selector.metric} outside rate, irate and increase"


def check_no_loki(_, target):
    if target["datasource"]["type"] != "prometheus":
        yield "not a Prometheus query: the rules for LogQL would apply"


BOARD_RULES = {
    "template-datasource-rule": check_template_datasource,
    "template-job-rule": lambda board: check_template_of("job", board),
    "template-instance-rule": lambda board: check_template_of("instance", board),
    "template-label-promql-rule": check_template_label_promql,
    "template-on-time-change-reload-rule": check_template_on_time_change_reload,
    "uneditable-dashboard": check_uneditable,
}
PANEL_RULES = {
    "panel-datasource-rule": check_panel_datasource,
    "panel-title-description-rule": check_panel_title_description,
    "panel-units-rule": check_panel_units,
    "panel-no-targets-rule": check_panel_no_targets,
}
TARGET_RULES = {
    "target-promql-rule": check_target_promql,
    "target-rate-interval-rule": check_target_rate_interval,
    "target-job-rule": lambda _, target: check_target_of("job", target),
    "target-instance-rule": lambda _, target: check_target_of("instance", target),
    "target-counter-agg-rule": check_target_counter_agg,
    "target-logql-rule": check_no_loki,
    "target-logql-auto-rule": check_no_loki,
}


def breaches():
    """(rule, where, message) of all dashboards."""
    for uid, board in boards().items():
        for rule, check in BOARD_RULES.items():
            yield from ((rule, uid, message) for _, message in check(board))
        for panel in panels(board):
            for rule, check in PANEL_RULES.items():
                yield from ((rule, f"{uid} / {panel['title']}", message) for message in check(board, panel))
    for where, _, panel, target in targets():
        for rule, check in TARGET_RULES.items():
            yield from ((rule, where, message) for message in check(panel, target))


class Linter(unittest.TestCase):
    def test_the_17_rules_hold_or_the_reason_is_written_down(self):
        self.assertEqual(len(BOARD_RULES) + len(PANEL_RULES) + len(TARGET_RULES), 17)
        excused = reasons("lint")
        found = list(breaches())
        self.assertEqual([breach for breach in found if f"{breach[0]} / {breach[1]}" not in excused], [])
        self.assertEqual(set(excused) - {f"{rule} / {where}" for rule, where, _ in found}, set(),
                         "these need no exception any more")
        for where, reason in excused.items():
            self.assertGreater(len(reason), 20, where)

    def test_a_rule_can_be_broken(self):
        selectors = {"expr": "queue_exporter_polls_total", "datasource": {"type": "loki"}}
        for check in ("target-job-rule", "target-instance-rule", "target-counter-agg-rule", "target-logql-rule"):
            self.assertEqual(len(list(TARGET_RULES[check](None, selectors))), 1, check)
        self.assertEqual(len(list(check_target_rate_interval(None, {"expr": "rate(x_total[5m])"}))), 1)
        self.assertRaises(AssertionError, lambda: list(check_target_promql(None, {"expr": "sum(up"})))
        self.assertEqual(len(list(check_template_of("job", {"templating": {"list": []}}))), 6)
        panel = {"type": "stat", "title": "x", "description": "", "targets": [], "datasource": {"uid": "mine"},
                 "fieldConfig": {"defaults": {"unit": "messages"}, "overrides": []}}
        for name, check in PANEL_RULES.items():
            self.assertEqual(len(list(check(None, panel))), 1, name)


class Catalogue(unittest.TestCase):
    def test_every_series_and_label_is_in_the_metric_reference(self):
        self.assertGreater(len(catalogue()), 60)
        wrong = []
        for where, query in queries():
            selectors, labels = parsed(where, query)
            known = set()
            for selector in selectors:
                if selector.metric not in catalogue():
                    wrong.append((where, selector.metric))
                    continue
                theirs = catalogue()[selector.metric][1]
                known |= theirs
                wrong += [(where, selector.metric, label) for label in selector.matchers if label not in theirs]
            wrong += [(where, label) for label in labels - known]
        self.assertEqual(wrong, [])

    def test_every_label_shown_is_in_the_metric_reference(self):
        for where, _, panel, target in targets():
            selectors, _ = parsed(where, target["expr"])
            known = set().union(*(catalogue().get(selector.metric, ("", set()))[1] for selector in selectors))
            shown = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            if panel["type"] == "table":
                renamed = next(step for step in panel["transformations"] if step["id"] == "organize")
                shown |= {field for field in renamed["options"]["renameByName"] if not field.startswith("Value")}
            self.assertEqual(shown - known, set(), where)

    def test_variables_ask_for_labels_that_exist(self):
        for uid, board in boards().items():
            for variable in board["templating"]["list"]:
                if variable["type"] == "query":
                    metric, label = re.fullmatch(r"label_values\((\w+).*,\s*(\w+)\)", variable["query"]).groups()
                    self.assertIn(label, catalogue()[metric][1], (uid, variable["name"]))

    def test_every_metric_is_on_some_dashboard(self):
        def family(series):
            return re.sub(r"_(bucket|sum|count)$", "", series)
        shown = {family(selector.metric) for where, query in queries() for selector in parsed(where, query)[0]}
        self.assertEqual({family(series) for series in catalogue()} - shown, set(reasons("unseen")))

    def test_counters_are_rated_and_gauges_are_not(self):
        for where, query in queries():
            for selector in parsed(where, query)[0]:
                kind = catalogue().get(selector.metric, ("unknown",))[0]
                if selector.inside in ("rate", "irate", "increase"):
                    self.assertEqual(kind, "counter", (where, selector.metric))
                if selector.inside in ("deriv", "delta", "min_over_time", "max_over_time"):
                    self.assertEqual(kind, "gauge", (where, selector.metric))
                if selector.window and not selector.window.startswith("$"):
                    self.assertIn(selector.inside, ("deriv", "min_over_time", "increase"), (where, selector.window))


class Pair(unittest.TestCase):
    def test_no_panel_about_queues_tells_the_two_exporters_of_a_pair_apart(self):
        for where, board, _, target in targets():
            if board["uid"] == "queue-exporter":
                continue
            self.assertNotIn("instance", re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", target["expr"]))),
                             where)


class Names(unittest.TestCase):
    def test_a_choice_is_a_regular_expression_only_where_grafana_escapes_it(self):
        """It does where several may be chosen. Else `a+b` would find nothing, and `a.b` too much."""
        compared = 0
        for where, board, _, target in targets():
            for selector in parsed(where, target["expr"])[0]:
                for label, (sign, value) in selector.matchers.items():
                    variable = variables(board).get(value.lstrip("$"))
                    if variable and value.startswith("$"):
                        escaped = variable["multi"] or variable["includeAll"]
                        self.assertEqual(sign, "=~" if escaped else "=", f"{where}: {label}{sign}{value}")
                        compared += not escaped
        self.assertGreater(compared, 100)


class Steady(unittest.TestCase):
    def test_the_largest_are_chosen_once_and_not_anew_at_each_step(self):
        """topk over time shows another ten at each step: lines that come and go. Bars of what happened may."""
        for where, _, panel, target in targets():
            bare = "topk(" in target["expr"] and "@ end()" not in target["expr"]
            if panel["type"] == "timeseries" and panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "line":
                self.assertFalse(bare, where)


if __name__ == "__main__":
    unittest.main(verbosity=2)
