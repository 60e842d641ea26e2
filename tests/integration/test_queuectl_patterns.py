#!/usr/bin/python3
"""queuectl publish, subscribe, request and reply, from end to end."""
import json
import signal
import subprocess
import time
import unittest

from daemon import PATIENCE_SECONDS, QUEUECTL, WithFolder, wait_for

CONFIG = """
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - {{name: work}}
      - {{name: 'news:archive'}}
      - {{name: newsletter}}
      - {{name: answers}}
"""


class Patterns(WithFolder):
    def setUp(self):
        super().setUp()
        self.config = self.write_config(CONFIG.format(folder=self.folder))

    def start(self, *words):
        process = subprocess.Popen([QUEUECTL, f"--config.file={self.config}", *words], text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def subscribe(self, *words):
        process = self.start("subscribe", "local", "news", "--json", *words)
        self.assertRegex(process.stderr.readline(), "^subscribed as news:~[0-9a-f]{16}\n$")
        return process

    def ready(self):
        return {row["queue"]: row["ready"] for row in self.stats()}

    def test_each_subscriber_gets_a_copy_and_nobody_else(self):
        first, second = self.subscribe("--max", "2"), self.subscribe()
        self.assertEqual(self.queuectl("publish", "local", "news", "--body", "one", "--attribute", "k=v").stdout,
                         "published 1 to news\n")
        self.queuectl("publish", "local", "news", "-", stdin="two")
        rows = [json.loads(line) for line in first.communicate(timeout=PATIENCE_SECONDS)[0].splitlines()]
        self.assertEqual([(row["body"], row.get("attributes")) for row in rows], [("one", {"k": "v"}), ("two", None)])
        self.assertEqual(first.returncode, 0)
        self.assertEqual(json.loads(second.stdout.readline())["body"], "one")
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(second.returncode, 0)
        self.assertEqual(self.ready(), {"news:archive": 2, "newsletter": 0, "work": 0, "answers": 0},
                         "their queues are gone, and the lasting subscriber has its copies")

    def test_what_is_published_before_is_not_heard(self):
        self.queuectl("publish", "local", "news", "--body", "early")
        process = self.subscribe("--max", "1")
        self.queuectl("publish", "local", "news", "--body", "now")
        self.assertEqual(json.loads(process.communicate(timeout=PATIENCE_SECONDS)[0])["body"], "now")

    def test_a_request_gets_its_own_reply(self):
        answering = self.start("reply", "local", "work", "--exec", "tr a-z A-Z; printf %s \"-$QUEUE_MESSAGE_ID\"")
        asking = [self.start("request", "local", "work", "--body", f"hello {name}") for name in "abc"]
        for name, process in zip("abc", asking):
            out, errors = process.communicate(timeout=PATIENCE_SECONDS)
            self.assertEqual((process.returncode, errors), (0, ""))
            self.assertRegex(out, f"^HELLO {name.upper()}-[0-9]+\n$")
        answering.send_signal(signal.SIGTERM)
        self.assertEqual(answering.wait(PATIENCE_SECONDS), 0)
        self.assertEqual(set(self.ready()), {"work", "news:archive", "newsletter", "answers"})

    def test_replies_may_share_a_queue(self):
        self.queuectl("send", "local", "answers", "--body", "somebody else's")
        self.start("reply", "local", "work", "--exec", "cat", "--max", "1")
        done = self.queuectl("request", "local", "work", "-", "--reply-to", "answers", "--json",
                             stdin="x" * 300000)
        row = json.loads(done.stdout)
        self.assertEqual(row["body"], "x" * 300000)
        self.assertRegex(row["correlation_id"], "^[0-9a-f]{32}$")
        self.assertEqual(self.ready()["answers"], 1)

    def test_a_reply_that_nobody_can_read_is_given_back(self):
        for words in ((), ("--json",)):
            self.start("reply", "local", "work", "--exec", "cat", "--max", "1")
            with open("/dev/full", "wb") as full:
                done = subprocess.run([QUEUECTL, f"--config.file={self.config}", "request", "local", "work", "--body", "x",
                                       "--reply-to", "answers", *words], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=PATIENCE_SECONDS, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("cannot write to standard output", done.stderr)
        self.assertEqual(self.ready()["answers"], 2)

    def test_a_request_without_a_correlation_id_is_answered_with_its_own_id(self):
        self.queuectl("dlq", "import", "local", "work", stdin='{"body": "x", "reply_to": "answers"}\n')
        process = self.start("reply", "local", "work", "--max", "1", "--exec", "printf %s $QUEUE_MESSAGE_ID")
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
        [row] = [json.loads(line) for line in
                 self.queuectl("receive", "local", "answers", "--json").stdout.splitlines()]
        self.assertRegex(row["body"], "^[0-9]+$")
        self.assertEqual(row["correlation_id"], row["body"])

    def test_without_an_answer_it_says_so_in_time(self):
        began = time.monotonic()
        done = self.queuectl("request", "local", "work", "--body", "x", "--timeout", "1s", check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no reply from work in time", done.stderr)
        self.assertLess(time.monotonic() - began, 10)

    def test_a_command_that_fails_or_hangs_gives_the_request_back(self):
        self.queuectl("send", "local", "work", "--body", "x")
        process = self.start("reply", "local", "work", "--max", "1", "--exec", "echo partial; exit 3")
        errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
        self.assertRegex(errors, "message [0-9]+ is given back: it ended with 3")
        self.assertEqual(process.returncode, 0)
        row = next(row for row in self.stats() if row["queue"] == "work")
        self.assertEqual((row["ready"], row["delayed"]), (0, 1), "after a pause")

    def test_a_hanging_command_and_what_it_started_are_ended_with_the_delivery(self):
        config = self.write_config(CONFIG.format(folder=self.folder).replace(
            "{name: work}", "{name: work, visibility_timeout: 3s}"))
        self.queuectl("send", "local", "work", "--body", "x", config=config)
        process = self.start("reply", "local", "work", "--max", "1", "--exec",
                             f"sleep 1000 & echo $! >{self.folder}/pid; wait")
        errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
        self.assertIn("it did not end in time", errors)
        pid = int((self.folder / "pid").read_text())
        wait_for("it is gone", lambda: not self.is_alive(pid))

    def test_ctrl_c_ends_a_running_command_and_gives_the_request_back(self):
        """One of them asks it to end; those that come meanwhile leave nothing behind either."""
        for rest, tidies in (("wait", "trap 'echo bye >{0}/bye; exit 0' TERM; "), ("wait", "trap '' TERM; ")):
            pid_file = self.folder / "pid"
            self.queuectl("send", "local", "work", "--body", "x")
            process = self.start("reply", "local", "work", "--exec", tidies.format(self.folder) +
                                 f"sleep 1000 & echo $! >{pid_file}.new; mv {pid_file}.new {pid_file}; {rest}")
            wait_for("it runs", pid_file.exists)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
            self.assertLess(time.monotonic() - began, 20, "less than a delivery takes")
            self.assertEqual(process.returncode, 0, errors)
            self.assertRegex(errors, "message [0-9]+ is given back: it was ended, since queuectl is to stop")
            wait_for("the command is gone", lambda: not self.is_alive(int(pid_file.read_text())))
            self.assertEqual(self.queuectl("receive", "local", "work", "--ack", "--json").stdout.count("\n"), 1)
            pid_file.unlink()
        self.assertTrue((self.folder / "bye").exists(), "SIGTERM came first")

    def test_ctrl_c_again_and_again_leaves_no_command_behind(self):
        pid_file = self.folder / "pid"
        self.queuectl("send", "local", "work", "--body", "x")
        process = self.start("reply", "local", "work", "--exec", "trap '' TERM; "
                             f"sleep 1000 & echo $! >{pid_file}.new; mv {pid_file}.new {pid_file}; wait")
        wait_for("it runs", pid_file.exists)
        process.send_signal(signal.SIGINT)
        time.sleep(0.15)  # within the 0.3 s that it has to end; later, it is ended already
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)
        wait_for("the command is gone", lambda: not self.is_alive(int(pid_file.read_text())))

    @staticmethod
    def is_alive(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
        except OSError:
            return False

    def test_what_is_wrong_is_said(self):
        for words, code, text in ((("publish", "local", "a:b", "--body", "x"), 2, "no colons"),
                                  (("publish", "local", "news"), 2, "--body"),
                                  (("publish", "local", "news", "--key", "k", "--body", "x"), 1, "no routing keys"),
                                  (("reply", "local", "work"), 2, "--exec COMMAND"),
                                  (("request", "local", "nope", "--body", "x"), 1, 'no queue "nope"'),
                                  (("request", "local", "work", "--reply-to", "nope", "--body", "x"), 1, "nope")):
            done = self.queuectl(*words, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(text, done.stderr)
        self.assertEqual(self.ready()["work"], 0)


if __name__ == "__main__":
    unittest.main()
