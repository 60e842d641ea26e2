#!/usr/bin/python3
"""The dead-letter tools on Amazon SQS, which shows no message without delivering it."""
import json
import signal
import subprocess
import time
import unittest

from sqs_case import WithDeadLetters, WithMoto

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
HALF_FAIL = """
consumers:
  - source: aws
    queue: orders
    workers: 4
    retry: {initial: 5m, max: 5m}
    handler: {type: exec, command: [sh, -c, "case $(cat) in bad*) exit 75;; esac"]}
"""


class SqsDlq(WithDeadLetters):
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
        self.assertRegex(done.stdout, "none of 2 canaries came back within [0-9]+s: none was dead-lettered again\n"
                                      "as far as can be seen, all were handled\nmoved 4 from orders-dlq\n")
        wait_for("all are handled", lambda: self.counts(self.orders) == (0, 0, 0))

    def test_canaries_that_nobody_handles_keep_the_rest_where_it_is(self):
        self.sqs.send_message(QueueUrl=self.orders, MessageBody="there before")
        for number in range(6):
            self.bury(f"b{number}", "timeout")
        done = self.dlq_tool("redrive", "--yes", "--canary", "2", "--canary-wait", "1s", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("up to 2 of 2 canaries still wait, or are to be tried again, in orders, which holds 3 messages, and 1 before "
                      "them: nothing more is moved\n", done.stdout)
        self.assertEqual((self.counts(self.orders), self.counts(self.dlq)), ((3, 0, 0), (4, 0, 0)))

    def test_canaries_that_wait_for_their_next_try_keep_the_rest_where_it_is(self):
        self.daemon(config=self.write_sqs_config(HALF_FAIL))
        for number in range(8):
            self.bury("bad" if number % 2 else "good", "timeout")
        done = self.dlq_tool("redrive", "--yes", "--canary", "6", "--canary-wait", "2s", check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stdout, "up to [2-4] of 6 canaries still wait, or are to be tried again, in orders, which holds "
                                      "[2-4] messages, and 0 before them: nothing more is moved\n")
        self.assertEqual(self.counts(self.dlq), (2, 0, 0))

    def test_where_a_backlog_hides_the_canaries_the_rest_stays_where_it_is(self):
        for _ in range(5):
            self.sqs.send_message(QueueUrl=self.orders, MessageBody="there before")
        self.bury("x", "timeout")
        self.bury("y", "timeout")
        with subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "dlq", "redrive", "aws", "orders-dlq", "--yes",
                               "--canary", "1", "--canary-wait", "2s"], stdout=subprocess.PIPE, text=True) as process:
            self.addCleanup(process.kill)
            wait_for("it is moved", lambda: self.counts(self.orders)[0] == 6)
            for message in self.sqs.receive_message(QueueUrl=self.orders, MaxNumberOfMessages=3)["Messages"]:
                self.sqs.delete_message(QueueUrl=self.orders, ReceiptHandle=message["ReceiptHandle"])
            said = process.communicate(timeout=PATIENCE_SECONDS)[0]
        self.assertEqual(process.returncode, 1, said)
        self.assertIn("whether one of 1 canaries was handled cannot be told in orders, which holds 3 messages, and 5 before "
                      "them: nothing more is moved; with more canaries than that it can\n", said)

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
        self.behind(proxy)
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
            self.assertIn("saw 0 of about 3 messages of orders-dlq: 3 in flight, held by somebody; run it "
                          "again later\n", done.stderr)
        for number in range(2):
            self.bury(f"more{number}", "timeout")
        done = self.dlq_tool("export", "--yes")
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertIn("saw 2 of about 5 messages of orders-dlq: 3 in flight", done.stderr)


class NamedDlq(WithMoto):
    """The source says that `letters` is a dead-letter queue; no queue's policy does."""

    def setUp(self):
        super().setUp()
        self.config = self.write_sqs_config('    dead_letter_queues: ["letters"]')
        self.letters = self.make_queue("letters")
        self.make_queue("orders")
        self.queuectl("send", "aws", "letters", "--body", "x", "--attribute", "dead-letter-reason=timeout",
                      "--attribute", "dead-letter-source=orders")

    def test_the_tools_take_it_for_one(self):
        [row] = [json.loads(line) for line in self.queuectl("dlq", "list", "--json").stdout.splitlines()]
        self.assertEqual((row["dead_letter_queue"], row["messages"], row.get("queue")), ("letters", 1, None))
        saved = self.queuectl("dlq", "export", "aws", "letters", "--yes").stdout
        self.queuectl("dlq", "purge", "aws", "letters", "--yes")
        self.assertEqual(self.counts(self.letters), (0, 0, 0))
        self.queuectl("dlq", "import", "aws", "letters", stdin=saved)
        [got] = self.take(self.letters)
        self.assertEqual({name: value["StringValue"] for name, value in got["MessageAttributes"].items()},
                         {"dead-letter-reason": "timeout", "dead-letter-source": "orders"})

    def test_top_says_that_it_is_one(self):
        rows = [line.split() for line in self.queuectl("top", "--once").stdout.splitlines()]
        self.assertIn("(dlq)", next(row for row in rows if row[:1] in (["letters"], ["!letters"])))


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
