#!/usr/bin/python3
"""queuectl dlq redrive on a store of our own: what is moved, what stays and why, and how it is stopped."""
import json
import pty
import os
import select
import signal
import subprocess
import time
import unittest

from daemon import PATIENCE_SECONDS, QUEUECTL, WithFolder, wait_for
from embedded_case import OnEmbedded
from redrive_case import Tools

CONFIG = """
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - name: orders
        dead_letter: {{queue: orders-dlq, max_receives: 3}}
      - name: orders-dlq
      - name: elsewhere
        dead_letter: {{queue: elsewhere-dlq, max_receives: 3}}
      - name: elsewhere-dlq
"""

HANDLING = """
consumers:
  - {source: local, queue: orders, handler: {type: discard}}
"""

FAILING = """
consumers:
  - {source: local, queue: orders, handler: {type: simulate, error_rate: 1}, retry: {max_receives: 1}}
  - {source: local, queue: elsewhere, handler: {type: simulate, error_rate: 1}, retry: {max_receives: 1}}
"""


class Redrive(WithFolder):
    def setUp(self):
        super().setUp()
        self.config = self.write_config(CONFIG.format(folder=self.folder))

    def send(self, queue, *words):
        self.queuectl("send", "local", queue, "--body", "b", *words)

    def redrive(self, *words, check=True):
        return self.queuectl("dlq", "redrive", "local", "orders-dlq", *words, check=check)

    def ready(self):
        return {row["queue"]: (row["ready"], row["in_flight"]) for row in self.stats()}

    def start(self, *words, **more):
        process = subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "dlq", "redrive", "local", "orders-dlq", *words],
                                   text=True, **more)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_messages_go_back_and_are_what_they_were(self):
        self.send("orders-dlq", "--count", "25", "--attribute", "team=a", "--attribute", "dead-letter-source=orders",
                  "--attribute", "dead-letter-reason=x", "--group", "g")
        self.assertIn("moved 25 from orders-dlq\n", self.redrive("--yes").stdout)
        self.assertEqual(self.ready()["orders"], (25, 0))
        message = json.loads(self.queuectl("peek", "local", "orders", "--max", "1", "--json").stdout)
        self.assertEqual((message["body"], message["attributes"], message["group"]), ("b", {"team": "a"}, "g"))

    def test_to_and_max(self):
        self.send("orders-dlq", "--count", "5")
        self.assertIn("moved 3 from orders-dlq to elsewhere\n",
                      self.redrive("--yes", "--to", "elsewhere", "--max", "3").stdout)
        self.assertEqual(self.ready()["elsewhere"], (3, 0))
        self.assertEqual(self.ready()["orders-dlq"], (2, 0))

    def test_what_cannot_be_moved_stays_with_a_reason_and_exit_1(self):
        self.send("orders-dlq", "--attribute", "dead-letter-source=gone")
        self.send("orders-dlq")
        done = self.redrive("--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("moved 1 from orders-dlq\n", done.stdout)
        self.assertRegex(done.stderr, "1 stayed; the first: message [0-9]+: queue gone, .*: say --to")
        self.assertEqual(self.ready()["orders-dlq"], (1, 0))
        message = json.loads(self.queuectl("peek", "local", "orders-dlq", "--json").stdout)
        self.assertNotIn("receives", message, "as if nobody had looked")

    def test_it_asks_first(self):
        self.send("orders-dlq")
        done = self.redrive(check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("Say --yes", done.stderr)
        for answer, code, left in ((b"n\n", 1, 1), (b"y\n", 0, 0)):
            ours, theirs = pty.openpty()
            self.addCleanup(os.close, ours)
            process = self.start(stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            os.close(theirs)
            os.write(ours, answer)
            errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
            self.assertEqual(process.returncode, code, errors)
            self.assertIn("This moves the messages of orders-dlq to where each came from. [y/N]", errors)
            self.assertEqual(self.ready()["orders-dlq"], (left, 0))

    def bury(self, body, reason, *words):
        self.queuectl("send", "local", "orders-dlq", "--body", body, "--attribute", "dead-letter-source=orders",
                      "--attribute", f"dead-letter-reason={reason}", *words)

    def bodies(self, queue):
        lines = self.queuectl("peek", "local", queue, "--max", "1000", "--json").stdout.splitlines()
        return sorted(json.loads(line)["body"] for line in lines)

    def test_only_what_matches_is_moved_and_the_rest_is_as_if_nobody_had_looked(self):
        for number in range(30):
            self.bury(f"{number:02} {'timeout' if number % 3 == 0 else 'bug'}",
                      "timeout" if number % 3 == 0 else "permanent: bug", "--attribute", f"tenant={number % 2}")
        done = self.redrive("--yes", "--reason", "timeout", "--attribute", "tenant=1", "--max", "3")
        self.assertEqual(self.bodies("orders"), ["03 timeout", "09 timeout", "15 timeout"])
        self.assertIn("moved 3 from orders-dlq\n", done.stdout)
        done = self.redrive("--yes", "--body-match", "^0[0-9] bug$", "--younger-than", "1h")
        self.assertIn("moved 6 from orders-dlq\nleft 21 that do not match\n", done.stdout)
        self.assertEqual(len(self.bodies("orders-dlq")), 21)
        rows = [json.loads(line) for line in
                self.queuectl("peek", "local", "orders-dlq", "--max", "99", "--json").stdout.splitlines()]
        self.assertFalse([row for row in rows if "receives" in row])
        self.assertIn("moved 0 from orders-dlq\n", self.redrive("--yes", "--older-than", "1h").stdout)

    def test_a_dry_run_says_what_would_move_and_moves_nothing(self):
        for _ in range(3):
            self.bury("b", "timeout")
        self.send("orders-dlq", "--attribute", "dead-letter-source=gone")
        done = self.redrive("--dry-run")
        self.assertRegex(done.stdout, r"(?m)^1 to orders: timeout, \S+, 1 bytes$")
        self.assertIn("4 stays: none", done.stdout)
        self.assertTrue(done.stdout.endswith("would move 3 to orders\n"), done.stdout)
        self.assertIn("1 would stay; the first: message 4: queue gone", done.stderr)
        self.assertIn("would move 2 to elsewhere\n", self.redrive("--dry-run", "--max", "2", "--to", "elsewhere").stdout)
        self.assertIn("would move nothing\n", self.redrive("--dry-run", "--reason", "other").stdout)
        self.assertEqual(self.ready()["orders-dlq"], (4, 0))
        self.assertEqual(len(self.bodies("orders-dlq")), 4)

    def test_canaries_that_do_not_come_back_are_followed_by_the_rest(self):
        daemon = self.daemon(config=self.write_config(CONFIG.format(folder=self.folder) + HANDLING))
        for _ in range(12):
            self.bury("b", "timeout")
        done = self.redrive("--yes", "--canary", "2", "--canary-wait", "1s")
        self.assertRegex(done.stdout, "^moved 2 from orders-dlq\nnone of 2 canaries came back within [12]s: "
                                      "none was dead-lettered again\nas far as can be seen, all were handled\n"
                                      "moved 10 from orders-dlq\n$")
        wait_for("all are handled", lambda: self.ready()["orders"] == (0, 0))
        self.assertTrue(daemon.is_alive())

    def test_canaries_that_nobody_handles_keep_the_rest_where_it_is(self):
        self.send("orders", "--count", "2")  # these were there before
        for number in range(6):
            self.bury("b", "timeout")
        done = self.redrive("--yes", "--canary", "3", "--canary-wait", "1s", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "^moved 3 from orders-dlq\nnone of 3 canaries came back within [12]s: none was dead-lettered again\n"
                                      "3 canaries still wait in orders: nobody has handled them: nothing more is moved\n$")
        self.assertEqual(self.ready()["orders-dlq"], (3, 0))

    def test_canaries_that_die_elsewhere_are_found_there(self):
        daemon = self.daemon(config=self.write_config(CONFIG.format(folder=self.folder) + FAILING))
        for number in range(9):
            self.bury(f"b{number}", "timeout")
        done = self.redrive("--yes", "--to", "elsewhere", "--canary", "3", "--canary-wait", "1h", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "^moved 3 from orders-dlq to elsewhere\n[123] of 3 canaries failed within [0-9]+s?, "
                                      "and are dead letters in elsewhere-dlq: nothing more is moved\n$")
        self.assertRegex(done.stderr, "the first: message [0-9]+: max_receives")
        self.assertEqual(self.ready()["orders-dlq"], (6, 0))
        self.assertTrue(daemon.is_alive())

    def test_canaries_that_come_back_keep_the_rest_where_it_is(self):
        daemon = self.daemon(config=self.write_config(CONFIG.format(folder=self.folder) + FAILING))
        for number in range(9):
            self.bury(f"b{number}", "timeout")
        began = time.monotonic()
        done = self.redrive("--yes", "--canary", "3", "--canary-wait", "1h", check=False)
        self.assertLess(time.monotonic() - began, PATIENCE_SECONDS, "it does not wait for the end")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "^moved 3 from orders-dlq\n[123] of 3 canaries came back within [0-9]+s?: "
                                      "nothing more is moved\n$")
        self.assertRegex(done.stderr, "the first: message [0-9]+: max_receives")
        self.assertEqual(self.ready()["orders"], (0, 0))
        wait_for("all are back", lambda: self.ready()["orders-dlq"] == (9, 0))
        self.assertTrue(daemon.is_alive())

    def test_on_a_terminal_a_bar_shows_how_far_it_is(self):
        self.send("orders-dlq", "--count", "30")
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = self.start("--yes", "--rate", "20", stdout=subprocess.DEVNULL, stderr=theirs)
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
        os.close(theirs)
        shown = os.read(ours, 100000).decode()
        self.assertRegex(shown, r"\[#{5,20} *\] moved [0-9]+ of about 30, [0-9]+ per second, [0-9.ms]+ left")
        self.assertTrue(shown.endswith("\r\033[K"), "nothing of it is left")

    def test_the_bar_moves_while_a_slow_rate_waits(self):
        self.send("orders-dlq", "--count", "3")
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = self.start("--yes", "--rate", "0.002", stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = []

        def draws():
            if select.select([ours], [], [], 0)[0]:
                shown.append(os.read(ours, 100000).decode())
            return "".join(shown).count("] moved 1 of about 3, 0 per second, ") >= 5

        wait_for("it is drawn again and again, before the second is due", draws)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE_SECONDS), 1)
        self.assertEqual(self.ready()["orders"], (1, 0))

    def test_what_makes_no_sense_is_said(self):
        for words, code, text in (
                (("--yes", "--to", "orders-dlq"), 2, "orders-dlq cannot be redriven to itself"),
                (("--yes", "--to", "ordres"), 1, 'no queue "ordres" (did you mean "orders"?)'),
                (("--status",), 1, "type embedded cannot move dead letters by itself"),
                (("--cancel",), 1, "type embedded cannot move dead letters by itself"),
                (("--status", "--cancel"), 2, "not both"),
                (("--max", "0"), 2, "must be at least 1"),
                (("--canary", "0"), 2, "must be at least 1"),
                (("--canary", "2000"), 2, "2000"),
                (("--rate", "0"), 2, "messages per second")):
            done = self.redrive(*words, check=False)
            self.assertEqual(done.returncode, code, words)
            self.assertIn(text, done.stderr)


class Everywhere(Tools, OnEmbedded):
    pass


if __name__ == "__main__":
    unittest.main()
