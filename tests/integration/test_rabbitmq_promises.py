#!/usr/bin/python3
"""What the consumer promises on every broker: on a real RabbitMQ."""
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from consumer_case import Limits, OverHttp, Settling
from rabbitmq_work_case import OnRabbit


class Promises(Limits, Settling, OverHttp, OnRabbit):
    delivery_limit = 100
    request_names_its_queue = False

    def make_reply_queue(self):
        return self.make("replies")

    def ask(self, queue, body, reply_to, correlation_id):
        self.send(queue, body, reply_to=reply_to, correlation_id=correlation_id, message_id=f"asked-{correlation_id}")

    def replies(self, queue):
        taken = []
        while (got := self.channel.basic_get(queue, auto_ack=True))[0] is not None:
            taken.append((got[2].decode(), got[1].correlation_id))
        return taken


if __name__ == "__main__":
    unittest.main(verbosity=2)
