#!/usr/bin/python3
"""The reference consumer on RabbitMQ, killed again and again, and the broker with it: see crash_case.py."""
import json
import time
import unittest

from child_server import need_test_python
from rabbitmq_server import HOST, RabbitServer, need_rabbitmq

need_rabbitmq()  # before anything else
need_test_python()

# pylint: disable=wrong-import-position
import pika

from crash_case import DLQ, IS_FULL, QUEUE, CrashCase, Misbehaving, Sender
from daemon import wait_for


class Rabbit:
    """One server for all tests of the program, each with queues of its own virtual host."""

    can_restart = True
    behind_seconds = 4
    restart_is = "broker killed and started"
    kind = "classic"
    server = None

    def __init__(self, case):
        self.vhost = case.id().rpartition(".")[2][:40] + self.kind

    @classmethod
    def begin(cls):
        if Rabbit.server is None:
            # What it could not deliver, it tries again every three minutes, unless it is told otherwise.
            Rabbit.server = RabbitServer(settings=",{dead_letter_worker_publisher_confirm_timeout,15000}").start()
            unittest.addModuleCleanup(Rabbit.server.stop)

    def start(self):
        self.begin()
        self.server.vhost(self.vhost)
        self.server.must("PUT", f"/api/permissions/{self.vhost}/guest",
                         {"configure": ".*", "write": ".*", "read": ".*"})
        self.server.queue(DLQ, self.vhost, self.kind)
        self.server.queue(QUEUE, self.vhost, self.kind, dead_letter_exchange="", dead_letter_routing_key=DLQ,
                          **({"delivery_limit": 1000} if self.kind == "quorum" else {}))

    def config(self, _direct):
        return f"""  - name: it
    type: rabbitmq
    management_url: {self.server.url}
    amqp_url: amqp://{HOST}:{self.server.amqp_port}
    vhosts: [{self.vhost}]"""

    def delay_queues(self):
        found = self.server.must("GET", f"/api/queues/{self.vhost}")
        return [queue for queue in found if queue["name"].startswith("qe.delay.")]

    def restart(self):
        self.server.crash()
        self.server.start()

    def tell(self):
        queues = self.server.must("GET", f"/api/queues/{self.vhost}")
        return f"{json.dumps(queues)}\n{self.server.log()[-6000:]}"

    def count(self):
        """Those that wait for their next try, too, as far as the API knows: it is seconds behind."""
        return sum(queue.get("messages", queue["name"] == QUEUE)
                   for queue in self.server.must("GET", f"/api/queues/{self.vhost}") if queue["name"] != DLQ)

    def read(self, queue):
        """Takes them: another client may. What waits for its next try comes back to the queue within seconds."""
        numbers = self.take(queue)
        if queue == QUEUE:
            for waiting in self.delay_queues():
                if "state" in waiting:  # one that never answers has never confirmed either
                    numbers += self.take(waiting["name"])
            time.sleep(2)  # for those between the two
            numbers += self.take(queue)
        return numbers

    def take(self, queue):
        numbers = []
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            HOST, self.server.amqp_port, self.vhost, heartbeat=0))
        channel = connection.channel()
        while True:
            found, _, body = channel.basic_get(queue, auto_ack=True)
            if found is None:
                break
            numbers.append(json.loads(body)["n"])
        connection.close()
        return numbers


class QuorumRabbit(Rabbit):
    kind = "quorum"


class ClassicQueue(CrashCase):
    broker = Rabbit

    def test_no_message_is_lost_when_daemon_and_broker_are_killed(self):
        self.survive()

    def test_a_delay_queue_that_never_answers_holds_up_nothing(self):
        self.configure("at_least_once", "coprocess", False)
        Sender(self, 50).end()
        daemon = self.start_life()
        wait_for("a delay queue", self.source.delay_queues)
        self.source.server.kill()  # at once after its declaration: see crash()
        self.source.server.start()
        time.sleep(3)
        broken = [queue["name"] for queue in self.source.delay_queues() if "state" not in queue]
        if not broken:
            self.skipTest("RabbitMQ has saved the queue in time")
        # What waits before a broken landing queue waits for whoever deletes it, as the driver's README says.
        for name in broken:
            if name.startswith("qe.delay.to."):
                print(f"\n{name} is broken, and deleted", flush=True)
                self.source.server.must("DELETE", f"/api/queues/{self.source.vhost}/{name}")
        Sender(self, 1000).end()
        began = time.monotonic()
        self.drain(daemon)
        self.assertLess(time.monotonic() - began, 30, "each retry costs seconds")
        self.assertEqual(daemon.stop(), 0)
        self.judge(f"\n{self.id()}: {time.monotonic() - began:.0f} s", 0, 1)


class QuorumQueue(Misbehaving, CrashCase):
    broker = QuorumRabbit

    @unittest.skipUnless(IS_FULL, "at full size only: the test below loses none either")
    def test_no_message_is_lost_when_daemon_and_broker_are_killed(self):
        self.survive()

    def test_what_is_recorded_as_handled_is_not_handled_again(self):
        self.survive("effectively_once")


if __name__ == "__main__":
    unittest.main(verbosity=1)
