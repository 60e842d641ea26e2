#!/usr/bin/python3
"""Every query of every dashboard against a real Prometheus: that of the demo, and of what it might have been."""
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from boards import boards, parsed, queries, reasons, targets, variable_query
from promql import filled

if not shutil.which("prometheus") or not shutil.which("promtool") or "QE_EXPORTER" not in os.environ:
    print("skipped: prometheus and promtool are not on the PATH, or QE_EXPORTER and QE_QUEUECTL name no programs")
    sys.exit(77)

from demo import JOB, WithDemo, fetch, wait_for  # noqa: E402

RECORDED_SECONDS = 180
CHOICES = {"__rate_interval": "20s", "__interval": "5s", "__range": "40s", "datasource": "x", "job": ".+",
           "instance": ".+", "source": ".+", "vhost": ".*", "queue": ".+"}
QUEUES = ["payments", "imports", "imports-dlq", "audit"]


# What only other brokers have, for one queue or source: {series: [first value, gain per second]}.
ELSEWHERE = {
    'queue_messages_in_flight_limit{source="local",queue="payments"}': [120000, 0],
    'queue_max_length_messages{source="local",queue="payments"}': [100000, 0],
    'queue_max_length_bytes{source="local",queue="payments"}': [1 << 30, 0],
    'queue_exporter_api_billable_requests_total{source="local",service="sqs"}': [1000, 2],
    'queue_exporter_api_cost_dollars_total{source="local",service="sqs"}': [0.0004, 8e-7],
    'queue_exporter_monthly_budget_dollars{source="local"}': [5, 0],
    'queue_exporter_interval_stretch_ratio{source="local",service="sqs"}': [1, 0.01],
    'queue_exporter_clock_skew_seconds{source="local"}': [0.2, 0],
    'queue_dead_letter_pending_messages{source="local",queue="payments"}': [3, 0],
    'queue_is_delay_queue{source="local",queue="payments"}': [1, 0],
    'queue_source_method_info{source="local",method="totals"}': [1, 0],
    'queue_source_node_up{source="local",node="rabbit@a"}': [1, 0],
    'queue_source_node_memory_alarm{source="local",node="rabbit@a"}': [0, 0],
    'queue_source_node_disk_alarm{source="local",node="rabbit@a"}': [0, 0],
    'queue_source_node_partitions{source="local",node="rabbit@a"}': [0, 0],
    'queue_exporter_credentials_expiry_timestamp_seconds{source="local"}': [2e9, 0],
    'queue_exporter_credentials_refresh_failures_total{source="local"}': [0, 0],
}


def choices(board, **changes):
    """What the variables of a dashboard may be set to; Queue shows one queue."""
    one = [{"source": "local", "queue": queue} for queue in QUEUES] if board["uid"] == "queue-detail" else [{}]
    return [{**CHOICES, **chosen, **changes} for chosen in one]


def points(result):
    """Every value of an instant or range result."""
    return [float(value) for series in result for _, value in series.get("values", [series.get("value")])]


def evaluate(port, panel, query, when):
    """As Grafana asks: tables and stats once, the rest over time."""
    if panel["type"] in ("stat", "table"):
        return fetch(port, "query", query=query, time=when)["result"]
    return fetch(port, "query_range", query=query, start=when - 20, end=when, step=5)["result"]


class Syntax(unittest.TestCase):
    def test_promtool_reads_every_query(self):
        rules = ["groups:", "  - name: dashboards", "    rules:"]
        for i, (_, query) in enumerate(queries()):
            rules += [f"      - record: dashboards:query:{i}", "        expr: |", f"          {filled(query, CHOICES)}"]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write("\n".join(rules) + "\n")
            file.flush()
            done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"{(len(rules) - 3) // 3} rules found", done.stdout)


def without(series, *labels):
    return frozenset((key, value) for key, value in series["metric"].items() if key not in labels)


class Executed(WithDemo):
    def test_every_panel_shows_something_and_a_pair_is_not_counted_twice(self):
        port = self.start_demo()
        began = time.time()
        for family in ("poll", "api_request"):
            wait_for(f"{family} failures", lambda family=family: fetch(
                port, "query", query=f"sum(queue_exporter_{family}_failures_total) > 0")["result"], 60)
        wait_for("the alerts fire", lambda: len(fetch(port, "query", query="ALERTS")["result"]) > 1)
        wait_for(f"{RECORDED_SECONDS} s of data", lambda: time.time() - began > RECORDED_SECONDS, 2 * RECORDED_SECONDS)
        when = time.time()
        with self.subTest("panels"):
            self.check_panels(port, when)
        with self.subTest("variables and annotations"):
            self.check_variables(port, when)
        with self.subTest("worlds"):
            self.check_worlds(self.worlds(port, when), when)

    def check_panels(self, port, when):
        excused, wrong = reasons("empty"), []
        for where, board, panel, target in targets():
            found = []
            for chosen in choices(board):
                found += evaluate(port, panel, filled(target["expr"], chosen), when)
            bad = [value for value in points(found) if not math.isfinite(value)]
            if bad:
                wrong.append(f"{where}: not finite: {target['expr']}")
            if not points(found) and where not in excused:
                wrong.append(f"{where}: nothing: {target['expr']}")
            if points(found) and where in excused:
                wrong.append(f"{where}: is listed in exceptions.json and does show something")
        known = {where for where, *_ in targets()}
        wrong += [f"exceptions.json: there is no {where}" for where in excused if where not in known]
        wrong += [f"exceptions.json: no reason for {where}" for where, reason in excused.items() if len(reason) < 20]
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def check_variables(self, port, when):
        for uid, board in boards().items():
            for variable in board["templating"]["list"]:
                if variable["type"] == "query" and variable["name"] != "vhost":  # the demo's broker has none
                    label = re.search(r"(\w+)\)$", variable["query"]).group(1)
                    found = fetch(port, f"label/{label}/values", **{
                        "match[]": filled(variable_query(variable), choices(board)[0]), "start": when - 60, "end": when})
                    self.assertTrue(found, (uid, variable["name"]))
            for annotation in board["annotations"]["list"]:
                found = fetch(port, "query", query=filled(annotation["expr"], CHOICES), time=when)["result"]
                self.assertTrue(found and all(map(math.isfinite, points(found))), (uid, annotation["name"]))

    def worlds(self, port, when):
        """What one exporter told, once more as job `one`; then with a second exporter that sees the same (`pair`) or
        does the same (`both`), with vhosts, without consumers (`bare`), and with what the demo's broker does not have
        (`elsewhere`). The port of a Prometheus that has all of it."""
        recorded = []
        for chosen in (f'{{job="{JOB}", instance="{self.working}"}}', '{__name__=~"ALERTS.*"}'):
            recorded += fetch(port, "query", query=f"{chosen}[{RECORDED_SECONDS + 30}s]", time=when)["result"]
        lines = []

        def write(series, **labels):
            labels = {**series["metric"], **labels}
            name = labels.pop("__name__")
            text = ",".join(f'{key}="{value}"' for key, value in labels.items())
            lines.extend(f"{name}{{{text}}} {value} {stamp}" for stamp, value in series["values"])

        for series in recorded:
            name, labels = series["metric"]["__name__"], series["metric"]
            own = {"instance": "a"} if "instance" in labels else {}
            ours = name.startswith("queue_consumer_")
            vhosts = {label.replace("queue", "vhost"): "/prod" for label in ("queue", "dead_letter_queue")
                      if label in labels}
            write(series, **own, job="one")
            write(series, **own, job="pair")
            if own and not ours:
                write(series, instance="b", job="pair")
            write(series, **own, **vhosts, job="vhosts")
            if not ours:
                write(series, **own, job="bare")
            write(series, **own, job="elsewhere")
            if own:
                write(series, instance="a", job="both")
                write(series, instance="b", job="both")
        for series, (first, gain) in ELSEWHERE.items():
            lines += [f'{series[:-1]},instance="a",job="elsewhere"}} {first + gain * second} {when - 60 + second}'
                      for second in range(60)]
        text = self.folder / "worlds.txt"
        text.write_text("\n".join(lines) + "\n# EOF\n", encoding="utf-8")
        blocks = self.folder / "blocks"
        done = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(blocks)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        config = self.folder / "empty.yml"
        config.write_text("global: {}\n", encoding="utf-8")
        return self.start_prometheus(config, blocks)

    def check_worlds(self, port, when):
        wrong, compared = [], 0
        for where, board, panel, target in targets():
            if board["uid"] == "queue-exporter":
                continue
            consumers = any(selector.metric.startswith("queue_consumer_") for selector in parsed("", target["expr"])[0])
            for chosen in choices(board):
                def seen(job, chosen=chosen):
                    query = filled(target["expr"], {**chosen, "job": job})
                    return {without(series, "job", "vhost", "dead_letter_vhost"): points([series])
                            for series in evaluate(port, panel, query, when)}
                one = seen("one")
                compared += len(one)
                for job in ("pair", "vhosts") + (() if consumers else ("bare",)):
                    if not same(seen(job), one):
                        wrong.append(f"{where} ({chosen['queue']}): {job} is not as one exporter: {target['expr']}")
                if consumers and seen("bare"):
                    wrong.append(f"{where}: something without consumers")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))
        self.assertGreater(compared, 100)
        self.check_what_adds_up(port, when)
        self.check_what_is_elsewhere(port, when)

    def check_what_adds_up(self, port, when):
        """Where both exporters of a pair have consumers, their work is added; shares of it stay."""
        factors = {"Messages handled by consumers": 2, "Share of failures": 1, "Dead letters": 1, "Queues watched": 1}
        for where, board, panel, target in targets():
            if panel["title"] in factors and board["uid"] != "queue-detail":
                factor = factors[panel["title"]]
                one, both = (evaluate(port, panel, filled(target["expr"], {**CHOICES, "job": job}), when)
                             for job in ("one", "both"))
                self.assertTrue(points(one), where)
                for single, double in zip(points(one), points(both), strict=True):
                    self.assertAlmostEqual(double, factor * single, 6, where)


    def check_what_is_elsewhere(self, port, when):
        """A panel that the demo leaves empty does show something where there is something to show."""
        for where, board, panel, target in targets():
            if where in reasons("empty"):
                query = filled(target["expr"], {**choices(board)[0], "job": "elsewhere"})
                found = points(evaluate(port, panel, query, when))
                self.assertTrue(found and all(map(math.isfinite, found)), where)


def same(one, other):
    return one.keys() == other.keys() and all(
        len(one[key]) == len(other[key]) and all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
                                                 for a, b in zip(one[key], other[key])) for key in one)


if __name__ == "__main__":
    unittest.main(verbosity=2)
