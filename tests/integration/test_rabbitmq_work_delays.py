#!/usr/bin/python3
"""Delayed messages on a real RabbitMQ: a queue that is deleted or full holds up nobody else's, and loses none."""
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from rabbitmq_case import series, wait_for
from rabbitmq_work_case import Working

RETRIED_SECONDS = 60


class Delays(Working):
    # RabbitMQ tries again what it could not deliver: every three minutes, unless it is told otherwise.
    settings = ",{dead_letter_worker_publisher_confirm_timeout,15000}"

    def setUp(self):
        super().setUp()
        self.config = self.configure()

    def send(self, queue, count, delay="2s", **how):
        return self.queuectl("send", "rabbit", queue, "--body", "x", "--delay", delay, "--count", str(count), **how)

    def waiting(self, name):
        """Messages of a queue, ready or kept since nobody takes them."""
        found = self.rabbit.must("GET", f"/api/queues/%2F/{name}")
        return found.get("messages_ready", 0) + found.get("messages_dlx", 0)

    def names(self):
        return {queue["name"] for queue in self.rabbit.must("GET", "/api/queues")}

    def test_a_queue_that_is_gone_or_full_holds_up_nobody_and_loses_nothing(self):
        for name, arguments in (("gone", {}), ("full", {"max_length": 5, "overflow": "reject-publish"}),
                                ("healthy", {})):
            self.rabbit.queue(name, **arguments)
        self.send("gone", 120)
        self.send("full", 120)
        self.rabbit.must("DELETE", "/api/queues/%2F/gone")
        time.sleep(3)  # all of those are due
        begun = time.monotonic()
        self.send("healthy", 200)
        wait_for("all of the others' are there", lambda: self.depth("healthy") == 200, 20)
        self.assertLess(time.monotonic() - begun, 15)
        self.assertEqual(self.depth("full"), 5)
        daemon = self.daemon(config=self.config)
        self.wait_values("how many wait for whom", daemon, {
            series("queue_dead_letter_pending_messages", "qe.delay.to.gone"): 120,
            series("queue_dead_letter_pending_messages", "qe.delay.to.full"): 115,
            series("queue_is_delay_queue", "qe.delay.to.gone"): 1, series("queue_is_delay_queue", "qe.delay.missing"): 1,
            series("queue_is_delay_queue", "qe.delay.2s"): 1, series("queue_is_delay_queue", "full"): None})
        page = daemon.values()
        self.assertFalse([name for name, value in page.items() if value and name.startswith(
            ("queue_is_dead_letter_queue{", "queue_dead_letter_info{", 'queue_config_warning{check="dead_letter'))])
        daemon.stop()
        self.rabbit.queue("gone")
        channel = self.connect()
        channel.queue_purge("full")
        wait_for("what waited is delivered", lambda: self.depth("gone") == 120, RETRIED_SECONDS)
        wait_for("as many as it takes", lambda: self.depth("full") == 5, RETRIED_SECONDS)
        # Of the API's statistics, which come later than what they count.
        wait_for("nothing is left", lambda: self.waiting("qe.delay.to.gone") == 0)
        wait_for("what found no room is kept", lambda: self.waiting("qe.delay.to.full") == 110)

    def test_what_has_no_landing_queue_any_more_comes_all_the_same(self):
        self.rabbit.queue("astray")
        self.send("astray", 50)
        self.rabbit.must("DELETE", "/api/queues/%2F/qe.delay.to.astray")
        wait_for("all are there", lambda: self.depth("astray") == 50, 20)

    def test_a_name_as_long_as_they_get(self):
        long = "é" * 126 + "abc"
        self.rabbit.queue(long)
        self.send(long, 3, delay="100ms")
        wait_for("all are there", lambda: self.depth(long) == 3, 20)
        landing = [name for name in self.names() if name.startswith("qe.delay.to.é")]
        self.assertEqual([len(name.encode()) <= 255 for name in landing], [True])

    def test_what_waits_outlives_the_broker(self):
        self.rabbit.queue("outlives")
        self.send("outlives", 50, delay="10s")
        self.rabbit.crash()
        self.rabbit.start()
        wait_for("all are there", lambda: self.depth("outlives") == 50, 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
