#!/usr/bin/python3
"""The daemon watches SQS on a moto server that verifies every signature: two hundred queues and their dead-letter
queues, ages put with PutMetricData, tags, cadence, budget, and what a refused key costs."""
import datetime
import re
import time
import unittest

from sqs_case import WithMoto

# pylint: disable=wrong-import-position
from daemon import WithFolder, wait_for
from moto_server import ACCOUNT, REGION, MotoServer

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: {poll}s, poll_timeout: {poll}s, discovery_interval: 1h}}
sources:
  - name: aws
    type: sqs
    region: {region}
    endpoint: {url}
    access_key_id: {key}
    secret_access_key: {secret}
{extra}
"""
DAY = 86400


def series(family, queue, **labels):
    return f'{family}{{source="aws",queue="{queue}"' + "".join(f',{k}="{v}"' for k, v in labels.items()) + "}"


def requests(operation):
    return f'queue_exporter_api_requests_total{{source="aws",operation="{operation}"}}'


class Watching(WithFolder):
    """What the classes below share: `self.moto` is theirs."""

    def watch(self, extra, poll=2, key=None):
        text = CONFIG.format(poll=poll, region=REGION, url=self.moto.url, key=key or self.moto.access_key_id,
                             secret=self.moto.secret_access_key, extra=extra)
        return self.daemon(config=self.write_config(text))

    def wait_page(self, what, daemon, fits, seconds=60):
        last = []

        def look():
            daemon.is_alive()
            last.append(daemon.values())
            return fits(last[-1])
        try:
            wait_for(what, look, seconds)
        except AssertionError as error:
            wrong = [line for line in last[-1] if "queue_up" in line and last[-1][line] != 1][:5]
            raise AssertionError(f"{error}; down: {wrong}\n{daemon.log()[-2000:]}") from None
        return last[-1]


class TwoHundredQueues(Watching, WithMoto):
    """The prefix hides the dead-letter queues from the list: they are watched all the same."""

    COUNT = 200

    def make_fleet(self):
        """{queue: {family: value}} as they must be shown."""
        fleet = {}
        for i in range(self.COUNT):
            fifo = ".fifo" if i % 20 == 7 else ""
            name, dead = f"fleet-{i:03}{fifo}", f"dead-{i:03}{fifo}"
            dead_url = self.make_queue(dead, MessageRetentionPeriod=14 * DAY)
            url = self.make_queue(name, dlq=dead_url, max_receives=1 + i % 5, VisibilityTimeout=600 + i,
                                  MessageRetentionPeriod=(1 + i % 4) * DAY)
            ready, in_flight, delayed, buried = i % 4, (i // 4) % 2, 0 if fifo else (i // 8) % 2, i % 3
            self.send(url, ready + in_flight, fifo)
            if in_flight:
                self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
            if delayed:
                self.sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=900)
            self.send(dead_url, buried, fifo)
            fleet[name] = {"queue_messages_ready": ready, "queue_messages_in_flight": in_flight,
                           "queue_messages_delayed": delayed, "queue_messages_in_flight_limit": 120000,
                           "queue_visibility_timeout_seconds": 600 + i, "queue_delivery_delay_seconds": 0,
                           "queue_message_retention_seconds": (1 + i % 4) * DAY,
                           "queue_dead_letter_max_receives": 1 + i % 5, "queue_is_dead_letter_queue": 0, "queue_up": 1}
            fleet[dead] = {"queue_messages_ready": buried, "queue_messages_in_flight": 0, "queue_messages_delayed": 0,
                           "queue_visibility_timeout_seconds": 30, "queue_message_retention_seconds": 14 * DAY,
                           "queue_is_dead_letter_queue": 1, "queue_up": 1}
        return fleet

    def send(self, url, count, fifo):
        for n in range(count):
            more = {"MessageGroupId": f"g{n}", "MessageDeduplicationId": f"d{n}"} if fifo else {}
            self.sqs.send_message(QueueUrl=url, MessageBody="x", **more)

    def test_every_one_of_them_is_right(self):
        fleet = self.make_fleet()
        # Time for 400 answers of a moto on a busy machine (some ten a second at worst): then not one may fail.
        daemon = self.watch("    queue_name_prefix: fleet-\n    oldest_age: {method: none}\n", poll=40)

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
        for i in range(self.COUNT):
            fifo = ".fifo" if i % 20 == 7 else ""
            name, dead = f"fleet-{i:03}{fifo}", f"dead-{i:03}{fifo}"
            self.assertEqual(page.get(series("queue_dead_letter_info", name, dead_letter_queue=dead)), 1)
            self.assertEqual(page.get(series("queue_dead_letter_messages", name, dead_letter_queue=dead)), i % 3)
            for queue in (name, dead):
                self.assertEqual(page.get(series(
                    "queue_info", queue, backend="sqs", kind="fifo" if fifo else "standard",
                    arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}", region=REGION, account_id=ACCOUNT)), 1)
            self.assertEqual(page.get(series("queue_config_warning", name, check="max_receives_too_low")),
                             1 if i % 5 == 0 else None)
            self.assertIsNone(page.get(series("queue_config_warning", dead, check="no_dead_letter_queue")))
        self.assertEqual(sum(value for key, value in page.items()
                             if key.startswith("queue_exporter_api_request_failures_total")), 0)
        # Readings, and a list or two: nothing else was asked, and all of it is on the bill.
        billed = page['queue_exporter_api_billable_requests_total{source="aws",service="sqs"}']
        self.assertEqual(billed, page[requests("GetQueueAttributes")] + page[requests("ListQueues")])
        self.assertAlmostEqual(page['queue_exporter_api_cost_dollars_total{source="aws",service="sqs"}'],
                               billed * 0.40e-6)
        self.assertEqual(page['queue_exporter_api_billable_requests_total{source="aws",service="cloudwatch"}'], 0)


class Facts(Watching, WithMoto):
    """One server; each test has its own queues, found by a prefix."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cloudwatch = cls.moto.boto3("cloudwatch")

    def put_age(self, queue, seconds, ago=90):
        when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=ago)
        self.cloudwatch.put_metric_data(Namespace="AWS/SQS", MetricData=[{
            "MetricName": "ApproximateAgeOfOldestMessage", "Dimensions": [{"Name": "QueueName", "Value": queue}],
            "Timestamp": when, "Value": seconds, "Unit": "Seconds"}])

    def test_ages_come_from_cloudwatch_and_0_is_free(self):
        dead = self.make_queue("age-dead", MessageRetentionPeriod=14 * DAY)
        full = self.make_queue("age-full", dlq=dead, MessageRetentionPeriod=4 * DAY)
        for url in (full, dead, self.make_queue("age-silent")):
            self.sqs.send_message(QueueUrl=url, MessageBody="x")
        self.make_queue("age-empty")
        self.put_age("age-full", 9999, ago=600)
        self.put_age("age-full", 1234)
        self.put_age("age-dead", 50)
        self.put_age("age-empty", 77)
        daemon = self.watch("    queue_name_prefix: age-\n    oldest_age: {interval: 4s}\n")
        age = "queue_oldest_message_age_seconds"
        daemon.wait_value(series(age, "age-full", method="cloudwatch"), 1234)
        page = daemon.values()
        self.assertEqual(page.get(series(age, "age-dead", method="cloudwatch")), 50)
        self.assertEqual(page.get(series(age, "age-empty", method="broker")), 0, "nothing is in it")
        self.assertFalse([key for key in page if key.startswith(age) and "age-silent" in key],
                         "no value is no age")
        # Less what has passed since CloudWatch's value was true: 90 s, a minute's rounding, this test.
        margin = page[series("queue_expiry_margin_seconds", "age-full")]
        self.assertTrue(30 <= 4 * DAY - 1234 - margin <= 300, margin)
        # Its age counts from the move, its retention from the first send, up to four days before.
        margin = page[series("queue_expiry_margin_seconds", "age-dead")]
        self.assertTrue(30 <= (14 - 4) * DAY - 50 - margin <= 300, margin)
        self.put_age("age-full", 4321, ago=60)
        daemon.wait_value(series(age, "age-full", method="cloudwatch"), 4321, 90)
        page = daemon.values()
        billed = page['queue_exporter_api_billable_requests_total{source="aws",service="cloudwatch"}']
        self.assertGreater(billed, page[requests("GetMetricData")], "the bill is by metric, not by call")

    def test_allowed_tags_are_labels(self):
        url = self.make_queue("tag-one")
        self.sqs.tag_queue(QueueUrl=url, Tags={"team": "shop", "cost-center": "42", "private": "x"})
        self.make_queue("tag-two")
        daemon = self.watch("    queue_name_prefix: tag-\n    tags: [team, cost-center]\n    tags_interval: 3s\n"
                            "    oldest_age: {method: none}\n")

        def info(queue):
            return [key for key in daemon.values() if key.startswith("queue_info") and f'"{queue}"' in key]
        wait_for("tags", lambda: 'tag_team="shop"' in info("tag-one")[0])
        self.assertIn('tag_cost_center="42"', info("tag-one")[0])
        self.assertNotIn("private", info("tag-one")[0])
        self.assertNotIn("tag_", info("tag-two")[0])
        self.sqs.tag_queue(QueueUrl=url, Tags={"team": "ship"})
        wait_for("the new tag", lambda: 'tag_team="ship"' in info("tag-one")[0])
        self.assertEqual(len(info("tag-one")), 1)

    def test_quiet_queues_are_read_less_often_and_none_waits_too_long(self):
        urls = [self.make_queue(f"quiet-{i:02}") for i in range(30)]
        busy = self.make_queue("quiet-busy")
        self.sqs.send_message(QueueUrl=busy, MessageBody="x")
        daemon = self.watch("    queue_name_prefix: quiet-\n    oldest_age: {method: none}\n"
                            "    cadence: {max_interval: 10s}\n", poll=1)
        polls = 'queue_exporter_polls_total{source="aws"}'

        def per_poll():
            """Readings per poll over five polls."""
            before = daemon.values()
            page = self.wait_page("five polls", daemon, lambda page: page[polls] >= before[polls] + 5)
            key = requests("GetQueueAttributes")
            return (page[key] - before[key]) / (page[polls] - before[polls])
        wait_for("fewer readings", lambda: per_poll() < 10, 90)
        page = daemon.values()
        self.assertEqual(page['queue_exporter_queues{source="aws",state="up"}'], 31)
        stamps = [page[series("queue_last_success_timestamp_seconds", f"quiet-{i:02}")] for i in range(30)]
        self.assertLess(time.time() - min(stamps), 13, "max_interval, a poll, and a busy machine")
        self.assertLess(time.time() - page[series("queue_last_success_timestamp_seconds", "quiet-busy")], 5)
        self.sqs.send_message(QueueUrl=urls[0], MessageBody="x")
        sent = time.monotonic()
        daemon.wait_value(series("queue_messages_ready", "quiet-00"), 1)
        self.assertLess(time.monotonic() - sent, 13)

    def test_a_budget_says_how_much_it_stretches(self):
        for i in range(10):
            self.sqs.send_message(QueueUrl=self.make_queue(f"budget-{i}"), MessageBody="x")
        extra = "    queue_name_prefix: budget-\n    cadence: {max_interval: 20s}\n"
        daemon = self.watch(extra + "    cost: {monthly_budget_dollars: 2.5}\n")
        stretch = 'queue_exporter_interval_stretch_ratio{{source="aws",service="{}"}}'.format
        daemon.wait_value('queue_exporter_monthly_budget_dollars{source="aws"}', 2.5)
        daemon.wait_value(stretch("cloudwatch"), lambda value: value is not None and value > 1)
        daemon.wait_value(stretch("sqs"), lambda value: value is not None and value > 1)
        self.assertEqual(daemon.stop(), 0)
        free = self.watch(extra)
        free.wait_value(series("queue_messages_ready", "budget-0"), 1)
        self.assertFalse([key for key in free.values() if "budget_dollars" in key])

    def test_a_wrong_key_is_one_failure_a_poll_and_named(self):
        self.make_queue("refused")
        daemon = self.watch("    oldest_age: {method: none}\n", key="AKIDUNKNOWN")
        daemon.wait_value('queue_source_up{source="aws"}', 0)
        page = daemon.wait_value('queue_exporter_poll_failures_total{source="aws",reason="auth"}',
                                 lambda value: value and value >= 2) and daemon.values()
        self.assertLess(page[requests("ListQueues")] + page[requests("GetQueueAttributes")],
                        10 * page['queue_exporter_polls_total{source="aws"}'])
        self.assertIn("InvalidClientTokenId", daemon.log())
        self.assertNotIn(self.moto.secret_access_key, daemon.log())


class SqsAlone(Watching):
    """A key that may ask SQS, and nothing of CloudWatch, nor for tags."""

    POLICY = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Resource": "*", "Action": [
            "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:SendMessage", "sqs:ListQueues", "sqs:GetQueueAttributes"]}]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.moto = MotoServer(policy=cls.POLICY)
        cls.addClassCleanup(cls.moto.stop)
        cls.moto.start()

    def test_what_is_not_allowed_is_missing_alone(self):
        sqs = self.moto.boto3("sqs")
        for name in ("alone-1", "alone-2"):
            url = sqs.create_queue(QueueName=name)["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody="x")
        daemon = self.watch("    tags: [team]\n    oldest_age: {interval: 2s}\n")
        daemon.wait_value(series("queue_messages_ready", "alone-1"), 1)
        failures = 'queue_exporter_api_request_failures_total{{source="aws",operation="{}",reason="auth"}}'.format
        for operation in ("GetMetricData", "ListQueueTags"):
            daemon.wait_value(failures(operation), lambda value: value is not None and value >= 1)
        page = daemon.values()
        self.assertEqual(page['queue_source_up{source="aws"}'], 1)
        self.assertEqual(page[series("queue_up", "alone-1")], 1)
        self.assertEqual(page[series("queue_messages_ready", "alone-2")], 1)
        self.assertFalse([key for key in page if key.startswith("queue_oldest_message_age_seconds")])
        landing = daemon.ask("/").text
        self.assertTrue(re.search("oldest messages.*AccessDenied", landing, re.S), "the landing page says why")
        said = [line for line in daemon.log().splitlines() if "not all that is known of them" in line]
        self.assertEqual(len(said), 1, "and the log, once")


if __name__ == "__main__":
    unittest.main()
