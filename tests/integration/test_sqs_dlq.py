#!/usr/bin/python3
"""The dead-letter tools on Amazon SQS, which shows no message without delivering it."""
import json
import signal
import subprocess
import time
import unittest

from sqs_case import WithMoto

from fault_proxy import FaultProxy
from moto_server import MotoServer

from daemon import PATIENCE_SECONDS, QUEUECTL, wait_for
from tmux_case import Terminal, need_tmux

need_tmux()

HANDLING = """
consumers:
  - {source: aws, queue: orders, handler: {type: discard}}
"""
FAILING = """
consumers:
  - {source: aws, queue: orders, handler: {type: simulate, error_rate: 1}, retry: {max_receives: 1}}
"""


class SqsDlq(WithMoto):
    def setUp(self):
        super().setUp()
        self.config = self.write_sqs_config()
        self.dlq = self.make_queue("orders-dlq", MessageRetentionPeriod=1209600)
        self.orders = self.make_queue("orders", self.dlq)

    def bury(self, body, reason):
        self.sqs.send_message(QueueUrl=self.dlq, MessageBody=body, MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in (("dead-letter-reason", reason), ("dead-letter-source", "orders"))})

    def dlq_tool(self, *words, **more):
        return self.queuectl("dlq", *words[:1], "aws", "orders-dlq", *words[1:], **more)

    def test_list_shows_the_link_and_what_waits(self):
        self.bury("b", "timeout")
        [row] = [json.loads(line) for line in self.queuectl("dlq", "list", "--json").stdout.splitlines()]
        self.assertEqual((row["queue"], row["dead_letter_queue"], row["messages"]), ("orders", "orders-dlq", 1))

    def test_top_shows_what_is_known_and_what_is_not(self):
        self.bury("b", "timeout")
        self.sqs.send_message_batch(QueueUrl=self.orders, Entries=[{"Id": str(i), "MessageBody": "x"} for i in range(3)])
        terminal = Terminal(self)
        terminal.run(f"{QUEUECTL} --config.file={self.config} top; echo ended $?")

        def words(screen, queue):
            return next((line.split() for line in screen if line[1:].startswith(queue + " ")), [])
        screen = terminal.until("orders-dlq")
        # READY, IN FLT, IN/s and OUT/s that nobody counts, OLDEST that is not asked for, DLQ, STATE
        self.assertEqual(words(screen, "orders")[1:], ["3", "0", "-", "-", "-", "1", "-"], screen)
        self.assertEqual(words(screen, "orders-dlq")[1:], ["1", "0", "-", "-", "-", "(dlq)", "-"], screen)
        self.sqs.send_message(QueueUrl=self.orders, MessageBody="x")
        terminal.until(lambda screen: words(screen, "orders")[1:2] == ["4"])
        terminal.keys("q")
        terminal.until("ended 0")

    def test_inspect_says_what_looking_does_and_wants_a_yes(self):
        self.bury("b", "permanent: why")
        done = self.dlq_tool("inspect", check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, "cannot show messages without receiving them: up to 1000 messages of orders-dlq "
                                      "are received, .* delivered once more than before. Say --yes")
        said = self.dlq_tool("inspect", "--yes").stdout
        self.assertRegex(said, "permanent: why, .*from orders, 1 bytes")
        self.assertIn("       1  permanent\n", said)
        self.assertEqual(self.counts(self.dlq), (1, 0, 0), "given back")

    def test_inspect_sees_each_once_and_gives_all_back(self):
        for number in range(35):
            self.bury(f"b{number}", "timeout" if number < 20 else "permanent")
        rows = [json.loads(line) for line in
                self.dlq_tool("inspect", "--yes", "--json", "--max", "99").stdout.splitlines()]
        self.assertEqual(sorted(row["body"] for row in rows), sorted(f"b{number}" for number in range(35)))
        self.assertEqual(self.counts(self.dlq), (35, 0, 0))

    def test_only_what_matches_is_redriven(self):
        for number in range(12):
            self.bury(f"b{number}", "timeout" if number % 2 else "permanent")
        self.assertIn("would move 6 to orders\n", self.dlq_tool("redrive", "--dry-run", "--yes", "--reason",
                                                                "timeout").stdout)
        done = self.dlq_tool("redrive", "--yes", "--reason", "timeout")
        self.assertEqual(done.stdout, "moved 6 from orders-dlq\nleft 6 that do not match\n")
        self.assertEqual((self.counts(self.orders), self.counts(self.dlq)), ((6, 0, 0), (6, 0, 0)))

    def test_canaries_that_come_back_keep_the_rest_where_it_is(self):
        self.daemon(config=self.write_sqs_config(FAILING))
        for number in range(6):
            self.bury(f"b{number}", "timeout")
        began = time.monotonic()
        done = self.dlq_tool("redrive", "--yes", "--canary", "2", "--canary-wait", "1h", check=False)
        self.assertLess(time.monotonic() - began, PATIENCE_SECONDS)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stdout, "[12] of 2 canaries came back within [0-9]+s: nothing more is moved")
        wait_for("all are back", lambda: self.counts(self.dlq) == (6, 0, 0))

    def test_canaries_that_do_not_come_back_are_followed_by_the_rest(self):
        self.daemon(config=self.write_sqs_config(HANDLING))
        for _ in range(6):
            self.bury("twin", "timeout")  # each looks like the canaries, and is hardly older
        done = self.dlq_tool("redrive", "--yes", "--canary", "2", "--canary-wait", "1s")
        self.assertRegex(done.stdout, "none of 2 canaries came back within [0-9]+s\nmoved 4 from orders-dlq\n")
        wait_for("all are handled", lambda: self.counts(self.orders) == (0, 0, 0))

    def test_canaries_that_nobody_handles_keep_the_rest_where_it_is(self):
        self.sqs.send_message(QueueUrl=self.orders, MessageBody="there before")
        for number in range(6):
            self.bury(f"b{number}", "timeout")
        done = self.dlq_tool("redrive", "--yes", "--canary", "2", "--canary-wait", "1s", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("2 canaries still wait in orders, which holds 3 messages, and 1 before them: nobody seems to have handled them: "
                      "nothing more is moved\n", done.stdout)
        self.assertEqual((self.counts(self.orders), self.counts(self.dlq)), ((3, 0, 0), (4, 0, 0)))

    def test_canaries_that_die_elsewhere_are_found_there(self):
        grave = self.make_queue("elsewhere-dlq")
        self.make_queue("elsewhere", grave)
        self.daemon(config=self.write_sqs_config(FAILING.replace("queue: orders", "queue: elsewhere")))
        for number in range(6):
            self.bury(f"b{number}", "timeout")
        done = self.dlq_tool("redrive", "--yes", "--to", "elsewhere", "--canary", "2", "--canary-wait", "1h", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "[12] of 2 canaries failed within [0-9]+s, and are dead letters in elsewhere-dlq: ")
        self.assertEqual(self.counts(self.dlq), (4, 0, 0))

    def stop_inspect(self, proxy):
        """Ctrl-C while the server is slow with more than what was seen; what it says then."""
        self.config = self.write_sqs_config()
        self.config.write_text(self.config.read_text(encoding="utf-8").replace(self.moto.url, proxy.url), encoding="utf-8")
        for _ in range(4):
            self.sqs.send_message_batch(QueueUrl=self.dlq, Entries=[{"Id": str(i), "MessageBody": "x"} for i in range(10)])
        with subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "dlq", "inspect", "aws", "orders-dlq", "--yes",
                               "--max", "0"], text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            wait_for("some are received", lambda: self.counts(self.dlq)[1] > 0)
            wait_for("it asks for more", lambda: proxy.count() >= 3)
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
        self.assertEqual(process.returncode, 1)
        return errors

    def test_ctrl_c_gives_back_what_a_slow_server_has_sent_meanwhile(self):
        with FaultProxy(self.moto.url) as proxy:
            proxy.delay_seconds = 1.5
            proxy.add("delay", operation="ReceiveMessage")
            errors = self.stop_inspect(proxy)
        self.assertRegex(errors, "stopped after [0-9]+ messages")
        self.assertNotIn("could not be given back", errors)
        self.assertEqual(self.counts(self.dlq), (40, 0, 0))

    def test_ctrl_c_tells_for_how_long_others_do_not_see_what_was_not_given_back(self):
        with FaultProxy(self.moto.url) as proxy:
            proxy.delay_seconds = 1.5
            proxy.add("delay", operation="ReceiveMessage")
            proxy.add("never", operation="ChangeMessageVisibilityBatch")
            began = time.monotonic()
            errors = self.stop_inspect(proxy)
            self.assertLess(time.monotonic() - began, 30)
        self.assertRegex(errors, "[0-9]+ could not be given back, and come back when their visibility ends, within [0-9]+s: ")

    def test_what_is_exported_can_be_imported_with_the_types_of_its_attributes(self):
        attributes = {"number": {"DataType": "Number.int", "StringValue": "7"},
                      "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\x01\xff"}}
        self.sqs.send_message(QueueUrl=self.dlq, MessageBody="grüße", MessageAttributes=attributes)
        saved = self.dlq_tool("export", "--yes").stdout
        self.assertEqual(self.counts(self.dlq), (1, 0, 0), "it stays")
        self.dlq_tool("purge", "--yes")
        self.assertEqual(self.counts(self.dlq), (0, 0, 0))
        self.dlq_tool("import", stdin=saved)
        [got] = self.take(self.dlq)
        self.assertEqual((got["Body"], got["MessageAttributes"]), ("grüße", attributes))

    def test_a_request_needs_a_queue_for_its_reply(self):
        replies = self.make_queue("replies")
        done = self.queuectl("request", "aws", "orders", "--body", "x", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("makes no queues for replies: name one with --reply-to", done.stderr)
        with subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "reply", "aws", "orders", "--max", "1", "--exec",
                               "tr a-z A-Z"]) as answering:
            self.addCleanup(answering.kill)
            done = self.queuectl("request", "aws", "orders", "--reply-to", "replies", "--body", "hello")
            self.assertEqual(done.stdout, "HELLO\n")
            self.assertEqual(answering.wait(PATIENCE_SECONDS), 0)
        self.assertEqual((self.counts(self.orders), self.counts(replies)), ((0, 0, 0), (0, 0, 0)))
        done = self.queuectl("publish", "aws", "news", "--body", "x", check=False)
        self.assertIn("type sqs cannot publish", done.stderr)


    def test_what_another_holds_is_not_called_an_empty_queue(self):
        for number in range(3):
            self.bury(f"b{number}", "timeout")
        self.sqs.receive_message(QueueUrl=self.dlq, MaxNumberOfMessages=10, VisibilityTimeout=60)
        for words, out in ((("redrive", "--yes"), "moved 0 from orders-dlq\n"), (("inspect", "--yes"), ""),
                           (("redrive", "--yes", "--dry-run"), "would move nothing\n"), (("export", "--yes"), "")):
            done = self.dlq_tool(*words)
            self.assertEqual(done.stdout, out)
            self.assertIn("nothing could be received, but about 3 of orders-dlq are in flight: somebody holds them",
                          done.stderr)


class WithoutRelease(WithMoto):
    """The key may do all but give messages back."""

    server = staticmethod(lambda: MotoServer(policy={"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "sqs:ChangeMessageVisibility*", "Resource": "*"}]}))

    def test_what_cannot_be_given_back_is_said(self):
        self.write_sqs_config()
        for dlq, command, *words in (("a-dlq", "inspect"), ("b-dlq", "redrive", "--reason", "other")):
            self.sqs.send_message(QueueUrl=self.make_queue(dlq), MessageBody="b")
            done = self.queuectl("dlq", command, "aws", dlq, "--yes", *words)
            self.assertRegex(done.stderr, "1 could not be given back, and come back when their visibility ends, within [0-9]+s: .*"
                                          "not authorized")


if __name__ == "__main__":
    unittest.main()
