"""Starts the real programs for a test, and ends them: by their own ids, whatever happens."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from child_server import free_port

EXPORTER = os.environ["QE_EXPORTER"]
QUEUECTL = os.environ["QE_QUEUECTL"]
ROOT = pathlib.Path(__file__).parents[2]
DEMO = ROOT / "packaging" / "demo.yml"
# Sanitizers and a busy machine cost time: deadlines are a net under hangs, not a measurement.
PATIENCE_SECONDS = 30

TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"

# One source, two queues; {folder} and {extra} are filled in by each test.
CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s}}
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - name: orders
        dead_letter: {{queue: orders-dlq, max_receives: 3}}
      - name: orders-dlq
{extra}
"""
CONSUMER = """
consumers:
  - {source: local, queue: orders, workers: 2, handler: {type: discard}}
"""


def wait_for(what, probe, seconds=PATIENCE_SECONDS):
    """Calls probe until it returns something true, which is then returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()
        self.text = self.body.decode("utf-8", "replace")


class Daemon:
    def __init__(self, config, *flags, env=None):
        self.config, self.flags = config, flags
        self.env = {**os.environ, **(env or {})}
        self.port = free_port()
        self.process = self.log_file = None

    def start(self, ready=True, program=EXPORTER, user=None):
        self.log_file = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [program, f"--config.file={self.config}", f"--web.listen-address=127.0.0.1:{self.port}", *self.flags],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file, env=self.env, user=user)
        if ready:
            wait_for("ready", lambda: self.is_alive() and self.status_of("/-/ready") == 200)
        return self

    def is_alive(self):
        if self.process.poll() is None:
            return True
        raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")

    def log(self):
        self.log_file.seek(0)
        return self.log_file.read().decode("utf-8", "replace")

    def ask(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def status_of(self, path):
        try:
            return self.ask(path).status
        except OSError:
            return None

    def values(self, accept=TEXT):
        """The page as {series: value}."""
        return parse_values(self.ask("/metrics", Accept=accept).text)

    def value(self, series):
        return self.values().get(series)

    def wait_value(self, series, wanted, seconds=PATIENCE_SECONDS):
        """Until the series has the value, fulfils the predicate, or (None) is gone."""
        fits = wanted if callable(wanted) else lambda value: value == wanted
        last = []
        try:
            wait_for(series, lambda: self.is_alive() and [last.append(self.value(series))] and fits(last[-1]), seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; last {last[-1:]}\n{self.log()[-2000:]}") from None
        return last[-1]

    def signal(self, number):
        self.process.send_signal(number)

    def wait_end(self, seconds=PATIENCE_SECONDS):
        return self.process.wait(seconds)

    def stop(self):
        """Ends it if it still runs, and returns its exit code; a second call is harmless."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def parse_values(text):
    """{series: value} of a page whose label values hold no line end; `# ...` lines are left out."""
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            values[series] = float(value)
    return values


def metadata(text, word):
    """{family: the rest} of the `# HELP`, `# TYPE` or `# UNIT` lines."""
    return dict(re.findall(rf"^# {word} (\S+) (.*)$", text, re.M))


class WithFolder(unittest.TestCase):
    """A temporary folder, and daemons that end with the test."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="qe-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write_config(self, text=None, extra="", name="queue_exporter.yml"):
        path = self.folder / name
        path.write_text(text if text is not None else CONFIG.format(folder=self.folder, extra=extra), encoding="utf-8")
        return path

    def daemon(self, *flags, config=None, ready=True, env=None):
        daemon = Daemon(config or self.write_config(), *flags, env=env)
        self.addCleanup(self.end, daemon)
        return daemon.start(ready)

    def end(self, daemon):
        code = daemon.stop()
        daemon.log_file.close()
        self.assertIn(code, (0, None), "the daemon must end with 0 (sanitizers report at the end)")

    def queuectl(self, *words, check=True, stdin="", config=None):
        done = subprocess.run([QUEUECTL, f"--config.file={config or self.folder / 'queue_exporter.yml'}", *words],
                              input=stdin, text=True, capture_output=True, timeout=PATIENCE_SECONDS, check=False)
        if check:
            self.assertEqual(done.returncode, 0, f"queuectl {' '.join(words)}: {done.stdout[-2000:]}{done.stderr}")
        return done

    def stats(self):
        """The rows of queuectl stats --json: one object per line."""
        return [json.loads(line) for line in self.queuectl("stats", "--json").stdout.splitlines()]
