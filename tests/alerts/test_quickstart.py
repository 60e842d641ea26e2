#!/usr/bin/python3
"""`packaging/quickstart.sh run --with-prometheus`: the pages and commands that it names are there."""
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import unittest
import urllib.request

import cases

sys.path.insert(0, str(cases.ROOT / "tests" / "integration"))
import daemon as qe  # noqa: E402  pylint: disable=wrong-import-position

# What quickstart.sh has before it sources prometheus.sh, and what it calls there.
SCRIPT = """
set -euo pipefail
root=$PWD log=$PWD/log port=$1 stopping= children=()
say() { printf '%s\\n' "$*"; }
die() { printf 'error: %s\\n' "$*" >&2; exit 1; }
as_root() { false; }
. packaging/quickstart/prometheus.sh
trap 'kill "${children[@]}" 2>/dev/null; wait' EXIT
trap 'exit 0' TERM
fetch_prometheus
start_monitoring
say_monitoring
say ready
while sleep 0.2; do :; done
"""


class Pages(qe.WithFolder):
    def folder_like_a_clone(self):
        """Debian's programs as quickstart.sh unpacks them, not those that other tests use and would see wrapped."""
        for name in ("alerts", "packaging"):
            (self.folder / name).symlink_to(cases.ROOT / name)
        programs = self.folder / "build" / "tools" / "usr" / "bin"
        programs.mkdir(parents=True)
        (self.folder / "build" / "demo").mkdir()
        found = os.path.realpath(shutil.which("prometheus"))
        share = os.path.join(os.path.dirname(os.path.dirname(found)), "share")
        (programs.parent / "share").symlink_to(share)
        for name in ("prometheus", "promtool", "prometheus-alertmanager", "amtool"):
            (programs / name).symlink_to(os.path.realpath(shutil.which(name)))

    def start(self):
        self.folder_like_a_clone()
        ports = {name: str(qe.free_port()) for name in ("PROMETHEUS", "ALERTMANAGER", "RECEIVER")}
        process = subprocess.Popen(
            ["bash", "-c", SCRIPT, "quickstart", str(qe.free_port())], cwd=self.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "QE_INSTALL": "no", **{f"QE_{name}_PORT": port for name, port in ports.items()}})
        self.addCleanup(self.end, process)
        said = ""
        for line in process.stdout:
            if line == "ready\n":
                return said
            said += line
        self.fail(said)

    @staticmethod
    def end(process):
        process.send_signal(signal.SIGTERM)
        process.wait(qe.PATIENCE_SECONDS)
        process.stdout.close()

    def test_every_page_that_it_names_is_there_and_every_command_works(self):
        said = self.start()
        pages = [page for page in re.findall(r"(?<!=)http://\S+", said)]
        self.assertEqual(len(pages), 2, said)
        for page in pages:
            with urllib.request.urlopen(page, timeout=qe.PATIENCE_SECONDS) as reply:
                self.assertEqual(reply.status, 200, page)
                self.assertIn("Prometheus", reply.read().decode(), page)
        with urllib.request.urlopen(pages[0], timeout=qe.PATIENCE_SECONDS) as reply:
            self.assertIn("QueueDeadLettersGrowing", reply.read().decode())
        command = shlex.split(re.search(r"^  pages +(\S*amtool .*)$", said, re.M).group(1))
        for words in (command, [*command, "--inhibited"]):
            done = subprocess.run(words, cwd=self.folder, text=True, capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("Alertname", done.stdout)
        self.assertTrue((self.folder / "build" / "demo" / "notifications.log").is_file())


if __name__ == "__main__":
    cases.need("prometheus", "promtool", "prometheus-alertmanager", "amtool")
    unittest.main()
