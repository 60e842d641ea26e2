#!/usr/bin/python3
"""Two hundred queues and their dead-letter queues on a moto server that verifies every signature: each of them is shown
right, consumers work on them, and queuectl sends, receives and redrives."""
import concurrent.futures
import json
import signal
import unittest

from sqs_case import DAY, Watching, WithMoto, requests, series

# pylint: disable=wrong-import-position
from daemon import wait_for
from moto_server import ACCOUNT, REGION

COUNT = 200
WORKED_ON = (0, 5, 10)  # queues with a consumer: each long poll keeps moto busy
CONSUMER = "  - {{source: aws, queue: fleet-{:03}, workers: 2, handler: {{type: simulate, latency_p50: 1ms, latency_p99: 2ms}}}}\n"


def names(i):
    """A queue and its dead-letter queue; one in twenty is FIFO."""
    fifo = ".fifo" if i % 20 == 7 else ""
    return f"fleet-{i:03}{fifo}", f"dead-{i:03}{fifo}"


def arn(queue):
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"


class Fleet(Watching, WithMoto):
    """The prefix hides the dead-letter queues from the list: they are watched all the same."""

    def make(self, name, **attributes):
        """The server is of this class alone: nothing is cleaned up."""
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        return self.sqs.create_queue(QueueName=name, Attributes={key: str(value) for key, value in attributes.items()})[
            "QueueUrl"]

    def send(self, url, count):
        entries = [{"Id": str(n), "MessageBody": "x"} for n in range(count)]
        if url.endswith(".fifo"):
            for n, entry in enumerate(entries):
                entry |= {"MessageGroupId": f"g{n}", "MessageDeduplicationId": f"d{n}"}
        if entries:
            self.assertFalse(self.sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed"))

    def make_pair(self, i):
        """[(queue, {family: value})] as they must be shown."""
        name, dead = names(i)
        fifo = name.endswith(".fifo")
        dead_url = self.make(dead, MessageRetentionPeriod=14 * DAY)
        url = self.make(name, VisibilityTimeout=600 + i, MessageRetentionPeriod=(1 + i % 4) * DAY, RedrivePolicy=json.dumps(
            {"deadLetterTargetArn": arn(dead), "maxReceiveCount": 1 + i % 5}))
        ready, in_flight, delayed, buried = i % 4, (i // 4) % 2, 0 if fifo else (i // 8) % 2, i % 3
        self.send(url, ready + in_flight)
        if in_flight:
            self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
        if delayed:
            self.sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=900)
        self.send(dead_url, buried)
        return [(name, {"queue_messages_ready": ready, "queue_messages_in_flight": in_flight,
                        "queue_messages_delayed": delayed, "queue_messages_in_flight_limit": 120000,
                        "queue_visibility_timeout_seconds": 600 + i, "queue_delivery_delay_seconds": 0,
                        "queue_message_retention_seconds": (1 + i % 4) * DAY,
                        "queue_dead_letter_max_receives": 1 + i % 5, "queue_is_dead_letter_queue": 0, "queue_up": 1}),
                (dead, {"queue_messages_ready": buried, "queue_messages_in_flight": 0, "queue_messages_delayed": 0,
                        "queue_visibility_timeout_seconds": 30, "queue_message_retention_seconds": 14 * DAY,
                        "queue_is_dead_letter_queue": 1, "queue_up": 1})]

    def make_fleet(self):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            return dict(row for pair in pool.map(self.make_pair, range(COUNT)) for row in pair)

    def check_links(self, page):
        for i in range(COUNT):
            name, dead = names(i)
            kind = "fifo" if name.endswith(".fifo") else "standard"
            self.assertEqual(page.get(series("queue_dead_letter_info", name, dead_letter_queue=dead)), 1)
            self.assertEqual(page.get(series("queue_dead_letter_messages", name, dead_letter_queue=dead)), i % 3)
            for queue in (name, dead):
                self.assertEqual(page.get(series("queue_info", queue, backend="sqs", kind=kind, arn=arn(queue),
                                                 region=REGION, account_id=ACCOUNT)), 1)
            self.assertEqual(page.get(series("queue_config_warning", name, check="max_receives_too_low")),
                             1 if i % 5 == 0 else None)
            self.assertIsNone(page.get(series("queue_config_warning", dead, check="no_dead_letter_queue")))

    def check_costs(self, page):
        """Readings, and a list or two: nothing else was asked, and all of it is on the bill."""
        self.assertEqual(sum(value for key, value in page.items()
                             if key.startswith("queue_exporter_api_request_failures_total")), 0)
        billed = page['queue_exporter_api_billable_requests_total{source="aws",service="sqs"}']
        self.assertEqual(billed, page[requests("GetQueueAttributes")] + page[requests("ListQueues")])
        self.assertAlmostEqual(page['queue_exporter_api_cost_dollars_total{source="aws",service="sqs"}'],
                               billed * 0.40e-6)
        self.assertEqual(page['queue_exporter_api_billable_requests_total{source="aws",service="cloudwatch"}'], 0)

    def test_every_one_is_right_and_can_be_worked_on(self):
        fleet = self.make_fleet()
        extra = "    queue_name_prefix: fleet-\n    oldest_age: {method: none}\n"
        # Time for 400 answers of a moto on a busy machine (some ten a second at worst): then not one may fail.
        daemon = self.watch(extra, poll="40s")

        def is_complete(page):
            """On a slow machine the first poll's list has not heard of every link yet."""
            return (all(page.get(series("queue_up", name)) == 1 for name in fleet)
                    and sum(key.startswith("queue_info") and "arn:aws:sqs" in key for key in page) == len(fleet))
        page = self.wait_page("all are up and known", daemon, is_complete, 150)
        wrong = [(name, family, page.get(series(family, name)), value) for name, facts in fleet.items()
                 for family, value in facts.items() if page.get(series(family, name)) != value]
        self.assertEqual(wrong, [], "(queue, family, shown, right)")
        self.assertEqual(page['queue_exporter_queues{source="aws",state="watched"}'], len(fleet))
        self.assertEqual(page['queue_exporter_queues{source="aws",state="up"}'], len(fleet))
        self.check_links(page)
        self.check_costs(page)
        self.work_on_them(daemon, fleet)
        self.assertEqual(daemon.stop(), 0)

    def work_on_them(self, daemon, fleet):
        with open(daemon.config, "a", encoding="utf-8") as config:
            config.write("consumers:\n" + "".join(map(CONSUMER.format, WORKED_ON)))
        daemon.signal(signal.SIGHUP)
        processed = "queue_consumer_messages_processed_total"
        waiting = {i: fleet[names(i)[0]]["queue_messages_ready"] for i in WORKED_ON}
        for i in WORKED_ON:
            self.queuectl("send", "aws", names(i)[0], "--body", "from queuectl", "--count", "12")
        for i in WORKED_ON:
            daemon.wait_value(series(processed, names(i)[0]), lambda value, i=i: value and value >= waiting[i] + 12)
        # Poison goes to the dead-letter queue, and comes back with a redrive; queue 5 has two dead letters already.
        self.queuectl("send", "aws", "fleet-005", "--body", "poison", "--attribute", "simulate=reject")
        self.wait_ready("dead-005", 3)
        redriven = self.queuectl("dlq", "redrive", "aws", "dead-005", "--yes", "--max", "3", "--to", "fleet-001")
        self.assertIn("moved 3 from dead-005", redriven.stdout)
        self.wait_ready("dead-005", 0)
        got = self.queuectl("receive", "aws", "fleet-001", "--ack", "--json", "--max", "4", "--wait", "5s").stdout
        bodies = sorted(json.loads(line)["body"] for line in got.splitlines())
        self.assertEqual(bodies, ["poison", "x", "x", "x"])

    def wait_ready(self, queue, count):
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        wait_for(f"{queue} holds {count}", lambda: self.counts(url)[0] == count)


if __name__ == "__main__":
    unittest.main()
