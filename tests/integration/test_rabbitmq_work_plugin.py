#!/usr/bin/python3
"""Delays by the delayed-message plugin, on a real RabbitMQ that has it.

The plugin is no part of RabbitMQ: QE_RABBITMQ_DELAYED_PLUGIN says where one for this version is, its .ez or folder
(https://github.com/rabbitmq/rabbitmq-delayed-message-exchange).
"""
import os
import pathlib
import sys
import time
import unittest

from child_server import SKIPPED, need_test_python

need_test_python()

PLUGIN = os.environ.get("QE_RABBITMQ_DELAYED_PLUGIN")
if not PLUGIN:
    print("skipped: no delayed-message plugin (QE_RABBITMQ_DELAYED_PLUGIN=its .ez or folder)")
    sys.exit(SKIPPED)

# pylint: disable=wrong-import-position
import pika

from rabbitmq_case import wait_for
from rabbitmq_server import RabbitServer
from rabbitmq_work_case import Working

BY_PLUGIN = "    delay_method: plugin\n"
RETRYING = BY_PLUGIN + """
consumers:
  - source: rabbit
    queue: {queue}
    workers: 1
    handler: {{type: exec, command: [/bin/sh, -c, "{command}"]}}
    retry: {{initial: 700ms, max: 700ms, max_receives: {receives}}}
"""
# Of itself it says when it was tried, how often it was delivered, and its body.
FAILS = "echo $(date +%s%N) $QUEUE_RECEIVES $(cat) >>{}/tries; exit 1"


class ByPlugin(Working):
    plugins = ("rabbitmq_management", "rabbitmq_prometheus", "rabbitmq_delayed_message_exchange")
    # RabbitMQ tries again what it could not deliver: every three minutes, unless it is told otherwise.
    settings = ",{dead_letter_worker_publisher_confirm_timeout,15000}"

    @classmethod
    def serve(cls):
        rabbit = RabbitServer(cls.plugins, settings=cls.settings)
        rabbit.foreign = pathlib.Path(PLUGIN).absolute()
        cls.addClassCleanup(rabbit.stop)
        return rabbit.start()

    def setUp(self):
        super().setUp()
        self.configure(extra=BY_PLUGIN)

    def send(self, queue, delay, count=1, **how):
        return self.queuectl("send", "rabbit", queue, "--body", "x", "--delay", delay, "--count", str(count), **how)

    def names(self):
        return {queue["name"] for queue in self.rabbit.must("GET", "/api/queues")}

    def delayed(self):
        """Messages that the plugin has."""
        status, found = self.rabbit.api("GET", "/api/exchanges/%2F/qe.delay.plugin")
        return found["messages_delayed"] if status == 200 else 0

    def test_a_message_comes_at_its_time_and_not_before(self):
        self.rabbit.queue("timed")
        begun = time.monotonic()
        self.send("timed", "1300ms")  # none of our queues' steps
        sent = time.monotonic()
        self.assertEqual(self.delayed(), 1)
        wait_for("it is there", lambda: self.depth("timed") == 1, 10)
        took = time.monotonic()
        self.assertGreaterEqual(took - begun, 1.3)
        self.assertLess(took - sent, 1.9)
        self.assertEqual(self.names() & {"qe.delay.2s", "qe.delay.to.timed"}, set())
        self.send("timed", "49d")
        done = self.send("timed", "50d", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("at most 4294967295 ms", done.stderr)

    def retry(self, kind):
        queue = f"retried-{kind}"
        self.rabbit.queue(queue, kind=kind, dead_letter_exchange="", dead_letter_routing_key=f"{queue}-dlq")
        self.rabbit.queue(f"{queue}-dlq")
        self.connect().basic_publish("", queue, "poison", pika.BasicProperties(
            headers={"a": 7, "x-delay": -5, "nested": {"b": [1, "2"]}}, message_id="m1", content_type="text/x"))
        daemon = self.daemon(config=self.configure(extra=RETRYING.format(
            queue=queue, command=FAILS.format(self.folder), receives=3)))
        wait_for("dead-lettered", lambda: self.depth(f"{queue}-dlq") == 1)
        daemon.stop()
        tries = [line.split() for line in (self.folder / "tries").read_text().splitlines()]
        self.assertEqual([(receives, body) for _, receives, body in tries], [(str(n), "poison") for n in (1, 2, 3)])
        gaps = [(int(b[0]) - int(a[0])) / 1e9 for a, b in zip(tries, tries[1:])]
        _, got, body = self.connect().basic_get(f"{queue}-dlq", auto_ack=True)
        self.assertEqual((body, got.message_id, got.content_type), (b"poison", "m1", "text/x"))
        self.assertEqual((got.headers["a"], got.headers["nested"], got.headers["dead-letter-receives"]), (7, {"b": [1, "2"]}, "3"))
        self.assertEqual(self.depth(queue), 0)
        return gaps, got.headers["x-delay"]

    def test_a_retry_waits_in_the_plugin_each_time(self):
        gaps, header = self.retry("classic")
        self.assertIn(abs(header), range(1, 701))  # the last round's, which versions of the plugin negate or not
        self.assertGreaterEqual(gaps[-1], abs(header) / 1000)
        self.assertLess(gaps[-1], abs(header) / 1000 + 0.6)
        self.assertNotIn("qe.delay.to.retried-classic", self.names())

    def test_where_the_plugin_could_lose_it_our_queues_delay(self):
        self.retry("quorum")
        self.rabbit.queue("refusing", max_length=9, overflow="reject-publish")
        self.rabbit.queue("ruled")
        self.rabbit.policy("refuse", "^ruled$", {"max-length": 9, "overflow": "reject-publish"})
        for name in ("refusing", "ruled"):
            self.send(name, "300ms")
            wait_for("it is there", lambda name=name: self.depth(name) == 1, 10)
        bound = {one["destination"] for one in self.rabbit.must("GET", "/api/bindings/%2F")
                 if one["source"] == "qe.delay.plugin.due"}
        self.assertEqual(bound & {"retried-quorum", "refusing", "ruled"}, set())
        self.assertLessEqual({"qe.delay.to.retried-quorum", "qe.delay.to.refusing", "qe.delay.to.ruled"}, self.names())

    def test_what_waits_outlives_the_broker_though_it_comes_due_meanwhile(self):
        self.rabbit.queue("outlives")
        self.rabbit.queue("outlives-quorum", kind="quorum")
        self.send("outlives-quorum", "8s", count=50)
        self.send("outlives", "25s", count=50)
        self.send("outlives", "8s", count=50)
        time.sleep(2.5)  # the plugin is up to two seconds late on the disk
        self.assertGreaterEqual(self.delayed(), 100)
        self.rabbit.kill()
        time.sleep(8)
        self.rabbit.start()
        for name, count in (("outlives", 100), ("outlives-quorum", 50)):
            wait_for(f"all are in {name}", lambda name=name, count=count: self.depth(name) == count, 60)

    def test_a_queue_that_is_deleted_while_they_wait_gets_them_when_it_is_back(self):
        self.rabbit.queue("gone")
        self.send("gone", "1500ms", count=40)
        self.rabbit.must("DELETE", "/api/queues/%2F/gone")
        done = self.send("gone", "1s", check=False)
        self.assertIn("has no queue \"gone\"", done.stderr)
        time.sleep(2)
        self.rabbit.queue("gone")
        wait_for("all are there", lambda: self.depth("gone") == 40, 60)

    def test_a_way_that_was_deleted_is_made_again(self):
        self.rabbit.queue("again")
        folder = str(self.folder)
        channel = self.connect()
        channel.basic_publish("", "again", "x")
        daemon = self.daemon(config=self.configure(extra=RETRYING.format(
            queue="again", command=f"echo tried >>{folder}/tries; exit 1", receives=1000)))
        tries = self.folder / "tries"

        def tried():
            return len(tries.read_text().split()) if tries.exists() else 0
        wait_for("tried by the plugin", lambda: tried() >= 3)
        channel.exchange_delete("qe.delay.plugin")  # what waits may be lost with it
        channel.basic_publish("", "again", "y")
        before = tried()
        wait_for("the other goes on", lambda: tried() >= before + 4)
        self.assertEqual(self.rabbit.api("GET", "/api/exchanges/%2F/qe.delay.plugin")[0], 200)
        daemon.stop()

    def test_z_without_the_plugin_one_message_says_so_and_nothing_more_is_lost(self):
        """Last: it takes the plugin away."""
        self.rabbit.queue("bereft")
        self.send("bereft", "100ms")
        wait_for("it is there", lambda: self.depth("bereft") == 1)
        daemon = self.daemon(config=self.configure(extra=RETRYING.format(
            queue="bereft", command=FAILS.format(self.folder), receives=1000)))
        tries = self.folder / "tries"
        wait_for("tried by the plugin", lambda: tries.exists() and len(tries.read_text().splitlines()) >= 3)
        self.rabbit.ctl("disable", "rabbitmq_delayed_message_exchange", program="rabbitmq-plugins")
        self.connect().basic_publish("", "bereft", "later")
        wait_for("said", lambda: "rabbitmq-plugins enable rabbitmq_delayed_message_exchange" in daemon.log(), 30)
        before = tries.read_text().count("later")
        wait_for("tried again all the same", lambda: tries.read_text().count("later") >= before + 3, 30)
        daemon.stop()
        wait_for("it is back", lambda: self.depth("bereft") >= 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
