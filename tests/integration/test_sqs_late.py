#!/usr/bin/python3
"""The dead-letter tools on Amazon SQS that is slow, silent or does not give what it counts: never an empty queue with
exit code 0."""
import json
import signal
import subprocess
import unittest

from sqs_case import WithDeadLetters

from daemon import QUEUECTL, wait_for
from fault_proxy import FaultProxy


class SqsLate(WithDeadLetters):
    def test_a_server_that_answers_late_is_not_an_empty_queue(self):
        for number in range(3):
            self.bury(f"b{number}", "timeout")
        with FaultProxy(self.moto.url) as proxy:
            self.behind(proxy)
            proxy.delay_seconds = 3.5
            proxy.add("delay", operation="ReceiveMessage")
            said = self.dlq_tool("inspect", "--yes", "--max", "0")
            self.assertIn("       3  timeout\n", said.stdout)
            self.assertEqual(said.stderr, "")
            self.assertEqual(self.counts(self.dlq), (3, 0, 0), "given back")
            self.assertEqual(len(self.dlq_tool("export", "--yes").stdout.splitlines()), 3)
            self.assertIn("moved 3 from orders-dlq\n", self.dlq_tool("redrive", "--yes", "--reason", "timeout").stdout)
        self.assertEqual((self.counts(self.orders), self.counts(self.dlq)), ((3, 0, 0), (0, 0, 0)))

    def test_nor_is_one_that_is_late_with_every_answer(self):
        self.bury("b", "timeout")
        with FaultProxy(self.moto.url) as proxy:
            self.behind(proxy)
            proxy.delay_seconds = 2.2  # more than a look has without a wait
            proxy.add("delay")
            self.assertIn("       1  timeout\n", self.dlq_tool("inspect", "--yes", "--max", "0").stdout)

    def test_no_answer_at_all_is_an_error(self):
        self.bury("b", "timeout")
        with FaultProxy(self.moto.url) as proxy:
            self.behind(proxy)
            proxy.add("never", operation="ReceiveMessage")
            for command in ("inspect", "export"):
                done = self.dlq_tool(command, "--yes", "--timeout", "2s", check=False)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertRegex(done.stderr, 'queue "orders-dlq": no answer within [0-9]+ ms')

    def test_one_that_is_stopped_before_an_answer_does_not_call_it_empty(self):
        self.bury("b", "timeout")
        with FaultProxy(self.moto.url) as proxy:
            self.behind(proxy)
            proxy.add("never", operation="ReceiveMessage")
            with subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "dlq", "inspect", "aws", "orders-dlq", "--yes"],
                                  stderr=subprocess.PIPE, text=True) as process:
                wait_for("it has asked", lambda: proxy.count("ReceiveMessage") > 0)
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=30)[1]
        self.assertIn("queuectl dlq inspect: stopped after 0 messages\n", said)
        self.assertNotIn("no message can be seen", said)

    def test_what_counts_as_ready_and_does_not_come_is_said_and_no_success(self):
        for number in range(3):
            self.bury(f"b{number}", "timeout")
        with FaultProxy(self.moto.url) as proxy:
            self.behind(proxy)
            proxy.add("empty", operation="ReceiveMessage")
            for words in (("inspect",), ("export",), ("redrive", "--reason", "timeout"), ("redrive", "--dry-run")):
                done = self.dlq_tool(*words, "--yes", "--timeout", "1s", check=False)
                self.assertEqual(done.returncode, 1, words)
                self.assertIn("saw 0 of about 3 messages of orders-dlq: 3 still ready: the broker is slow, or its "
                              "count late; run it again\n", done.stderr)

    def test_of_ordered_groups_it_is_said_how_much_waits_behind_the_first(self):
        line = self.make_queue("line-dlq.fifo")
        for number in range(4):
            self.sqs.send_message(QueueUrl=line, MessageBody=f"b{number}", MessageGroupId="one" if number < 3 else "two",
                                  MessageDeduplicationId=str(number))
        done = self.queuectl("dlq", "export", "aws", "line-dlq.fifo", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(sorted(json.loads(row)["body"] for row in done.stdout.splitlines()), ["b0", "b3"])
        self.assertIn("saw 2 of about 4 messages of line-dlq.fifo: 2 still waiting, behind others of their groups most likely\n",
                      done.stderr)


if __name__ == "__main__":
    unittest.main()
