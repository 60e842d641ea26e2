#!/usr/bin/python3
"""Who may send and receive but not list: queues are found by their names, by queuectl and by a consumer."""
import json
import unittest

from sqs_case import WithMoto

from moto_server import MotoServer

# moto asks for permission of the batch calls by their own names; AWS by those of the single ones.
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
    f"sqs:{action}" for action in ("CreateQueue", "DeleteQueue", "GetQueueUrl", "GetQueueAttributes", "SendMessage",
                                   "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch",
                                   "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "PurgeQueue")]}]}
CONSUMER = """
consumers:
  - {source: aws, queue: orders, workers: 2, handler: {type: discard}}
"""


class WithoutList(WithMoto):
    server = staticmethod(lambda: MotoServer(policy=POLICY))

    def setUp(self):
        super().setUp()
        self.config = self.write_sqs_config()

    def test_queuectl_sends_receives_redrives_and_purges(self):
        self.make_queue("orders")
        self.make_queue("orders-dlq")
        listed = self.queuectl("stats", "aws", check=False)
        self.assertEqual(listed.returncode, 1, "else this proves nothing")
        self.assertIn("ListQueues", listed.stderr)
        self.queuectl("send", "aws", "orders-dlq", "--body", "b", "--count", "3", "--attribute",
                      "dead-letter-source=orders")
        self.assertIn("moved 3 from orders-dlq\n", self.queuectl("dlq", "redrive", "aws", "orders-dlq", "--yes").stdout)
        got = self.queuectl("receive", "aws", "orders", "--ack", "--json", "--max", "1", "--wait", "2s")
        self.assertEqual(json.loads(got.stdout)["body"], "b")
        self.assertIn("purged", self.queuectl("purge", "aws", "orders", "--yes").stdout)
        absent = self.queuectl("send", "aws", "nowhere", "--body", "b", check=False)
        self.assertEqual(absent.returncode, 1)
        self.assertIn("nowhere", absent.stderr)

    def test_a_dead_letter_queue_is_purged_where_the_configuration_says_that_it_is_one(self):
        self.make_queue("letters")
        self.queuectl("send", "aws", "letters", "--body", "b")
        done = self.queuectl("dlq", "purge", "aws", "letters", "--yes", check=False)
        self.assertIn("no queue of source aws is known to dead-letter into letters", done.stderr)
        self.config = self.write_sqs_config('    dead_letter_queues: ["letters"]')
        self.assertIn("purged", self.queuectl("dlq", "purge", "aws", "letters", "--yes").stdout)

    def test_a_consumer_works(self):
        self.make_queue("orders")
        self.queuectl("send", "aws", "orders", "--body", "b", "--count", "5")
        daemon = self.daemon(config=self.write_sqs_config(extra=CONSUMER))
        daemon.wait_value('queue_consumer_messages_processed_total{source="aws",queue="orders"}', 5)
        self.assertEqual(daemon.value('queue_source_up{source="aws"}'), 0, "it cannot be watched")


if __name__ == "__main__":
    unittest.main()
