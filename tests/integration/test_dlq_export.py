#!/usr/bin/python3
"""queuectl dlq export and import on a store of our own."""
import base64
import fcntl
import json
import signal
import struct
import subprocess
import termios
import time
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
      - name: jobs
        ordered: true
        dead_letter: {{queue: jobs-dlq, max_receives: 3}}
      - {{name: jobs-dlq, ordered: true}}
"""
WITHOUT = ("id", "enqueued", "sent", "receives", "available")


def waiting(pipe):
    """Bytes that can be read from it."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


class DlqExport(WithFolder):
    def setUp(self):
        super().setUp()
        self.config = self.write_config(CONFIG.format(folder=self.folder))

    def send(self, queue, *words, **more):
        self.queuectl("send", "local", queue, *words, **more)

    def rows(self, queue):
        lines = self.queuectl("peek", "local", queue, "--max", "10000", "--json").stdout.splitlines()
        return [{key: value for key, value in json.loads(line).items() if key not in WITHOUT} for line in lines]

    def ready(self, queue):
        return next(row["ready"] for row in self.stats() if row["queue"] == queue)

    def test_what_is_exported_can_be_imported_and_is_what_it_was(self):
        (self.folder / "bytes").write_bytes(bytes(range(256)) * 3 + b"x")
        self.send("orders-dlq", "--file", str(self.folder / "bytes"))
        self.send("orders-dlq", "--body", 'grüße "x"\n\t\\ \u009b', "--attribute", "tenant=a", "--attribute",
                  "dead-letter-reason=permanent: why", "--group", "g")
        self.send("orders-dlq", "--file", "/dev/null")
        lines = self.queuectl("dlq", "export", "local", "orders-dlq")
        self.assertIn("exported 3 of 3 messages of orders-dlq\n", lines.stderr)
        first = json.loads(lines.stdout.splitlines()[0])
        self.assertEqual(base64.b64decode(first["body_base64"]), bytes(range(256)) * 3 + b"x")
        before = self.rows("orders-dlq")
        self.assertEqual(len(before), 3, "they stay")
        self.queuectl("dlq", "purge", "local", "orders-dlq", "--yes")
        self.assertIn("sent 3 to orders-dlq\n",
                      self.queuectl("dlq", "import", "local", "orders-dlq", stdin=lines.stdout).stdout)
        self.assertEqual(self.rows("orders-dlq"), before)

    def test_ctrl_c_tears_no_line_and_is_said(self):
        self.send("orders-dlq", "--body", "b" * 200, "--count", "5000")
        for words in (("export",), ("inspect", "--json", "--max", "5000", "--look", "5000")):
            with subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "dlq", words[0], "local", "orders-dlq", *words[1:]],
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                self.addCleanup(process.kill)
                wait_for("the pipe is full", lambda: waiting(process.stdout) > 60000)
                process.send_signal(signal.SIGINT)
                out, errors = process.communicate(timeout=PATIENCE_SECONDS)
            rows = [json.loads(line) for line in out.splitlines()]
            self.assertEqual(process.returncode, 1)
            self.assertTrue(0 < len(rows) < 5000, len(rows))
            self.assertEqual([row["id"] for row in rows], [str(1 + i) for i in range(len(rows))], "none is missing in between")
            self.assertRegex(errors, f"stopped .*{len(rows)}|stopped before the end\nexported {len(rows)} of")

    def test_a_second_ctrl_c_ends_what_nobody_reads(self):
        self.send("orders-dlq", "--body", "b" * 200, "--count", "5000")
        with subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "dlq", "export", "local", "orders-dlq"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            wait_for("the pipe is full", lambda: waiting(process.stdout) > 60000)
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                time.sleep(0.5)
            self.assertEqual(process.wait(PATIENCE_SECONDS), -signal.SIGINT)

    def test_sent_to_a_working_queue_they_are_no_dead_letters_any_more(self):
        self.send("orders-dlq", "--body", "b", "--attribute", "tenant=a", "--attribute", "dead-letter-reason=x")
        path = self.folder / "saved.jsonl"
        path.write_text(self.queuectl("dlq", "export", "local", "orders-dlq").stdout, encoding="utf-8")
        self.queuectl("dlq", "import", "local", "orders", "--file", str(path))
        self.assertEqual(self.rows("orders"), [{"attributes": {"tenant": "a"}, "body": "b"}])

    def test_order_and_window_of_an_ordered_queue(self):
        for number in range(150):
            self.send("jobs-dlq", "--body", f"{number:03}", "--group", f"g{number % 2}", "--deduplication-id",
                      f"d{number}")
        saved = self.queuectl("dlq", "export", "local", "jobs-dlq").stdout
        for _ in range(2):  # the second time they are in already
            self.queuectl("dlq", "import", "local", "jobs", stdin=saved)
        rows = self.rows("jobs")
        self.assertEqual(len(rows), 150)
        for group in ("g0", "g1"):
            bodies = [row["body"] for row in rows if row["group"] == group]
            self.assertEqual(len(bodies), 75)
        self.assertRegex(rows[0]["deduplication_id"], "^import-1-[0-9a-f]{16}$")

    def test_messages_of_two_stores_with_the_same_id_are_both_in(self):
        saved = [json.dumps({"id": "1", "body": body, "deduplication_id": name, "group": "g"})
                 for body, name in (("a", "x"), ("b", "x"), ("a", "y"))]
        for line in saved * 2:  # each a store's first message; the second time they are in already
            self.queuectl("dlq", "import", "local", "jobs", stdin=line)
        self.assertEqual([row["body"] for row in self.rows("jobs")], ["a", "b", "a"])

    def test_filters_and_max(self):
        for number in range(6):
            self.send("orders-dlq", "--body", f"b{number}", "--attribute",
                      f"dead-letter-reason={'x' if number % 2 else 'y'}")
        lines = self.queuectl("dlq", "export", "local", "orders-dlq", "--reason", "x").stdout.splitlines()
        self.assertEqual([json.loads(line)["body"] for line in lines], ["b1", "b3", "b5"])
        self.assertEqual(len(self.queuectl("dlq", "export", "local", "orders-dlq", "--max",
                                           "2").stdout.splitlines()), 2)

    def test_a_line_that_is_wrong_is_named_and_the_rest_can_follow(self):
        lines = ['{"body":"a"}', "", '{"body":7}', '{"body":"c"}']
        done = self.queuectl("dlq", "import", "local", "orders", stdin="\n".join(lines), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('--skip 1 goes on behind what was tried: standard input:3: neither "body"', done.stderr)
        self.assertEqual(self.ready("orders"), 1)
        lines[2] = '{"body":"b"}'
        self.assertIn("sent 2 to orders\n", self.queuectl("dlq", "import", "local", "orders", "--skip", "1",
                                                          stdin="\n".join(lines)).stdout)
        for line, text in (("x", "standard input:1"), ("[]", "no JSON object"), ('{"body":"b","id":1}', '"id" is no text'),
                           ('{"body_base64":"A==="}', "no base64"), ('{"body_base64":"AA=A"}', "no base64"),
                           ('{"body_base64":"AAA"}', "no base64"),
                           ('{"body":"b","attributes":[]}', "no object"),
                           ('\0\n{"body":"b"}', "standard input:1: not JSON"),
                           ('{"body":"b","attributes":{"a":1}}', 'attribute "a" is no text')):
            done = self.queuectl("dlq", "import", "local", "orders", stdin=line, check=False)
            self.assertEqual(done.returncode, 1, line)
            self.assertIn(text, done.stderr)
        self.assertEqual(self.ready("orders"), 3)

    def stop_import(self, *lines):
        """What it says when it gets these lines, waits for more, and is stopped."""
        with subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "dlq", "import", "local", "orders"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            process.stdin.writelines(lines)
            process.stdin.flush()
            wait_for("it waits for more", lambda: waiting(process.stdin) == 0 and self.ready("orders") == len(lines) // 100 * 100)
            with open(f"/proc/{process.pid}/wchan", encoding="utf-8") as where:
                wait_for("it reads", lambda: where.seek(0) == 0 and "pipe" in where.read())
            process.send_signal(signal.SIGINT)
            # Its standard input stays open all the while.
            out = process.stdout.read()
            errors = process.stderr.read()
            self.assertEqual(process.wait(PATIENCE_SECONDS), 1)
        return out, errors

    def test_ctrl_c_says_how_to_go_on(self):
        lines = [f'{{"body":"b{number}"}}\n' for number in range(250)]
        out, errors = self.stop_import(*lines[:230], '{"body":"b2')
        self.assertEqual((out, errors), ("sent 230 to orders\n", "queuectl dlq import: stopped after line 230; go on with "
                                                               "--skip 230\n"))
        self.queuectl("dlq", "import", "local", "orders", "--skip", "230", stdin="".join(lines))
        self.assertEqual([row["body"] for row in self.rows("orders")], [f"b{number}" for number in range(250)])

    def test_ctrl_c_before_anything_came(self):
        self.assertEqual(self.stop_import(), ("sent 0 to orders\n", "queuectl dlq import: stopped after line 0; go on with "
                                                                   "--skip 0\n"))

    def test_an_import_into_a_queue_that_is_not_there_says_so(self):
        done = self.queuectl("dlq", "import", "local", "order", stdin='{"body":"a"}', check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('source local has no queue "order" (did you mean "orders"?)', done.stderr)

    def test_an_export_that_nobody_can_read_is_an_error(self):
        self.send("orders-dlq", "--body", "b")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([QUEUECTL, f"--config.file={self.config}", "dlq", "export", "local", "orders-dlq"],
                                  stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write to standard output", done.stderr)


if __name__ == "__main__":
    unittest.main()
