#!/usr/bin/python3
"""Delays by a plugin that the broker does not have, on a real RabbitMQ: one message says so, and nothing is lost."""
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from rabbitmq_case import wait_for
from rabbitmq_work_case import Working

CONSUMER = """    delay_method: plugin
consumers:
  - source: rabbit
    queue: {queue}
    workers: 1
    handler:
      type: exec
      command: [/bin/sh, -c, "test $(cat) = poison && exit 65; echo $QUEUE_RECEIVES >>{folder}/tries; exit 1"]
    retry: {{initial: 1s, max: 1s, max_receives: {receives}}}
"""
SAYS = ("source rabbit: its broker lacks what delay_method: plugin needs: `rabbitmq-plugins enable "
        "rabbitmq_delayed_message_exchange`, or delay_method: queues")


class NoPlugin(Working):
    def work(self, queue, receives):
        return self.daemon(config=self.configure(extra=CONSUMER.format(
            queue=queue, folder=self.folder, receives=receives)))

    def tries(self):
        return (self.folder / "tries").read_text().split() if (self.folder / "tries").exists() else []

    def connections(self):
        """Those of the daemon: name, when they began."""
        return {(one["client_properties"]["connection_name"], one["connected_at"])
                for one in self.rabbit.must("GET", "/api/connections")
                if "queue-exporter" in one.get("client_properties", {}).get("connection_name", "")}

    def test_a_delayed_send_is_refused_and_says_what_to_do(self):
        self.configure(extra="    delay_method: plugin\n")
        self.rabbit.queue("sent")
        done = self.queuectl("send", "rabbit", "sent", "--body", "x", "--delay", "1s", check=False)
        self.assertEqual((done.returncode, done.stderr.count(SAYS)), (1, 1), done.stderr)
        self.queuectl("send", "rabbit", "sent", "--body", "x")
        self.assertEqual(self.depth("sent"), 1)
        self.rabbit.queue("sent-quorum", kind="quorum")  # for which it is not used
        self.queuectl("send", "rabbit", "sent-quorum", "--body", "x", "--delay", "100ms")
        wait_for("it is there", lambda: self.depth("sent-quorum") == 1)

    def test_a_retry_waits_here_and_costs_no_connection(self):
        self.rabbit.queue("tried", dead_letter_exchange="", dead_letter_routing_key="tried-dlq")
        self.rabbit.queue("tried-dlq")
        channel = self.connect()
        channel.basic_publish("", "tried", "poison")
        daemon = self.work("tried", 1000)
        wait_for("dead-lettered, which takes a connection to publish", lambda: self.depth("tried-dlq") == 1)
        wait_for("statistics tell of its connections", lambda: len(self.connections()) == 2)
        before = self.connections()
        for body in ("a", "b", "c"):
            channel.basic_publish("", "tried", body)
        wait_for("tried again and again", lambda: len(self.tries()) >= 12)
        self.assertEqual(self.connections(), before)
        log = daemon.log()
        self.assertEqual(log.count(SAYS), 1, log)
        self.assertNotIn("lost", log)
        daemon.stop()
        wait_for("all are back", lambda: self.depth("tried") == 3)

    def test_each_try_counts_and_the_last_one_dead_letters(self):
        self.rabbit.queue("counted", dead_letter_exchange="", dead_letter_routing_key="counted-dlq")
        self.rabbit.queue("counted-dlq")
        self.connect().basic_publish("", "counted", "x")
        daemon = self.work("counted", 3)
        wait_for("dead-lettered", lambda: self.depth("counted-dlq") == 1)
        self.assertEqual(self.tries(), ["1", "2", "3"])
        daemon.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
