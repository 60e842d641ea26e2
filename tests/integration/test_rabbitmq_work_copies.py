#!/usr/bin/python3
"""What a message is when it comes back as a copy, from a retry or as a dead letter, on a real RabbitMQ."""
import json
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from rabbitmq_case import wait_for
from rabbitmq_work_case import Working

FAILING = """
consumers:
  - source: rabbit
    queue: {queue}
    workers: 1
    handler: {{type: exec, command: [/bin/sh, -c, "echo tried >>{folder}/tries; exit 1"]}}
    retry: {{initial: {pause}, max: {pause}, max_receives: {tries}}}
"""


class Copies(Working):
    def work(self, queue, tries, pause="100ms"):
        return self.daemon(config=self.configure(extra=FAILING.format(
            queue=queue, folder=self.folder, tries=tries, pause=pause)))

    def tries(self):
        return len((self.folder / "tries").read_text().split()) if (self.folder / "tries").exists() else 0

    def test_of_several_dead_letter_queues_one_that_is_full_multiplies_nothing(self):
        self.rabbit.exchange("dead", "fanout")
        self.rabbit.queue("several", dead_letter_exchange="dead")
        self.rabbit.queue("several-open")
        self.rabbit.queue("several-full", max_length=1, overflow="reject-publish")
        for name in ("several-open", "several-full"):
            self.rabbit.bind("dead", name)
        channel = self.connect()
        channel.basic_publish("", "several-full", "in the way")
        channel.basic_publish("", "several", "poison", pika.BasicProperties(headers={"a": "b"}))
        daemon = self.work("several", 1)
        # Each try of the consumer is several of the settlement, and a release between.
        daemon.wait_value('queue_consumer_messages_received_total{source="rabbit",vhost="/",queue="several"}', lambda n: n >= 4)
        self.assertEqual(self.tries(), 2, "what came more than twice max_receives times is not handled")
        self.assertEqual(self.depth("several-open"), 1)
        channel.queue_purge("several-full")
        wait_for("the other copy", lambda: self.depth("several-full") == 1)
        wait_for("it is settled", lambda: self.depth("several") + self.depth("qe.delay.100ms") == 0)
        daemon.stop()
        time.sleep(0.5)
        for name in ("several-open", "several-full"):
            self.assertEqual(self.depth(name), 1, name)
            _, got, body = self.connect().basic_get(name, auto_ack=True)
            self.assertEqual((body, got.headers["a"]), (b"poison", "b"))
            self.assertNotIn("dead-letter-sent-to", got.headers)
        self.assertEqual(self.depth("several"), 0)

    def test_a_copy_has_all_the_headers_that_its_original_had(self):
        """More than attributes can hold, names of properties, and nearly as much as a frame takes."""
        self.rabbit.queue("rich", dead_letter_exchange="", dead_letter_routing_key="rich-dlq")
        self.rabbit.queue("rich-dlq")
        rows = [({f"h{i}": i for i in range(100)}, "many"), ({"content-type": "header", "priority": 7, "x": True}, "names"),
                ({"big": "x" * 120000}, "big"), ({"bytes": b"\xff" * 90000}, "bytes")]
        for headers, body in rows:
            self.connect().basic_publish("", "rich", body, pika.BasicProperties(headers=headers, content_type="text/x"))
        daemon = self.work("rich", 2)  # by a delay queue and back, then to the dead-letter queue
        wait_for("dead-lettered", lambda: self.depth("rich-dlq") == len(rows))
        daemon.stop()
        got = {}
        for _ in rows:
            _, properties, body = self.connect().basic_get("rich-dlq", auto_ack=True)
            got[body.decode()] = properties
        for headers, body in rows:
            self.assertEqual(got[body].content_type, "text/x")
            self.assertEqual(got[body].headers["dead-letter-receives"], "2")
            self.assertEqual({name: got[body].headers.get(name) for name in headers}, headers)
            self.assertFalse([name for name in got[body].headers if name.startswith(("x-death", "x-first-death"))])

    def break_delays(self):
        """A queue of this name that is not ours: nothing can be delayed."""
        self.rabbit.api("DELETE", "/api/queues/%2F/qe.delay.missing")
        self.rabbit.queue("qe.delay.missing")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/queues/%2F/qe.delay.missing")

    def test_where_no_delay_works_a_retry_is_neither_lost_nor_counted_twice(self):
        self.break_delays()
        self.rabbit.queue("patient", dead_letter_exchange="", dead_letter_routing_key="patient-dlq")
        self.rabbit.queue("patient-dlq")
        channel = self.connect()
        channel.basic_publish("", "patient", "poison")
        channel.basic_publish("", "patient", "another")
        daemon = self.work("patient", 3, pause="1s")
        wait_for("dead-lettered", lambda: self.depth("patient-dlq") == 2)
        self.assertEqual(self.tries(), 6)
        log = daemon.log()
        self.assertEqual(log.count("the broker takes no delays"), 1, log)
        self.assertIn("qe.delay.missing", log)
        daemon.stop()
        _, got, _ = self.connect().basic_get("patient-dlq", auto_ack=True)
        self.assertEqual(got.headers["dead-letter-receives"], "3")

    def test_what_waits_here_is_not_settled_before_its_time(self):
        self.break_delays()
        self.rabbit.queue("held")
        self.connect().basic_publish("", "held", "x")
        daemon = self.work("held", 3, pause="5m")
        wait_for("it waits", lambda: self.tries() and "takes no delays" in daemon.log())
        time.sleep(2)
        self.assertEqual((self.tries(), self.depth("held")), (1, 0))
        self.connect().basic_publish("", "held", "y")  # which need not wait for the first
        wait_for("tried", lambda: self.tries() == 2, 10)
        daemon.stop()
        wait_for("both are back", lambda: self.depth("held") == 2)

    def test_an_alarm_takes_no_time_and_no_delay(self):
        self.rabbit.queue("alarmed")
        channel = self.connect()
        channel.basic_publish("", "alarmed", "x")
        daemon = self.work("alarmed", 1000, pause="2s")
        wait_for("the delay's queues are known", lambda: self.tries() >= 5)
        self.rabbit.ctl("set_vm_memory_high_watermark", "0")
        try:
            wait_for("it waits here", lambda: "resource alarm" in daemon.log(), 20)
            before = self.tries()
            wait_for("and is tried again", lambda: self.tries() >= before + 3, 15)
        finally:
            self.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
        wait_for("the delay's queues again", lambda: "delays work again" in daemon.log(), 20)
        log = daemon.log()
        self.assertEqual(log.count("the broker takes no delays"), 1, log)
        self.assertNotIn("does not answer", log)
        daemon.stop()

    def test_what_waits_here_makes_nobody_hoard(self):
        """Nor is what was hoarded given back and taken again, which counts as deliveries of a quorum queue."""
        self.break_delays()
        self.rabbit.queue("shared")
        channel = self.connect()
        for i in range(300):
            channel.basic_publish("", "shared", "slow" if i >= 200 else "fail" if i % 2 else "ok")
        handler = f'read -r b; echo $b >>{self.folder}/tries; [ "$b" = slow ] && exec sleep 1; sleep 0.03; [ "$b" = ok ]'
        daemon = self.daemon(config=self.configure(extra=FAILING.format(
            queue="shared", folder=self.folder, tries=3, pause="5m").replace(
                f'"echo tried >>{self.folder}/tries; exit 1"', json.dumps(handler))))
        wait_for("the slow ones' turn", lambda: self.tries() >= 201)
        for _ in range(30):
            time.sleep(0.2)
            self.assertGreaterEqual(self.depth("shared"), 300 - self.tries() - 20)  # few are in hand
        daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
