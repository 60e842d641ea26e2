#!/usr/bin/python3
"""order_by on a real RabbitMQ: each group's messages are handled in the order they were sent, also after failures."""
import json
import sys
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from handler_case import of
from order_case import InOrder
from rabbitmq_case import wait_for
from rabbitmq_work_case import Working

# Takes its time. What is called "late" fails the first time, and is to come again after 5 s.
SLOW = """
import json, os, sys, time
folder = sys.argv[1]
out = os.open(folder + "/handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for line in sys.stdin:
    call = json.loads(line)
    name = call["message"]["body"].split()[0]
    time.sleep(0.4)
    if name == "late" and not os.path.exists(folder + "/failed"):
        open(folder + "/failed", "x").close()
        print(json.dumps({"id": call["id"], "result": "retry", "delay": 5}), flush=True)
        continue
    os.write(out, (name + "\\n").encode())
    print(json.dumps({"id": call["id"], "result": "ack"}), flush=True)
"""
MODEST = """    username: modest
    password: modest
consumers:
  - source: rabbit
    queue: {queue}
    workers: 2
    order_by: customer
    handler: {{type: coprocess, command: {command}}}
"""
TOO_LARGE = 17_000_000  # to wait for its delay in the consumer's process
TAKES_NONE = "the broker takes no delays"


class OnRabbit(InOrder, Working):
    source, vhost = "rabbit", "/"

    def check(self, kind, **more):
        queue = f"{kind}-orders"
        self.rabbit.queue(queue, kind=kind, **more)
        channel = self.connect()

        def send(messages):
            for group, body in messages:  # without an id: each is known by what it says
                channel.basic_publish("", queue, body.encode(), pika.BasicProperties(
                    headers={"customer": group}, delivery_mode=2))
        self.check_order(self.daemon(config=self.configure(self.consumers(queue, 8))), queue, send)

    def test_order_on_a_classic_queue(self):
        self.check("classic")

    def test_order_on_a_quorum_queue(self):
        self.check("quorum", delivery_limit=50)

    def test_a_backlog_on_a_quorum_queue_that_puts_what_comes_back_at_its_end(self):
        """Without a delivery limit. The consumer asks for more at a time while messages are on their way to it."""
        self.rabbit.queue("endless", kind="quorum")
        channel = self.connect()
        for number in range(60):
            for group in range(8):
                channel.basic_publish("", "endless", f"g{group}.{number:02}".encode(), pika.BasicProperties(
                    headers={"customer": f"g{group}"}, delivery_mode=2))
        daemon = self.daemon(config=self.configure(self.consumers("endless", 4)))
        wait_for("all are handled", lambda: of(daemon, "queue_consumer_messages_processed_total", "rabbit", "endless",
                                               vhost="/") == 480, 60)
        done = (self.folder / "handled").read_text(encoding="utf-8").split()
        for group in range(8):
            self.assertEqual([name for name in done if name.startswith(f"g{group}.")],
                             [f"g{group}.{number:02}" for number in range(60)])

    def test_order_where_delays_cannot_be_declared(self):
        """What has no room to wait goes back at once, and is there again before one that waits."""
        self.rabbit.must("PUT", "/api/users/modest", {"password": "modest", "tags": "monitoring"})
        self.rabbit.must("PUT", "/api/permissions/%2F/modest", {"configure": "^$", "write": ".*", "read": ".*"})
        self.rabbit.queue("modest")
        (self.folder / "slow.py").write_text(SLOW, encoding="utf-8")
        command = json.dumps([sys.executable, "-S", str(self.folder / "slow.py"), str(self.folder)])
        channel = self.connect()

        def send(group, body):
            channel.basic_publish("", "modest", body.encode(), pika.BasicProperties(headers={"customer": group}))
        send("a", "late")
        send("a", "next " + "x" * TOO_LARGE)
        for number in range(60):  # 12 s of work, for it is known after 10 s whether the first is missing
            send(f"other {number}", f"other{number}")
        daemon = self.daemon(config=self.configure(MODEST.format(queue="modest", command=command)))
        wait_for("the first has failed", lambda: TAKES_NONE in daemon.log())
        for number in range(60, 70):
            send(f"other {number}", f"other{number}")
        wait_for("all are handled", lambda: of(daemon, "queue_consumer_messages_processed_total", "rabbit", "modest",
                                               vhost="/") == 72, 60)
        done = (self.folder / "handled").read_text(encoding="utf-8").split()
        self.assertEqual([name for name in done if not name.startswith("other")], ["late", "next"])
        self.assertGreater(done.index("next"), done.index("other59"))
        log = daemon.log()
        self.assertEqual(log.count(TAKES_NONE), 1, log)
        self.assertNotIn("delays work again", log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
