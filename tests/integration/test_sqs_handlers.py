#!/usr/bin/python3
"""Handlers on Amazon SQS: what fails is in the DLQ with its reason, and a redrive repairs it."""
import unittest

from sqs_case import WithMoto

from handler_case import Repair


class OnSqs(WithMoto, Repair):
    source = "aws"

    def setUp(self):
        super().setUp()
        self.urls = {"orders-dlq": self.make_queue("orders-dlq")}
        self.urls["orders"] = self.make_queue("orders", self.urls["orders-dlq"], max_receives=10)

    def make_pair(self):
        return "orders", "orders-dlq"

    def write_handler_config(self, extra):
        return self.write_sqs_config(extra)

    def send_all(self, queue, bodies):
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.urls[queue], MessageBody=body)

    def left(self, queue):
        return sum(self.counts(self.urls[queue]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
