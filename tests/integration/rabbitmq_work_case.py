"""What the tests of working on RabbitMQ's queues share."""
import itertools
import signal
import subprocess
import time

import pika

from daemon import QUEUECTL, wait_for
from rabbitmq_case import SharingRabbit

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, discovery_interval: {discovery}s, stale_after: 20s}}
sources:
  - name: rabbit
    type: rabbitmq
    management_url: {management}
    amqp_url: {amqp}
{extra}
"""
# Writes the body of each message into a file, and acks it.
WORKER = """
import json, sys
with open(sys.argv[1], "a", buffering=1) as out:
    for line in sys.stdin:
        question = json.loads(line)
        out.write(question["message"]["body"] + "\\n")
        print(json.dumps({"id": question["id"], "result": "ack"}), flush=True)
"""


class Working(SharingRabbit):
    def configure(self, extra="", rabbit=None, discovery=3, shutdown="5s"):
        rabbit = rabbit or self.rabbit
        return self.write_config(CONFIG.replace("shutdown_timeout: 5s", f"shutdown_timeout: {shutdown}").format(
            management=rabbit.url, extra=extra, discovery=discovery, amqp=f"amqp://127.0.0.1:{rabbit.amqp_port}"))

    def connect(self, rabbit=None):
        """A channel of pika, with confirms."""
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", (rabbit or self.rabbit).amqp_port, heartbeat=0))
        self.addCleanup(lambda: connection.is_open and connection.close())
        channel = connection.channel()
        channel.confirm_delivery()
        return channel

    def stand_still(self, queue, rabbit=None):
        """The broker is stopped, not dead, while it is sent to: who sends says so in time, and who receives."""
        rabbit = rabbit or self.rabbit
        large = self.folder / "large"
        large.write_bytes(b"x" * (8 << 20))
        sender = subprocess.Popen(
            [QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "send", "rabbit", queue, "--file", large,
             "--count", "0", "--rate", "5", "--timeout", "3s"], stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (sender.kill(), sender.wait()))
        wait_for("it sends", lambda: self.depth(queue, rabbit) > 0)
        rabbit.signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            words = sender.communicate(timeout=40)[1]
            self.assertEqual(sender.returncode, 1)
            self.assertRegex(words, "confirm|lost")
            self.assertLess(time.monotonic() - begun, 12)
            begun = time.monotonic()
            done = self.queuectl("receive", "rabbit", queue, "--timeout", "2s", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertLess(time.monotonic() - begun, 12)
        finally:
            rabbit.signal(signal.SIGCONT)

    def depth(self, name, rabbit=None):
        """Ready messages, as the broker counts them now."""
        return self.connect(rabbit).queue_declare(name, passive=True).method.message_count


class OnRabbit(Working):
    """How queues are worked on here, as handler_case.py and others ask."""

    source, vhost = "rabbit", "/"
    delivery_limit = 10
    numbers = itertools.count()  # what a test leaves in a queue for delays comes into no other test's

    def setUp(self):
        super().setUp()
        self.channel = self.connect()

    def make(self, name, **more):
        name = f"{name}{next(self.numbers)}"
        self.rabbit.queue(name, kind="quorum", **more)
        return name

    def make_pair(self):
        dlq = self.make("orders-dlq")
        return self.make("orders", dead_letter_exchange="", dead_letter_routing_key=dlq,
                         delivery_limit=self.delivery_limit), dlq

    def write_handler_config(self, extra):
        return self.configure(extra, discovery=1)

    def send(self, queue, body, **properties):
        self.channel.basic_publish("", queue, body.encode(), pika.BasicProperties(delivery_mode=2, **properties))

    def send_all(self, queue, bodies):
        for number, body in enumerate(bodies):
            self.send(queue, body, message_id=f"m{number}")

    def ready(self, queue):
        return self.depth(queue)

    def left(self, queue):
        """None while its statistics are behind what the broker says of the ready ones now."""
        row = self.rabbit.must("GET", f"/api/queues/%2F/{queue}")
        return row.get("messages") if row.get("messages_ready") == self.depth(queue) else None
