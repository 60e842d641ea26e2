"""The demo with everything going on at once, watched by two exporters and a real Prometheus."""
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from daemon import DEMO, PATIENCE_SECONDS, QUEUECTL, WithFolder, free_port, wait_for  # noqa: E402

JOB = "demo"
SCRAPE = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{folder}/rules.yml"]
scrape_configs:
  - job_name: {job}
    static_configs: [{{targets: ["127.0.0.1:{first}", "127.0.0.1:{second}", "127.0.0.1:{dead}"]}}]
"""
# Alerts with the labels of ours and no patience; the rules themselves have tests of their own.
RULES = """
groups:
  - name: dashboards
    rules:
      - alert: QueueDeadLetterQueueNotEmpty
        expr: max by (job, source, queue) (queue_dead_letter_messages) > 0
        labels: {severity: critical}
      - alert: QueueSourceDown
        expr: max by (job, source) (queue_source_up) == 0
        labels: {severity: warning}
"""
# What the demo lacks: a queue whose settings are doubtful, and a source whose polls and requests fail because another
# program, this test, keeps its store locked.
AUDIT = """
      - name: audit
"""
FAILING = """
  - {{name: locked, type: embedded, path: {folder}/locked.db, queues: [{{name: stuck}}]}}
"""
STUCK = """
  - {source: locked, queue: stuck, handler: {type: discard}}
"""
LOADS = [["orders", "--rate", "20"], ["payments", "--rate", "10"], ["imports", "--rate", "5"],
         ["imports", "--rate", "2", "--attribute", "simulate=reject"], ["audit", "--rate", "1"]]


def fetch(port, path, **query):
    address = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query, doseq=True)}"
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as reply:
            return json.load(reply)["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}") from None


class WithDemo(WithFolder):
    """A test that starts the demo; everything ends with it."""

    def demo_config(self, name, consumers):
        text = DEMO.read_text(encoding="utf-8")
        begin, objectives = text.split("\nobjectives:")
        objectives, workers = objectives.split("\nconsumers:")
        self.assertNotIn("consumers:", objectives)
        text = begin + AUDIT + FAILING.format(folder=self.folder) + "\nobjectives:" + objectives
        return self.write_config(text + ("\nconsumers:" + workers + STUCK if consumers else ""), name=name)

    def start_process(self, words):
        log = open(self.folder / f"{pathlib.Path(words[0]).name}-{time.monotonic_ns()}.log", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.end_process, process)
        return process

    @staticmethod
    def end_process(process):
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_prometheus(self, config, data, *flags):
        """The port of a Prometheus that answers."""
        port = free_port()
        process = self.start_process(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}",
                                      f"--web.listen-address=127.0.0.1:{port}", *flags])

        def is_ready():
            self.assertIsNone(process.poll(), "prometheus ended")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=PATIENCE_SECONDS) as reply:
                    return reply.status == 200
            except OSError:
                return False
        wait_for("prometheus is ready", is_ready)
        return port

    def start_demo(self):
        """A backlog that falls, poison, failures; two exporters, of which one has the consumers. Prometheus' port."""
        os.environ["QE_DEMO_DIR"] = str(self.folder)
        self.addCleanup(os.environ.pop, "QE_DEMO_DIR")
        works = self.demo_config("works.yml", consumers=True)
        watches = self.demo_config("watches.yml", consumers=False)
        first = self.daemon(config=works)
        second = self.daemon(config=watches)
        self.queuectl("send", "locked", "stuck", "--body", "x", "--delay", "2s", config=works)
        lock = sqlite3.connect(self.folder / "locked.db", isolation_level=None)
        self.addCleanup(lock.close)
        lock.execute("BEGIN IMMEDIATE")
        self.queuectl("send", "local", "payments", "--body", "x", "--count", "40000", config=works)
        for words in LOADS:
            self.start_process([QUEUECTL, f"--config.file={works}", "send", "local", *words, "--body", "x", "--count",
                                "0"])
        (self.folder / "rules.yml").write_text(RULES, encoding="utf-8")
        config = self.folder / "prometheus.yml"
        config.write_text(SCRAPE.format(folder=self.folder, job=JOB, first=first.port, second=second.port,
                                        dead=free_port()), encoding="utf-8")
        self.working = f"127.0.0.1:{first.port}"
        return self.start_prometheus(config, self.folder / "tsdb")
