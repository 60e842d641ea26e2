#!/usr/bin/python3
"""The worked example of the README's section "RabbitMQ", as it is printed there: it runs, and shows what it says."""
import os
import re
import signal
import subprocess
import sys
import unittest
import urllib.request

from child_server import free_port, need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from rabbitmq_server import need_rabbitmq

need_rabbitmq()

from daemon import EXPORTER, QUEUECTL, ROOT, WithFolder, parse_values, wait_for
from rabbitmq_case import of_source, series

PATIENCE = 120
FAMILIES = {"queue_messages_ready", "queue_dead_letter_messages", "queue_source_method_info", "queue_source_node_up"}


def block():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("\n## RabbitMQ\n"):]
    return next(code for code in re.findall(r"```sh\n(.*?)```", section, re.S) if "quickstart/rabbitmq.py" in code)


class Example(WithFolder):
    def script(self):
        """Of this folder and on a port of its own; its pause lasts until the test has seen enough."""
        self.port = free_port()
        script = block()
        for printed, ours in (("packaging/quickstart/", f"{ROOT}/packaging/quickstart/"),
                              ("queue_exporter --config.file=rabbit.yml",
                               f"queue_exporter --web.listen-address=127.0.0.1:{self.port} --config.file=rabbit.yml"),
                              ("localhost:10019", f"127.0.0.1:{self.port}"), ("sleep 20\n", "read -r\n")):
            self.assertIn(printed, script)
            script = script.replace(printed, ours)
        return script + "wait\n"

    def run_it(self):
        (self.folder / "bin").mkdir()
        for name, program in (("queue_exporter", EXPORTER), ("queuectl", QUEUECTL)):
            (self.folder / "bin" / name).symlink_to(os.path.abspath(program))
        # Whatever servers.sh would bring is there: nothing is fetched.
        environment = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "QE_INSTALL": "no",
                       "QE_TEST_PYTHON": sys.executable, "QE_NODE_MODULES": str(ROOT / "build" / "npm")}
        with open(self.folder / "log", "wb") as log:
            process = subprocess.Popen(
                ["bash", "-eu", "-o", "pipefail", "-c", self.script()], cwd=self.folder, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self.addCleanup(self.end_all, process)
        return process

    def end_all(self, process):
        """The shell and its jobs; the broker ends with them."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def page(self, process):
        self.assertIsNone(process.poll(), self.log())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as reply:
                return parse_values(reply.read().decode())
        except OSError:
            return {}

    def test_it_runs_and_shows_what_it_says(self):
        process = self.run_it()
        wanted = {series("queue_messages_ready", "orders"): 2, series("queue_messages_ready", "orders-dlq"): 1,
                  series("queue_dead_letter_messages", "orders", dead_letter_queue="orders-dlq",
                         dead_letter_vhost="/"): 1,
                  of_source("queue_source_method_info", method="statistics"): 1}
        page = {}

        def shown():
            page.update(self.page(process))
            return {name: page.get(name) for name in wanted} == wanted
        try:
            wait_for("the example's queues", shown, PATIENCE)
            told = process.communicate("\n", PATIENCE)[0]
        except AssertionError as error:
            raise AssertionError(f"{error}: {page}\n{self.log()}") from None
        self.assertEqual(process.returncode, 0, told + self.log())
        lines = told.splitlines()
        shown = parse_values("\n".join(line for line in lines if line.startswith("queue_")))
        nodes = {name: value for name, value in shown.items() if name.startswith("queue_source_node_up{")}
        self.assertEqual({name: value for name, value in shown.items() if name not in nodes}, wanted, told)
        self.assertEqual(list(nodes.values()), [1], told)
        self.assertEqual({name.split("{")[0] for name in shown}, FAMILIES)
        for queue, ready in (("orders", 2), ("orders-dlq", 1)):
            self.assertRegex(told, rf"(?m)^.?\s*{queue}\s.*\b{ready}\b")


if __name__ == "__main__":
    unittest.main(verbosity=2)
