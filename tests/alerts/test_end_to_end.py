#!/usr/bin/python3
"""The real programs: the demo, Prometheus with these rules, Alertmanager with the example routes, a receiver."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

import cases
import generate
import stack
from stack import qe

RUNBOOKS = "https://wiki.example.net/queues"
GRAFANA = "https://grafana.example.net"


class EndToEnd(stack.Stack):
    def setUp(self):
        super().setUp()
        os.environ["QE_DEMO_DIR"] = str(self.folder)
        self.addCleanup(os.environ.pop, "QE_DEMO_DIR")
        self.running = self.daemon(config=qe.DEMO)
        # The loads of packaging/quickstart.sh, without those that make dead letters: they come with the test.
        for queue, rate in (("orders", 20), ("imports", 5)):
            self.send_for_ever(queue, rate)

    def send_for_ever(self, queue, rate, *more):
        process = subprocess.Popen(
            [qe.QUEUECTL, f"--config.file={qe.DEMO}", "send", "local", queue, "--body", "x", "--count", "0", "--rate",
             str(rate), *more], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end_process, process)
        return process

    def poison(self):
        return self.send_for_ever("imports", 2, "--attribute", "simulate=reject")

    def wait_page(self, name, since, status="firing", seconds=120):
        def found():
            return [page for page in self.pages(since, status) if page.labels["alertname"] == name]
        try:
            return qe.wait_for(f"{status} {name}", found, seconds)[0]
        except AssertionError as error:
            raise AssertionError(f"{error}; arrived: {self.receiver.notes[since:]}") from None

    def test_poison_pages_the_end_resolves_and_a_dead_exporter_is_one_page(self):
        # Four dead letters from before are no reason to page, nor is a healthy load. The demo polls every 2 s, so a count
        # settles in 10 s.
        self.queuectl("send", "local", "imports-dlq", "--body", "old", "--count", "4", config=qe.DEMO)
        self.start_stack(self.running.port, f"runbook_base={RUNBOOKS}", f"dashboard_base={GRAFANA}", "settle=10s",
                         "growth_hold=10s")
        qe.wait_for("dead letters are known and settled", lambda: self.query("queue:dead_letter_messages:growth == 0"), 60)
        qe.wait_for("the reminder", lambda: [note for note in self.receiver.notes if note.receiver == "ticket"], 60)
        self.assertEqual({note.labels["alertname"] for note in self.receiver.notes}, {"QueueDeadLetterQueueNotEmpty"})

        # Poison starts: the page arrives within two minutes, with the right queue, value and links.
        since = len(self.receiver.notes)
        began = time.monotonic()
        poison = self.poison()
        page = self.wait_page("QueueDeadLettersGrowing", since)
        print(f"poison paged after {time.monotonic() - began:.0f} s", flush=True)
        self.assertEqual((page.labels["source"], page.labels["queue"], page.labels["severity"], page.labels["job"]),
                         ("local", "imports-dlq", "critical", "queue-exporter"))
        said = re.match(r"imports-dlq of source local gained (\d+) messages within 20s and holds (\d+)\. They come from: "
                        r"imports\. Look at them: queuectl dlq inspect local imports-dlq$", page.annotations["description"])
        self.assertTrue(said, page.annotations)
        gained, holds = map(int, said.groups())
        self.assertGreater(gained, 0)
        self.assertGreaterEqual(holds, 4 + gained)
        self.assertEqual(page.annotations["runbook_url"], f"{RUNBOOKS}/QueueDeadLettersGrowing.md")
        self.assertEqual(page.annotations["dashboard_url"],
                         f"{GRAFANA}/d/queue-detail?var-job=queue-exporter&var-source=local&var-queue=imports-dlq")
        self.assertTrue((stack.ALERTS / "runbooks" / page.annotations["runbook_url"].rsplit("/", 1)[1]).is_file())

        # It stops: the page resolves, and nothing else paged.
        self.end_process(poison)
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
                                lambda: self.alerts().get("QueueDeadLetterQueueNotEmpty", {}).get("inhibitedBy"), 10)
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
                           "exp_samples": [{"labels": "{}", "value": 6}]})
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
