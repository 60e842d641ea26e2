#!/usr/bin/python3
"""The real Prometheus scrapes the demo in both formats and answers queries about it."""
import collections
import http.server
import json
import os
import subprocess
import threading
import urllib.parse
import urllib.request

import unittest

from daemon import DEMO, PATIENCE_SECONDS, TEXT, WithFolder, free_port, metadata, wait_for

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: openmetrics
    static_configs: [{{targets: ["127.0.0.1:{direct}"]}}]
  - job_name: text
    static_configs: [{{targets: ["127.0.0.1:{relay}"]}}]
"""


def relay_as_text(port, seen):
    """A relay that asks for the text format, whatever Prometheus asked for. Returns the server."""
    class Relay(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = urllib.request.Request(f"http://127.0.0.1:{port}{self.path}", headers={
                "Accept": TEXT, "Accept-Encoding": self.headers.get("Accept-Encoding", "identity")})
            with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as reply:
                body = reply.read()
                seen.add((reply.headers["Content-Type"], reply.headers.get("Content-Encoding")))
                self.send_response(reply.status)
                for name in ("Content-Type", "Content-Encoding"):
                    if reply.headers.get(name):
                        self.send_header(name, reply.headers[name])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Prometheus(WithFolder):
    def setUp(self):
        super().setUp()
        os.environ["QE_DEMO_DIR"] = str(self.folder)
        self.addCleanup(os.environ.pop, "QE_DEMO_DIR")
        self.running = self.daemon(config=DEMO)
        for words in (["orders"], ["payments"], ["imports", "--attribute", "simulate=reject"]):
            self.queuectl("send", "local", *words, "--body", "x", "--count", "20", config=DEMO)
        self.seen = set()
        relay = relay_as_text(self.running.port, self.seen)
        self.addCleanup(relay.server_close)
        self.addCleanup(relay.shutdown)
        config = self.folder / "prometheus.yml"
        config.write_text(CONFIG.format(direct=self.running.port, relay=relay.server_address[1]), encoding="utf-8")
        self.port = free_port()
        log = open(self.folder / "prometheus.log", "wb")
        self.addCleanup(log.close)
        self.server = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.end_server)
        wait_for("both targets are up", self.both_are_up)

    def end_server(self):
        self.server.terminate()
        try:
            self.server.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()

    def api(self, path, **query):
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query, doseq=True)}"
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as reply:
            return json.load(reply)["data"]

    def both_are_up(self):
        if self.server.poll() is not None:
            raise AssertionError((self.folder / "prometheus.log").read_text())
        try:
            targets = self.api("targets")["activeTargets"]
        except OSError:
            return False
        failed = [target["lastError"] for target in targets if target["lastError"]]
        self.assertEqual(failed, [])
        return len(targets) == 2 and all(target["health"] == "up" for target in targets)

    def query(self, text):
        return self.api("query", query=text)["result"]

    def test_it_scrapes_both_formats_and_answers_for_every_family(self):
        self.assertEqual({kind for kind, _ in self.seen}, {"text/plain; version=0.0.4; charset=utf-8"})
        self.assertEqual({encoding for _, encoding in self.seen}, {"gzip"})
        page = self.running.ask("/metrics", Accept=TEXT).text
        families = [name for name in metadata(page, "TYPE") if f"\n{name}" in page]
        answered = collections.Counter()
        for job in ("openmetrics", "text"):
            for family in families:
                if self.query(f'{{__name__=~"{family}(_bucket|_sum|_count)?",job="{job}"}}'):
                    answered[job] += 1
        self.assertGreaterEqual(min(answered["openmetrics"], answered["text"]), 20, answered)
        self.assertEqual(answered["openmetrics"], len(families))
        self.assertEqual(answered["text"], len(families))

    def test_both_formats_give_the_same_series_and_types(self):
        def series_of(job):
            found = self.api("series", **{"match[]": f'{{job="{job}"}}'})
            return {frozenset((key, value) for key, value in labels.items() if key not in ("job", "instance"))
                    for labels in found if not labels["__name__"].startswith(("scrape_", "up"))}

        wait_for("the same series in both jobs", lambda: series_of("text") == series_of("openmetrics"), 10)
        for family, kinds in self.api("metadata").items():
            self.assertEqual(len({(kind["type"], kind["help"]) for kind in kinds}), 1, family)

    def test_the_questions_of_an_sre_are_answered(self):
        for question in ('sum by (queue) (rate(queue_consumer_messages_processed_total{job="text"}[30s])) >= 0',
                         'queue_dead_letter_messages{job="text"} > 0',
                         'histogram_quantile(0.99, sum by (le, queue) '
                         '(rate(queue_consumer_handling_duration_seconds_bucket{job="openmetrics"}[30s])))',
                         'queue_oldest_message_age_seconds{job="text"} < on (source, queue) group_left '
                         'queue_objective_oldest_message_age_seconds{job="text"}',
                         'time() - queue_last_success_timestamp_seconds{job="openmetrics"} < 60',
                         'queue_messages_ready * on (source, queue, job, instance) group_left (backend, kind) queue_info'):
            wait_for(question, lambda question=question: self.query(question))


if __name__ == "__main__":
    unittest.main()
