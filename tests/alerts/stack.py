"""Prometheus and Alertmanager with the rules and routes of alerts/, and a receiver that writes down what arrives."""
import collections
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "integration"))
import daemon as qe  # noqa: E402  pylint: disable=wrong-import-position

ALERTS = qe.ROOT / "alerts"
PROMETHEUS = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}
scrape_configs:
  - job_name: queue-exporter
    static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]
"""
Note = collections.namedtuple("Note", "receiver status labels annotations")


class Receiver:
    """Takes Alertmanager's webhooks; notes is a list of Note, one per alert of each notification."""

    def __init__(self):
        notes = self.notes = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    notes.append(Note(self.path.strip("/"), alert["status"], alert["labels"], alert["annotations"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def quick_routes(port):
    """The example with this receiver's address and waits of a second; nothing else is changed."""
    config = yaml.safe_load((ALERTS / "alertmanager.example.yml").read_text(encoding="utf-8"))

    def quicken(route):
        route.update({key: "1s" for key in ("group_wait", "group_interval") if key in route})
        for child in route.get("routes", []):
            quicken(child)
    quicken(config["route"])
    for receiver in config["receivers"]:
        receiver["webhook_configs"][0]["url"] = f"http://127.0.0.1:{port}/{receiver['name']}"
    return config


class Stack(qe.WithFolder):
    """A test with all of them; each ends by its own id."""

    def setUp(self):
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        self.alertmanager = qe.free_port()
        self.prometheus = qe.free_port()

    def launch(self, *words):
        log = open(self.folder / f"{words[0]}.log", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.end_process, process)
        return process

    def end_process(self, process):
        process.terminate()
        try:
            process.wait(qe.PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_stack(self, exporter_port, *changes):
        rules = self.folder / "rules.yml"
        subprocess.run([sys.executable, "-B", ALERTS / "generate.py", "--windows", "short", "--output", rules,
                        *(word for change in changes for word in ("--set", change))], check=True)
        routes = self.folder / "alertmanager.yml"
        routes.write_text(yaml.safe_dump(quick_routes(self.receiver.server.server_address[1])), encoding="utf-8")
        config = self.folder / "prometheus.yml"
        config.write_text(PROMETHEUS.format(rules=rules, alertmanager=self.alertmanager, exporter=exporter_port),
                          encoding="utf-8")
        self.launch("prometheus-alertmanager", f"--config.file={routes}", f"--storage.path={self.folder}/am",
                    "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{self.alertmanager}")
        self.launch("prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
                    f"--web.listen-address=127.0.0.1:{self.prometheus}")
        for port in (self.alertmanager, self.prometheus):
            qe.wait_for(f"port {port} is ready", lambda port=port: self.is_ready(port))

    def is_ready(self, port):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=qe.PATIENCE_SECONDS) as reply:
                return reply.status == 200
        except OSError:
            return False

    def query(self, text):
        address = f"http://127.0.0.1:{self.prometheus}/api/v1/query"
        body = urllib.parse.urlencode({"query": text}).encode()
        with urllib.request.urlopen(address, body, timeout=qe.PATIENCE_SECONDS) as reply:
            return json.load(reply)["data"]["result"]

    def alerts(self):
        """{name: its status} of what Alertmanager knows now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.alertmanager}/api/v2/alerts",
                                    timeout=qe.PATIENCE_SECONDS) as reply:
            return {alert["labels"]["alertname"]: alert["status"] for alert in json.load(reply)}

    def pages(self, since=0, status="firing"):
        return [note for note in self.receiver.notes[since:] if note.receiver == "page" and note.status == status]
