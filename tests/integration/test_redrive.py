#!/usr/bin/python3
"""queuectl dlq redrive on a store of our own: what is moved, what stays and why, and how it is stopped."""
import json
import pty
import os
import signal
import subprocess
import unittest

from daemon import PATIENCE_SECONDS, QUEUECTL, WithFolder, wait_for

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

    def test_ctrl_c_stops_after_what_is_in_hand(self):
        self.send("orders-dlq", "--count", "100")
        process = self.start("--yes", "--rate", "20", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for("some are moved", lambda: self.ready()["orders"][0] >= 3)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 1)
        self.assertIn("stopped before the end", errors)
        moved = int(out.split()[1])
        self.assertTrue(3 <= moved < 100, out)
        self.assertEqual(self.ready()["orders"], (moved, 0))
        self.assertEqual(self.ready()["orders-dlq"], (100 - moved, 0))

    def test_what_makes_no_sense_is_said(self):
        for words, code, text in (
                (("--yes", "--to", "orders-dlq"), 2, "orders-dlq cannot be redriven to itself"),
                (("--yes", "--to", "ordres"), 1, 'no queue "ordres" (did you mean "orders"?)'),
                (("--status",), 1, "type embedded cannot move dead letters by itself"),
                (("--cancel",), 1, "type embedded cannot move dead letters by itself"),
                (("--status", "--cancel"), 2, "not both"),
                (("--max", "0"), 2, "must be at least 1"),
                (("--rate", "0"), 2, "messages per second")):
            done = self.redrive(*words, check=False)
            self.assertEqual(done.returncode, code, words)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
