#!/usr/bin/python3
"""The consumer works at full rate while everything happens to the broker: nothing is lost, what comes twice is counted,
and it recovers by itself."""
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from rabbitmq_case import wait_for
from rabbitmq_flow_case import PATIENCE, Flow
from rabbitmq_server import RabbitServer, quote


class Faults(Flow):
    def test_a_broker_that_is_killed_and_restarted(self):
        for kind in ("classic", "quorum"):
            self.rabbit.queue(kind, kind=kind)
        daemon, publishers = self.begin("classic", "quorum")

        def go_on():
            for publisher in publishers:
                self.wait_more(publisher)
        go_on()
        self.rabbit.save_names()
        self.at_full_rate(daemon, publishers, self.rabbit.kill)
        self.rabbit.start()
        go_on()
        self.rabbit.ctl("stop_app")
        self.rabbit.ctl("start_app")
        go_on()
        self.finish(daemon, *publishers, interrupted=2)

    def test_connections_that_are_closed_by_an_operator(self):
        self.rabbit.queue("closed")
        daemon, (publisher,) = self.begin("closed")
        for _ in range(3):
            self.wait_more(publisher)
            ours = wait_for("they are listed", lambda: [
                one["name"] for one in self.rabbit.must("GET", "/api/connections")
                if one.get("client_properties", {}).get("connection_name", "").startswith("queue-exporter rabbit")])
            for name in ours:
                self.rabbit.api("DELETE", f"/api/connections/{quote(name)}")
        self.wait_more(publisher)
        self.finish(daemon, publisher, interrupted=3)
        self.assertIn("CONNECTION_FORCED", daemon.log())

    def test_a_queue_that_is_deleted_and_made_again(self):
        self.rabbit.queue("deleted")
        daemon, (publisher,) = self.begin("deleted")
        self.wait_more(publisher)
        self.finish(daemon, publisher)
        self.rabbit.must("DELETE", "/api/queues/%2F/deleted")
        wait_for("it is told", lambda: "reason=not_found" in daemon.log())
        self.rabbit.queue("deleted")
        again = self.publish("deleted", first=1000000)
        self.wait_more(again)
        self.finish(daemon, again)

    def test_an_alarm_stops_who_publishes_and_not_who_consumes(self):
        self.configure()
        self.rabbit.queue("alarm")
        channel = self.connect()
        for i in range(50):
            channel.basic_publish("", "alarm", str(i))
        self.rabbit.ctl("set_vm_memory_high_watermark", "0")
        try:
            done = self.queuectl("send", "rabbit", "alarm", "--body", "x", "--timeout", "2s", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("resource alarm", done.stderr)
            self.daemon(config=self.configure(extra=self.consumers("alarm")))
            wait_for("handled all the same", lambda: len(set(self.handled("alarm"))) == 50)
        finally:
            self.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
        wait_for("sent", lambda: self.queuectl("send", "rabbit", "alarm", "--body", "y", check=False).returncode == 0)
        wait_for("and handled", lambda: "y" in self.handled("alarm"))

    def test_a_broker_that_stands_still_holds_nobody_up(self):
        """Stopped, not dead: the kernel still takes what fits, and nobody answers."""
        self.rabbit.queue("still")
        self.configure()
        self.stand_still("still")

    def test_a_full_queue_refuses_and_says_so(self):
        self.configure()
        self.rabbit.queue("full", max_length=1, overflow="reject-publish")
        self.queuectl("send", "rabbit", "full", "--body", "fits")
        done = self.queuectl("send", "rabbit", "full", "--body", "does not", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("full", done.stderr)
        self.assertEqual(self.depth("full"), 1)

    def test_a_handler_that_takes_long_keeps_its_connection(self):
        """Longer than the broker waits for a heartbeat: nothing is delivered twice."""
        rabbit = RabbitServer(more="heartbeat = 3\n").start()
        self.addCleanup(rabbit.stop)
        rabbit.queue("long")
        config = self.configure(rabbit=rabbit, extra=f"""
consumers:
  - source: rabbit
    queue: long
    workers: 1
    handler: {{type: exec, command: [/bin/sh, -c, "sleep 12; echo done >>{self.folder}/long.ids"]}}
""")
        self.connect(rabbit).basic_publish("", "long", "x")
        daemon = self.daemon(config=config)
        wait_for("handled", lambda: self.handled("long") == ["done"], PATIENCE)
        wait_for("acked", lambda: daemon.value(
            'queue_consumer_messages_processed_total{source="rabbit",vhost="/",queue="long"}') == 1)
        self.assertEqual(daemon.value(
            'queue_consumer_messages_received_total{source="rabbit",vhost="/",queue="long"}'), 1)
        self.assertNotIn("missed heartbeats", rabbit.log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
