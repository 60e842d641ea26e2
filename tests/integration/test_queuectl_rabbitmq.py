#!/usr/bin/python3
"""queuectl looks at a real RabbitMQ: dead letters, and queues that send everything back after a while."""
import json
import time
import unittest

from rabbitmq_case import CONFIG, WithRabbit

from daemon import wait_for
from tmux_case import Terminal, need_tmux

need_tmux()

# pylint: disable=wrong-import-position
from daemon import QUEUECTL


class QueuectlRabbit(WithRabbit):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make = cls.rabbit.queue
        make("mail-dlq")
        make("mail", dead_letter_exchange="", dead_letter_routing_key="mail-dlq")
        make("jobs", dead_letter_exchange="", dead_letter_routing_key="jobs.retry")
        make("jobs.retry", dead_letter_exchange="", dead_letter_routing_key="jobs", message_ttl=3600000)
        for queue, count in (("mail", 5), ("mail-dlq", 3), ("jobs", 7), ("jobs.retry", 2)):
            cls.rabbit.publish(queue, count)

    def setUp(self):
        super().setUp()
        self.write_rabbit_config(self.rabbit.amqp_port)

    def write_rabbit_config(self, amqp_port):
        self.write_config(CONFIG.format(url=self.rabbit.url, extra=f"    amqp_url: amqp://127.0.0.1:{amqp_port}\n",
                                        poll=5, discovery=5, stale=20))

    def ready(self):
        rows = [json.loads(line) for line in self.queuectl("stats", "--json").stdout.splitlines()]
        return {row["queue"]: row.get("ready") for row in rows}

    def test_a_retry_queue_is_no_dead_letter_queue_and_no_problem(self):
        wait_for("the statistics are there", lambda: self.ready() == {"mail": 5, "mail-dlq": 3, "jobs": 7, "jobs.retry": 2})
        rows = {line[1:].split()[0]: line for line in self.queuectl("top", "--once").stdout.splitlines()
                if "mail" in line or "jobs" in line}
        self.assertEqual({queue: line[0] for queue, line in rows.items()},
                         {"mail": "!", "mail-dlq": "!", "jobs": " ", "jobs.retry": " "}, rows)
        self.assertEqual([queue for queue, line in rows.items() if "(dlq)" in line], ["mail-dlq"])
        links = [json.loads(line) for line in self.queuectl("dlq", "list", "--json").stdout.splitlines()]
        self.assertEqual([(link["queue"], link["dead_letter_queue"], link["messages"]) for link in links],
                         [("mail", "mail-dlq", 3)])

    def bury(self, count):
        """As most publishers' messages are: of one content, without id and time."""
        self.rabbit.queue("twins-dlq")
        self.rabbit.queue("twins", dead_letter_exchange="", dead_letter_routing_key="twins-dlq")
        for queue in ("twins", "twins-dlq"):
            self.addCleanup(self.rabbit.must, "DELETE", f"/api/queues/%2f/{queue}")
        self.rabbit.publish("twins", count)
        self.rabbit.must("POST", "/api/queues/%2f/twins/get", {
            "count": count, "ackmode": "reject_requeue_false", "encoding": "auto"})

    def test_canaries_are_not_mistaken_for_others_of_their_content(self):
        self.bury(3)
        time.sleep(4)  # the broker tells whole seconds, of a clock that may be 2 s off
        done = self.queuectl("dlq", "redrive", "rabbit", "twins-dlq", "--yes", "--canary", "1", "--canary-wait", "1s")
        self.assertRegex(done.stdout, "none of 1 canaries came back within [0-9]+s\nmoved 2 from twins-dlq\n")
        self.rabbit.publish("twins-dlq", 2)  # of these nobody knows when they came
        done = self.queuectl("dlq", "redrive", "rabbit", "twins-dlq", "--yes", "--canary", "1", "--canary-wait", "1s",
                             check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("it may be one of the same content that was there before", done.stderr)

    def test_what_has_no_id_is_said_to_have_none(self):
        self.bury(1)
        self.assertRegex(self.queuectl("dlq", "inspect", "rabbit", "twins-dlq", "--yes").stdout, r"^id \(no id\), rejected")
        self.assertRegex(self.queuectl("dlq", "redrive", "rabbit", "twins-dlq", "--yes", "--dry-run").stdout,
                         r"^\(no id\) to twins: rejected")

    def test_a_broker_that_is_not_there_is_said(self):
        self.write_rabbit_config(1)
        done = self.queuectl("dlq", "inspect", "rabbit", "mail-dlq", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("127.0.0.1 port 1: cannot connect: does a broker listen there?", done.stderr)

    def test_a_queue_of_another_vhost_is_named_with_it(self):
        self.rabbit.vhost("other")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/vhosts/other")
        self.rabbit.queue("crash", "other")
        done = self.queuectl("dlq", "inspect", "rabbit", "crash", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('no queue "crash" in vhost "/", but one in vhost "other": say --vhost', done.stderr)
        self.queuectl("dlq", "inspect", "rabbit", "crash", "--yes", "--vhost", "other")

    def test_rates_are_seen_on_the_screen(self):
        terminal = Terminal(self, columns=120)
        terminal.run(f"{QUEUECTL} --config.file={self.folder}/queue_exporter.yml top --interval=500ms --filter='^busy$'")
        terminal.until("q quit")
        self.rabbit.queue("busy")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/queues/%2f/busy")
        terminal.until("busy")

        def comes_in(screen):
            self.rabbit.publish("busy", 20)
            line = next((line for line in screen if line[1:].startswith("busy ")), "")
            words = line.split()
            return len(words) > 4 and words[4] not in ("-", "0")
        terminal.until(comes_in)


if __name__ == "__main__":
    unittest.main()
