#!/usr/bin/python3
"""What the consumer promises on every broker: on Amazon SQS."""
import unittest

from sqs_case import OnSqs

from consumer_case import Limits, OverHttp, Settling
from order_case import InOrder


class Promises(Limits, Settling, OverHttp, OnSqs):
    max_receives = 100
    request_names_its_queue = True

    def make_reply_queue(self):
        return self.make("replies")

    def ask(self, queue, body, reply_to, correlation_id):
        attributes = {"reply-to": reply_to, **({"correlation-id": correlation_id} if correlation_id else {})}
        self.send_entries(queue, [{"MessageBody": body, "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}}])

    def replies(self, queue):
        return [(one["Body"], one["MessageAttributes"]["correlation-id"]["StringValue"])
                for one in self.take(self.urls[queue], 10)]


class Order(InOrder, OnSqs):
    max_receives = 100

    def check(self, queue, entry, order_by="customer"):
        self.make(queue)
        config = self.write_handler_config(self.consumers(queue, 8, order_by))
        self.check_order(self.daemon(config=config), queue, lambda messages: self.send_entries(
            queue, [{"MessageBody": body, **entry(group, body)} for group, body in messages]))

    def test_order_by_on_a_standard_queue(self):
        self.check("orders", lambda group, _: {
            "MessageAttributes": {"customer": {"DataType": "String", "StringValue": group}}})

    def test_the_brokers_own_groups_on_a_fifo_queue(self):
        self.check("orders.fifo", lambda group, body: {
            "MessageGroupId": group, "MessageDeduplicationId": body}, order_by=None)


if __name__ == "__main__":
    unittest.main(verbosity=2)
