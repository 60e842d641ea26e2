#!/usr/bin/python3
"""The daemon watches SQS on a moto server that verifies every signature: ages put with PutMetricData, tags, cadence,
budget, and what a refused key costs."""
import datetime
import json
import re
import time
import unittest

from sqs_case import DAY, Watching, WithMoto, requests, series

# pylint: disable=wrong-import-position
import boto3
from child_server import ROOT
from daemon import wait_for
from local_sqs_server import LocalSqsServer
from moto_server import REGION, MotoServer


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

    def test_doubtful_settings_are_warned_of(self):
        dlq, line = self.make_queue("warn-dlq"), self.make_queue("warn-line-dlq.fifo")
        gone = self.sqs.create_queue(QueueName="warn-gone-dlq")["QueueUrl"]
        self.make_queue("warn-none")
        self.make_queue("warn-short", dlq=dlq, max_receives=1)
        self.make_queue("warn-type", dlq=line)
        self.make_queue("warn-gone", dlq=gone)
        self.sqs.delete_queue(QueueUrl=gone)
        full = self.make_queue("warn-full", dlq=self.make_queue("warn-full-dlq", MessageRetentionPeriod=5 * DAY))
        for _ in range(3):
            self.sqs.send_message(QueueUrl=full, MessageBody="x")
        self.sqs.receive_message(QueueUrl=full, MaxNumberOfMessages=3)
        daemon = self.watch("    queue_name_prefix: warn-\n    oldest_age: {method: none}\n    in_flight_limit: 3\n",
                            poll="1s")
        right = {("warn-none", "no_dead_letter_queue"), ("warn-short", "dead_letter_retention_too_short"),
                 ("warn-short", "max_receives_too_low"), ("warn-type", "dead_letter_wrong_type"),
                 ("warn-gone", "dead_letter_queue_unreadable"), ("warn-full", "in_flight_near_limit")}

        def warnings(page):
            return {tuple(re.findall('(?:queue|check)="([^"]+)"', key)) for key in page
                    if key.startswith("queue_config_warning")}
        try:
            self.wait_page("all warnings and no other", daemon, lambda page: warnings(page) == right, 30)
        except AssertionError as error:
            raise AssertionError(f"{warnings(daemon.values()) ^ right}: {error}") from None

    def test_allowed_tags_are_labels(self):
        url = self.make_queue("tag-one")
        self.sqs.tag_queue(QueueUrl=url, Tags={"team": "shop", "cost-center": "42", "private": "x"})
        self.make_queue("tag-two")
        daemon = self.watch("    queue_name_prefix: tag-\n    tags: [team, cost-center]\n    tags_interval: 1s\n"
                            "    oldest_age: {method: none}\n", poll="1s")

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
        urls = [self.make_queue(f"quiet-{i:02}") for i in range(20)]
        busy = self.make_queue("quiet-busy")
        self.sqs.send_message(QueueUrl=busy, MessageBody="x")
        daemon = self.watch("    queue_name_prefix: quiet-\n    oldest_age: {method: none}\n"
                            "    cadence: {max_interval: 5s}\n", poll="500ms")
        polls = 'queue_exporter_polls_total{source="aws"}'

        def per_poll():
            """Readings per poll over five polls."""
            before = daemon.values()
            page = self.wait_page("five polls", daemon, lambda page: page[polls] >= before[polls] + 5)
            key = requests("GetQueueAttributes")
            return (page[key] - before[key]) / (page[polls] - before[polls])
        wait_for("fewer readings", lambda: per_poll() < 7, 90)
        page = daemon.values()
        self.assertEqual(page['queue_exporter_queues{source="aws",state="up"}'], 21)
        stamps = [page[series("queue_last_success_timestamp_seconds", f"quiet-{i:02}")] for i in range(20)]
        self.assertLess(time.time() - min(stamps), 9, "max_interval, a poll, and a busy machine")
        self.assertLess(time.time() - page[series("queue_last_success_timestamp_seconds", "quiet-busy")], 4)
        self.sqs.send_message(QueueUrl=urls[0], MessageBody="x")
        sent = time.monotonic()
        daemon.wait_value(series("queue_messages_ready", "quiet-00"), 1)
        self.assertLess(time.monotonic() - sent, 9)

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


class Abroad(Watching):
    """moto refuses these links, local-aws-sqs takes them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.moto = LocalSqsServer()
        cls.moto.access_key_id, cls.moto.secret_access_key = "nobody", "looks"
        cls.addClassCleanup(cls.moto.stop)
        cls.moto.start()

    def test_a_dead_letter_queue_in_another_region_or_account_is_said_not_guessed(self):
        sqs = boto3.client("sqs", endpoint_url=self.moto.url, region_name=REGION,
                           aws_access_key_id="nobody", aws_secret_access_key="looks")
        sqs.create_queue(QueueName="dead")  # of that name, but here
        url = sqs.create_queue(QueueName="plain")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"].split(":")
        places = {"region": [*arn[:3], "us-west-2", arn[4], "dead"], "account": [*arn[:4], "999999999999", "dead"]}
        for name, place in places.items():
            sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(
                {"deadLetterTargetArn": ":".join(place), "maxReceiveCount": 5})})
        daemon = self.watch("    oldest_age: {method: none}\n", poll="1s")
        labels = {"region": f"us-west-2/{arn[4]}/dead", "account": "999999999999/dead"}
        for name, label in labels.items():
            daemon.wait_value(series("queue_config_warning", name, check="dead_letter_queue_unreadable"), 1)
            page = daemon.values()
            self.assertEqual(page.get(series("queue_dead_letter_info", name, dead_letter_queue=label)), 1)
            self.assertFalse([key for key in page if key.startswith("queue_dead_letter_messages")])
            self.assertEqual(page[series("queue_is_dead_letter_queue", "dead")], 0)


def policy_of_the_readme():
    """The least that watching needs, and what this test makes the queues with."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    policy = json.loads(re.search(r'```json\n(.*"Statement".*?)```', text, re.S)[1])
    text = json.dumps(policy).replace("cloudwatch:", "monitoring:")  # as moto calls it
    policy = json.loads(text)
    policy["Statement"].append({"Effect": "Allow", "Resource": "*", "Action": [
        "sqs:CreateQueue", "sqs:SendMessage", "sqs:TagQueue", "monitoring:PutMetricData"]})
    return policy


class LeastPolicy(Watching):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.moto = MotoServer(policy=policy_of_the_readme())
        cls.addClassCleanup(cls.moto.stop)
        cls.moto.start()

    def test_the_least_policy_of_the_readme_is_enough(self):
        sqs = self.moto.boto3("sqs")
        for name in ("least-listed", "least-named"):
            url = sqs.create_queue(QueueName=name, tags={"team": "shop"})["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody="x")
        self.moto.boto3("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[{
            "MetricName": "ApproximateAgeOfOldestMessage", "Dimensions": [{"Name": "QueueName", "Value": "least-listed"}],
            "Timestamp": datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=90), "Value": 42}])
        daemon = self.watch("    queue_name_prefix: least-l\n    queue_names: [least-named]\n    tags: [team]\n", poll="1s")
        daemon.wait_value(series("queue_oldest_message_age_seconds", "least-listed", method="cloudwatch"), 42)
        daemon.wait_value(series("queue_messages_ready", "least-named"), 1)
        wait_for("tags", lambda: sum('tag_team="shop"' in key for key in daemon.values()) == 2)
        self.assertEqual([key for key, value in daemon.values().items()
                          if key.startswith("queue_exporter_api_request_failures_total") and value], [])


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
