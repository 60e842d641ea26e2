#!/usr/bin/python3
"""Handlers on a real RabbitMQ: what fails is in the DLQ with its reason, and a redrive repairs it."""
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from handler_case import Repair
from rabbitmq_case import SharingRabbit

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, discovery_interval: 1s, stale_after: 20s}}
sources:
  - name: rabbit
    type: rabbitmq
    management_url: {url}
    amqp_url: amqp://127.0.0.1:{port}
{extra}
"""


class OnRabbit(SharingRabbit, Repair):
    source, vhost = "rabbit", "/"

    def setUp(self):
        super().setUp()
        self.rabbit.queue("orders-dlq", kind="quorum")
        self.rabbit.queue("orders", kind="quorum", dead_letter_exchange="", dead_letter_routing_key="orders-dlq",
                          delivery_limit=10)
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.rabbit.amqp_port))
        self.addCleanup(connection.close)
        self.channel = connection.channel()

    def make_pair(self):
        return "orders", "orders-dlq"

    def write_handler_config(self, extra):
        return self.write_config(CONFIG.format(url=self.rabbit.url, port=self.rabbit.amqp_port, extra=extra))

    def send_all(self, queue, bodies):
        for number, body in enumerate(bodies):
            self.channel.basic_publish("", queue, body.encode(), pika.BasicProperties(message_id=f"m{number}",
                                                                                      delivery_mode=2))

    def left(self, queue):
        return self.rabbit.must("GET", f"/api/queues/%2F/{queue}").get("messages", 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
