#!/usr/bin/python3
"""The real programs: exporter, Prometheus with these rules, Alertmanager with the example routes."""
import json
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import cases
import generate
import stack
from stack import qe

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 500ms, poll_timeout: 500ms}}
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - {{name: orders, dead_letter: {{queue: orders-dlq, max_receives: 3}}}}
      - {{name: orders-dlq, retention: 14d}}
      - {{name: mails, dead_letter: {{queue: mails-dlq, max_receives: 3}}}}
      - {{name: mails-dlq, retention: 14d}}
objectives:
  - {{match: {{queue: "orders|mails"}}, oldest_message_age: 1m}}
consumers:
  - {{source: local, queue: orders, workers: 4, handler: {{type: simulate, latency_p50: 5ms, latency_p99: 50ms, seed: 1}}}}
  - {{source: local, queue: mails, workers: 2, handler: {{type: simulate, latency_p50: 5ms, latency_p99: 50ms, seed: 2}}}}
"""
RUNBOOKS = "https://wiki.example.net/queues"
GRAFANA = "https://grafana.example.net"


class EndToEnd(stack.Stack):
    def setUp(self):
        super().setUp()
        self.running = self.daemon(config=self.write_config(CONFIG.format(folder=self.folder)))
        self.load = [self.send_for_ever("orders", 10), self.send_for_ever("mails", 3)]

    def send_for_ever(self, queue, rate):
        process = subprocess.Popen(
            [qe.QUEUECTL, f"--config.file={self.running.config}", "send", "local", queue, "--body", "x", "--count", "0",
             "--rate", str(rate)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end_process, process)
        return process

    def poison(self):
        self.queuectl("send", "local", "orders", "--body", "bad", "--attribute", "simulate=reject")

    def wait_page(self, name, since, status="firing", seconds=120):
        def found():
            return [page for page in self.pages(since, status) if page.labels["alertname"] == name]
        try:
            return qe.wait_for(f"{status} {name}", found, seconds)[0]
        except AssertionError as error:
            raise AssertionError(f"{error}; arrived: {self.receiver.notes[since:]}") from None

    def test_poison_pages_the_end_resolves_and_a_dead_exporter_is_one_page(self):
        # Four dead letters from before are no reason to page, nor is a healthy load.
        self.queuectl("send", "local", "orders-dlq", "--body", "old", "--count", "4")
        self.start_stack(self.running.port, f"runbook_base={RUNBOOKS}", f"dashboard_base={GRAFANA}")
        qe.wait_for("dead letters are known and settled", lambda: self.query("queue:dead_letter_messages:growth == 0"), 60)
        qe.wait_for("the reminder", lambda: [note for note in self.receiver.notes if note.receiver == "ticket"], 60)
        self.assertEqual({note.labels["alertname"] for note in self.receiver.notes}, {"QueueDeadLetterQueueNotEmpty"})

        # Poison starts: the page arrives, with the right queue, value and links.
        since = len(self.receiver.notes)
        self.poison()
        page = self.wait_page("QueueDeadLettersGrowing", since)
        self.assertEqual((page.labels["source"], page.labels["queue"], page.labels["severity"], page.labels["job"]),
                         ("local", "orders-dlq", "critical", "queue-exporter"))
        self.assertIn("orders-dlq of source local gained 1 messages within 20s and holds 5. They come from: orders.",
                      page.annotations["description"])
        self.assertEqual(page.annotations["runbook_url"], f"{RUNBOOKS}/QueueDeadLettersGrowing.md")
        self.assertEqual(page.annotations["dashboard_url"],
                         f"{GRAFANA}/d/queue-detail?var-job=queue-exporter&var-source=local&var-queue=orders-dlq")
        self.assertTrue((stack.ALERTS / "runbooks" / page.annotations["runbook_url"].rsplit("/", 1)[1]).is_file())

        # It stops: the page resolves, and nothing else paged.
        self.wait_page("QueueDeadLettersGrowing", since, "resolved")
        self.assertEqual([page.labels["alertname"] for page in self.pages()], ["QueueDeadLettersGrowing"])

        # The next growth pages again; then the exporter is killed: one page, its consequence is silenced.
        since = len(self.receiver.notes)
        self.poison()
        self.wait_page("QueueDeadLettersGrowing", since)
        since = len(self.receiver.notes)
        self.running.signal(signal.SIGKILL)
        self.running.process.wait()
        self.running.process.returncode = 0  # it was we who killed it
        self.wait_page("QueueExporterDown", since)
        inhibited = qe.wait_for("a silenced consequence",
                                lambda: self.alerts().get("QueueDeadLettersGrowing", {}).get("inhibitedBy"), 10)
        self.assertEqual(len(inhibited), 1)
        time.sleep(5)  # several group intervals: what would have come, has
        self.assertEqual([page.labels["alertname"] for page in self.pages(since)], ["QueueExporterDown"])

    def test_an_hour_of_the_real_healthy_series_is_quiet(self):
        """Every series of the page of the healthy exporter, an hour long, compressed by promtool."""
        self.running.wait_value('queue_consumer_messages_processed_total{source="local",queue="orders"}',
                                lambda value: value and value > 20)
        text = self.running.ask("/metrics", Accept=qe.TEXT).text
        types = {name: kind.strip() for name, kind in qe.metadata(text, "TYPE").items()}
        given = [{"series": f'up{{job="queue-exporter",instance="{name}"}}', "values": "1x120"} for name in "ab"]
        for series, value in qe.parse_values(text).items():
            for instance in "ab":
                given.append({"series": with_target(series, instance), "values": hour_of(series, value, types)})
        self.assertGreater(len(given), 500)
        source = generate.load()
        groups = generate.complete(generate.groups_of(source), generate.values_of(source))
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "rules.yml").write_text(json.dumps({"groups": groups}), encoding="utf-8")
            path = pathlib.Path(folder, "test.yml")
            checks = [{"expr": "ALERTS", "eval_time": f"{minute}m", "exp_samples": []} for minute in range(0, 61, 5)]
            checks.append({"expr": "count(queue:messages_ready:max)", "eval_time": "60m",
                           "exp_samples": [{"labels": "{}", "value": 4}]})
            path.write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "30s", "tests": [
                {"interval": "30s", "input_series": given, "promql_expr_test": checks}]}), encoding="utf-8")
            done = subprocess.run(["promtool", "test", "rules", path], text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-3000:])


def with_target(series, instance):
    """The series as Prometheus stores it, scraped from `instance`."""
    name, _, labels = series.partition("{")
    return f'{name}{{job="queue-exporter",instance="{instance}",{labels.rstrip("}")}}}'.replace(",}", "}")


def hour_of(series, value, types):
    """An hour of a healthy series: times go on, counters of work go on, the others stand."""
    name = series.partition("{")[0]
    if name.endswith("_timestamp_seconds"):
        return "0+30x120"
    moves = name.endswith(("_processed_total", "_received_total", "_delivered_total", "_acknowledged_total",
                           "_published_total", "_polls_total"))
    if types.get(name) == "counter" and moves:
        return f"{value:g}+150x120"
    return f"{value:g}x120"


if __name__ == "__main__":
    cases.need("prometheus", "prometheus-alertmanager", "promtool")
    unittest.main()
