#!/usr/bin/python3
"""Handlers in the real daemon on a store of our own: what they do, under reload, stop, and programs that misbehave."""
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest

from daemon import ROOT, free_port, wait_for
from embedded_case import OnEmbedded
from handler_case import Repair, children_of, of, python_program, write_program
from nginx_server import NginxServer, have_nginx

CONSUMER = """
consumers:
  - source: local
    queue: orders
    workers: {workers}
    reasons: [bad_address]
    retry: {{initial: 10ms, max: 20ms}}
    handler: {handler}
{more}
"""

# Appends the body of each message to the file it is given; dies, babbles or hangs when it is told to.
COPROCESS = """
import json, os, sys, time
for line in sys.stdin:
    question = json.loads(line)
    body = question["message"]["body"]
    first = question["message"]["receives"] == 1
    if body.startswith("die") and first:
        os._exit(1)
    if body.startswith("babble") and first:
        print("hello", flush=True)
        continue
    if body.startswith("hang") and first:
        time.sleep(1000)
    with open(sys.argv[1], "a") as done:
        done.write(body + "\\n")
    print(json.dumps({"id": question["id"], "result": "ack"}), flush=True)
"""

# The same by exec; what misbehaves does so on its first delivery only.
EXEC = """#!/bin/sh
read -r body
if test "$QUEUE_RECEIVES" = 1; then
  case $body in
  die*) kill -KILL $$ ;;
  babble*) yes | head -c 2000000; yes | head -c 2000000 >&2 ;;
  hang*) trap '' TERM; while :; do sleep 0.05; done ;;
  esac
fi
case $body in leave*) sleep 1000 & ;; slow*) sleep 0.05 ;; esac
echo "$body" >>"$1"
"""


class Embedded(OnEmbedded):
    def with_handler(self, handler, workers=4, more="", **how):
        return self.write_handler_config(CONSUMER.format(handler=handler, workers=workers, more=more), **how)

    def done(self):
        path = self.folder / "done"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def exec_handler(self):
        return f"{{type: exec, command: [{write_program(self.folder, 'run', EXEC)}, {self.folder}/done], timeout: 1s}}"

    def coprocess_handler(self):
        program = python_program(self.folder, "coprocess", COPROCESS)
        return f"{{type: coprocess, command: [{program}, {self.folder}/done], timeout: 1s}}"


class Repaired(Embedded, Repair):
    pass


class Misbehaving(Embedded):
    def check(self, handler):
        daemon = self.daemon(config=self.with_handler(handler))
        kinds = ("good", "die", "babble", "hang", "leave")
        self.send_all("orders", [f"{kind}{n}" for kind in kinds for n in range(2)])
        wait_for("the first lot is handled", lambda: self.left("orders") == 0)
        descriptors = self.held_by(daemon)
        more = [f"{kind}{n}" for kind in kinds for n in range(2, 8)]
        self.send_all("orders", more)
        wait_for("all are handled", lambda: self.left("orders") == 0)
        self.assertEqual(self.left("orders-dlq"), 0)
        self.assertEqual(set(self.done()), {f"{kind}{n}" for kind in kinds for n in range(8)}, "none is lost")
        self.assertLessEqual(self.held_by(daemon), descriptors + 2, "no descriptor is left")
        return daemon

    def test_without_descriptors_good_messages_wait_and_none_is_dead_lettered(self):
        daemon = self.daemon(config=self.with_handler('{type: exec, command: [sleep, "0.2"]}', workers=40))
        most = self.held_by(daemon) + 40
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (most, most))
        self.send_all("orders", [f"good{n}" for n in range(60)])
        wait_for("all are handled", lambda: self.left("orders") == 0)
        self.assertEqual(self.left("orders-dlq"), 0)
        self.assertEqual(of(daemon, "queue_consumer_messages_processed_total", "local", "orders"), 60)
        failed = of(daemon, "queue_consumer_messages_failed_total", "local", "orders", reason="internal")
        self.assertGreater(failed, 0)
        self.assertEqual(daemon.log().count("could not be given to its handler"), 1, "said once")

    def test_all_descriptors_that_are_allowed_are_taken_but_not_by_a_handler(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        program = write_program(self.folder, "limit", f"#!/bin/sh\nsleep 0.2\nulimit -Sn >>{self.folder}/done\n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        daemon = self.daemon(config=self.with_handler(f"{{type: exec, command: [{program}]}}", workers=100))
        self.send_all("orders", ["one"])
        wait_for("it is handled", lambda: self.done() == ["200"])
        self.assertEqual(daemon.value("process_max_fds"), hard)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (600, 600))
        daemon.signal(signal.SIGHUP)
        wait_for("it is warned of", lambda: "more file descriptors than" in daemon.log())

    @staticmethod
    def held_by(daemon):
        """Descriptors, but for the four (three pipes, a pidfd) of each coprocess that lives just now."""
        pid = daemon.process.pid
        return len(os.listdir(f"/proc/{pid}/fd")) - 4 * len(children_of(pid))

    def test_a_command_costs_a_retry_at_most_and_leaves_nothing(self):
        daemon = self.check(self.exec_handler())
        self.assertEqual(children_of(daemon.process.pid), [], "no child, dead or alive")
        lines = sum("output of the handler" in line for line in daemon.log().splitlines())
        self.assertLess(lines, 1000, "a million lines are not logged")

    def test_a_coprocess_costs_a_retry_at_most_and_is_replaced(self):
        daemon = self.check(self.coprocess_handler())
        children = children_of(daemon.process.pid)
        self.assertLessEqual(len(children), 4, "one per worker")
        self.assertEqual(daemon.stop(), 0)
        wait_for("they are gone", lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in children))


class Changing(Embedded):
    def test_reloads_change_handlers_and_no_message_is_lost(self):
        handlers = [self.exec_handler(), self.coprocess_handler()]
        daemon = self.daemon(config=self.with_handler(handlers[0]))
        bodies = [f"slow{n}" for n in range(300)]
        self.send_all("orders", bodies)
        for turn in range(1, 9):
            self.with_handler(handlers[turn % 2], workers=1 + turn % 3)
            daemon.signal(signal.SIGHUP)
            time.sleep(0.15)
        wait_for("all are handled", lambda: self.left("orders") == 0)
        self.assertEqual(self.left("orders-dlq"), 0)
        self.assertEqual(set(self.done()), set(bodies))
        self.assertEqual(len(self.done()), len(bodies), "and none twice: those in hand were let finish")

    def test_a_stop_releases_what_is_not_done_and_leaves_no_process(self):
        for kind, handler in (("exec", "{type: exec, command: [sh, -c, \"trap '' TERM; sleep 1000\"]}"),
                              ("coprocess", "{type: coprocess, command: [sh, -c, \"trap '' TERM; sleep 1000\"]}")):
            with self.subTest(kind):
                daemon = self.daemon(config=self.with_handler(handler, shutdown="200ms"))
                self.send_all("orders", [f"m{n}" for n in range(20)])
                wait_for("handlers run", lambda: of(daemon, "queue_consumer_workers_busy", "local", "orders") == 4)
                wait_for("they have started", lambda: len(children_of(daemon.process.pid)) == 4)
                children = children_of(daemon.process.pid)
                began = time.monotonic()
                self.assertEqual(daemon.stop(), 0)
                self.assertLess(time.monotonic() - began, 15)
                wait_for("no process", lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in children))
                [row] = [row for row in self.stats() if row["queue"] == "orders"]
                self.assertEqual((row["ready"], row["in_flight"]), (20, 0))
                self.queuectl("purge", "local", "orders", "--yes")


BATCHES = """
import json, sys
for line in sys.stdin:
    questions = json.loads(line)
    print(json.dumps([{"id": q["id"], "result": "ack"} for q in questions]), flush=True)
"""


class Together(Embedded):
    def test_an_answer_to_a_batch_is_as_long_as_a_workers_share_of_max_in_hand(self):
        program = python_program(self.folder, "batches", BATCHES.replace("    print(", "    print(' ' * 600000, end='')\n    print("))
        daemon = self.daemon(config=self.with_handler(
            f"{{type: coprocess, command: [{program}], max_reply: 1KiB}}", workers=2,
            more="    max_in_hand: 1MiB\n    batch: {size: 10, wait: 200ms}"))
        self.send_all("orders", [f"b{n}" for n in range(10)])
        wait_for("it is said", lambda: "the coprocess's answer is longer than 524288 bytes" in daemon.log())
        self.write_config(daemon.config.read_text(encoding="utf-8").replace("max_in_hand: 1MiB", "max_in_hand: 2MiB"))
        daemon.signal(signal.SIGHUP)
        wait_for("all are handled", lambda: self.left("orders") == 0)
        self.assertEqual(self.left("orders-dlq"), 0)

    def test_who_asked_gets_what_a_handler_replies(self):
        (self.folder / "upper.py").write_text("import json, sys\nfor line in sys.stdin:\n"
                                              "    q = json.loads(line)\n"
                                              "    print(json.dumps({'id': q['id'], 'result': 'ack',"
                                              " 'reply': q['message']['body'].upper()}), flush=True)\n")
        for handler in ("{type: exec, command: [tr, a-z, A-Z]}",
                        f"{{type: coprocess, command: [{sys.executable}, {self.folder}/upper.py]}}"):
            with self.subTest(handler):
                daemon = self.daemon(config=self.with_handler(handler))
                said = self.queuectl("request", "local", "orders", "--body", "hello", "--timeout", "20s").stdout
                self.assertIn("HELLO", said)
                self.assertEqual(daemon.stop(), 0)


class Readme(Embedded):
    """Its examples, as they are printed there."""

    def test_each_example_handles_one_and_refuses_one(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        section = text[text.index("\n## Handlers\n"):text.index("\n## The embedded store\n")]
        handle, worker, server = re.findall(r"```(?:sh|python)\n(.*?)```", section, re.S)
        port = free_port()
        write_program(self.folder, "handle", handle)
        write_program(self.folder, "worker.py", worker)
        write_program(self.folder, "server.py", server.replace("8080", str(port)))
        with subprocess.Popen([sys.executable, self.folder / "server.py"], stderr=subprocess.DEVNULL) as process:
            self.addCleanup(process.kill)
            wait_for("the server listens", lambda: listens(port))
            for handler in (f"{{type: exec, command: [{self.folder}/handle], timeout: 1m}}",
                            f"{{type: coprocess, command: [{sys.executable}, {self.folder}/worker.py], timeout: 1m}}",
                            f"{{type: http, url: \"http://127.0.0.1:{port}/orders\", timeout: 10s}}"):
                with self.subTest(handler):
                    daemon = self.daemon(config=self.with_handler(handler))
                    self.send_all("orders", ['{"street": "High Street"}', '{"city": "Rome"}'])
                    wait_for("one is handled", lambda: of(daemon, "queue_consumer_messages_processed_total", "local",
                                                          "orders") == 1)
                    wait_for("one is refused", lambda: self.left("orders-dlq") == 1)
                    self.assertIn("       1  bad_address\n", self.queuectl("dlq", "inspect", "local", "orders-dlq").stdout)
                    self.queuectl("dlq", "purge", "local", "orders-dlq", "--yes")
                    self.assertEqual(daemon.stop(), 0)
            process.kill()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@unittest.skipUnless(have_nginx() or os.environ.get("QE_REQUIRE_SERVERS"), "there is no nginx: apt install nginx-light")
class Http(Embedded):
    def setUp(self):
        super().setUp()
        self.nginx = NginxServer(self.folder)
        self.addCleanup(self.nginx.stop)
        self.nginx.start()

    def test_connections_are_kept_and_answers_are_heeded(self):
        base = f"http://127.0.0.1:{self.nginx.port}"
        (self.folder / "token").write_text("Bearer s3cret\n", encoding="utf-8")
        daemon = self.daemon(config=self.with_handler(
            f"{{type: http, url: {base}/well, authorization_file: {self.folder}/token}}", workers=3))
        self.send_all("orders", [f"m{n}" for n in range(60)])
        wait_for("all are handled", lambda: self.left("orders") == 0)
        requests = self.nginx.lines()
        self.assertEqual(len(requests), 60)
        self.assertLessEqual(len({connection for connection, *_ in requests}), 3, "one per worker")
        self.assertEqual({" ".join(rest) for _, _, _, _, *rest in requests}, {"Bearer s3cret"})
        self.assertNotIn("s3cret", daemon.log() + daemon.ask("/config").text)
        self.with_handler(f"{{type: http, url: {base}/bad}}")
        self.assertEqual(self.reload(daemon), 200)
        self.send_all("orders", ["x"])
        wait_for("it is refused", lambda: self.left("orders-dlq") == 1)
        self.assertEqual(
            of(daemon, "queue_consumer_messages_dead_lettered_total", "local", "orders", reason="bad_address"), 1)
        [line] = [line for line in daemon.log().splitlines() if "message failed" in line]
        for part in ("level=warn", "outcome=reject", "reason=bad_address", 'detail="no street"'):
            self.assertIn(part, line)
        self.with_handler(f"{{type: http, url: {base}/busy}}")
        self.assertEqual(self.reload(daemon), 200)
        self.send_all("orders", ["y"])
        wait_for("it waits an hour, as it was asked to", lambda: [row["delayed"] for row in self.stats()
                                                                  if row["queue"] == "orders"] == [1])

    def reload(self, daemon):
        daemon.signal(signal.SIGHUP)
        time.sleep(0.5)
        return daemon.ask("/-/healthy").status

    def test_tls_with_a_client_certificate(self):
        folder = self.folder
        daemon = self.daemon(config=self.with_handler(
            f"{{type: http, url: https://127.0.0.1:{self.nginx.tls_port}/, ca_file: {folder}/ca.crt, "
            f"cert_file: {folder}/client.crt, key_file: {folder}/client.key}}"))
        self.send_all("orders", [f"m{n}" for n in range(10)])
        wait_for("all are handled", lambda: self.left("orders") == 0)
        self.with_handler(f"{{type: http, url: https://127.0.0.1:{self.nginx.tls_port}/}}")  # the system's CAs
        self.assertEqual(self.reload(daemon), 200)
        self.send_all("orders", ["distrust"])
        wait_for("it is tried again", lambda: (of(daemon, "queue_consumer_messages_failed_total", "local", "orders",
                                                  reason="handler_error") or 0) >= 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
