"""What the tests of working on RabbitMQ's queues share."""
import pika

from rabbitmq_case import WithRabbit

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, discovery_interval: 3s, stale_after: 20s}}
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


class Working(WithRabbit):
    def configure(self, extra="", rabbit=None):
        rabbit = rabbit or self.rabbit
        return self.write_config(CONFIG.format(
            management=rabbit.url, extra=extra, amqp=f"amqp://127.0.0.1:{rabbit.amqp_port}"))

    def connect(self, rabbit=None):
        """A channel of pika, with confirms."""
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", (rabbit or self.rabbit).amqp_port, heartbeat=0))
        self.addCleanup(lambda: connection.is_open and connection.close())
        channel = connection.channel()
        channel.confirm_delivery()
        return channel

    def depth(self, name, rabbit=None):
        """Ready messages, as the broker counts them now."""
        return self.connect(rabbit).queue_declare(name, passive=True).method.message_count
