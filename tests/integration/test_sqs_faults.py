#!/usr/bin/python3
"""The daemon behind a proxy that breaks AWS's answers: what is well stays right, what is broken says why, and
nothing hangs past its deadline."""
import datetime
import json
import time
import unittest

from fault_case import REASONS, WithProxy

# pylint: disable=wrong-import-position
from daemon import wait_for
from moto_server import EVERYTHING

POLLS = 'queue_exporter_polls_total{source="aws"}'


class WholeSource(WithProxy):
    def test_every_fault_takes_the_source_down_and_it_comes_back(self):
        depths = self.make_queues(20)
        daemon = self.watch()
        self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        for fault in ("throttled", "denied", "error500", "garbage", "reset", "half", "slow", "never"):
            with self.subTest(fault=fault):
                reason = REASONS[fault]
                counter = f'queue_exporter_poll_failures_total{{source="aws",reason="{reason}"}}'
                before = daemon.values()[counter]
                self.proxy.add(fault)

                def is_down(page):
                    self.check_values(page, depths)
                    return page['queue_source_up{source="aws"}'] == 0 and page[counter] > before
                try:
                    self.wait_page(f"{fault} is told as {reason}", daemon, is_down)
                finally:
                    self.proxy.clear()
                page = self.wait_page("up again", daemon, lambda page: self.all_up(page, depths))
                self.assertEqual(page['queue_source_up{source="aws"}'], 1)
        self.assertTrue(self.poll_ended_within(daemon.values(), 2.5), "no poll hangs past its deadline")

    def test_a_few_bad_answers_change_nothing(self):
        """A fifth of all answers is bad, each in another way: a second try is usually good."""
        depths = self.make_queues(50)
        for fault in ("error500", "reset", "half", "close", "throttled", "half_headers"):
            self.proxy.add(fault, percent=20 / 6)
        daemon = self.watch(poll_seconds=5)  # a second is too short for 50 queues and their second tries
        self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        polls = daemon.value(POLLS)
        page = self.wait_page("three polls later", daemon,
                              lambda page: page[POLLS] >= polls + 3 and self.all_up(page, depths))
        self.check_values(page, depths)
        self.assertGreater(page['queue_exporter_api_retries_total{source="aws"}'], 0)
        self.assertGreater(page['queue_exporter_api_throttles_total{source="aws"}'], 0)

    def test_what_stays_silent_is_not_shown_for_ever(self):
        depths = self.make_queues(5)
        daemon = self.watch(stale="5s")
        self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        self.proxy.add("never")
        page = self.wait_page("values are gone", daemon, lambda page: not any(
            name.startswith("queue_messages_ready") for name in page))
        self.assertEqual(page['queue_source_up{source="aws"}'], 0)

    def test_the_daemon_ends_while_nothing_answers(self):
        self.make_queues(20)
        self.proxy.add("never")
        daemon = self.watch()
        wait_for("requests hang", lambda: self.proxy.count() > 0)
        started = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - started, 10)


class Clock(WithProxy):
    def test_a_skewed_clock_is_learnt_and_corrected(self):
        depths = self.make_queues(5)
        daemon = self.watch()
        self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        for shift in (3600, -86400, 0):
            with self.subTest(shift=shift):
                polls = daemon.value(POLLS)
                self.proxy.clock_shift_seconds = shift
                page = self.wait_page("skew is told", daemon, lambda page: abs(
                    page['queue_exporter_clock_skew_seconds{source="aws"}'] - shift) < 60)
                self.check_values(page, depths)
                self.wait_page("all are read again", daemon,
                               lambda page: page[POLLS] > polls + 1 and self.all_up(page, depths))

    def test_a_clock_that_is_wrong_from_the_start_is_no_obstacle(self):
        depths = self.make_queues(5)
        self.proxy.clock_shift_seconds = -7200
        daemon = self.watch()
        page = self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        self.check_values(page, depths)


class Credentials(WithProxy):
    def setUp(self):
        super().setUp()
        iam = self.moto.boto3("iam")
        role = iam.create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps(EVERYTHING))["Role"]["Arn"]
        iam.put_role_policy(RoleName="task", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
        self.first, self.second = (self.moto.boto3("sts").assume_role(
            RoleArn=role, RoleSessionName=name)["Credentials"] for name in ("first", "second"))

    def answer_with(self, key):
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=6)
        self.proxy.credentials = {"AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"],
                                  "Token": key["SessionToken"], "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def test_a_token_that_expires_in_mid_run_is_replaced_as_soon_as_there_is_another(self):
        depths, first, second = self.make_queues(20), self.first, self.second
        self.answer_with(first)
        daemon = self.watch(keys="", AWS_CONTAINER_CREDENTIALS_FULL_URI=self.proxy.url + "/credentials",
                            AWS_EC2_METADATA_DISABLED="true", HOME=str(self.folder))
        self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        # Expired, and its source has no other yet: the values stay, and the reason is told.
        self.proxy.expired_keys = {first["AccessKeyId"]}

        def is_down(page):
            self.check_values(page, depths)
            return page['queue_source_up{source="aws"}'] == 0 and self.failures(page)["auth"] > 0
        self.wait_page("the source is down", daemon, is_down)
        self.answer_with(second)
        page = self.wait_page("all are read again", daemon, lambda page: self.all_up(page, depths))
        self.assertEqual(page['queue_source_up{source="aws"}'], 1)
        # Expired while there is another at once: nobody notices.
        polls = page[POLLS]
        self.proxy.expired_keys = {second["AccessKeyId"]}
        self.answer_with(first)

        def is_quiet(page):
            self.assertEqual(page['queue_source_up{source="aws"}'], 1)
            return page[POLLS] > polls + 2 and self.all_up(page, depths)
        self.wait_page("two polls later", daemon, is_quiet)
        self.assertNotIn(first["SecretAccessKey"], daemon.log())
        self.assertNotIn(first["SessionToken"], daemon.log())


class Consumer(WithProxy):
    def test_a_consumer_works_through_faults(self):
        url = self.make_queue("faulty-work", VisibilityTimeout=3)
        sent = 150
        for batch in range(sent // 10):
            self.sqs.send_message_batch(QueueUrl=url, Entries=[
                {"Id": str(i), "MessageBody": f"{batch}.{i}"} for i in range(10)])
        for operation in ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
            for fault in ("error500", "reset", "half", "throttled", "garbage"):
                self.proxy.add(fault, operation=operation, percent=6)
        daemon = self.watch(extra="consumers:\n  - {source: aws, queue: faulty-work, workers: 4, "
                                  "handler: {type: discard}}")
        processed = 'queue_consumer_messages_processed_total{source="aws",queue="faulty-work"}'
        self.wait_page("all are processed", daemon, lambda page: page.get(processed, 0) >= sent, 120)
        wait_for("nothing is left", lambda: self.is_empty(url), 60)


if __name__ == "__main__":
    unittest.main()
