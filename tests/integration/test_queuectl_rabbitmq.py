#!/usr/bin/python3
"""queuectl looks at a real RabbitMQ: dead letters, and queues that send everything back after a while."""
import json
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
        self.write_config(CONFIG.format(url=self.rabbit.url, extra=f"    amqp_url: amqp://127.0.0.1:{self.rabbit.amqp_port}\n", poll=5, discovery=5))

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
