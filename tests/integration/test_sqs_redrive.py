#!/usr/bin/python3
"""queuectl dlq redrive on Amazon SQS: by the broker's own task where the server knows it, from here where it does not."""
import json
import re
import signal
import subprocess
import unittest

from sqs_case import CONFIG, OnSqs, WithMoto, md5_of_attributes

import boto3
from daemon import PATIENCE_SECONDS, QUEUECTL, WithFolder, wait_for
from local_sqs_server import LocalSqsServer
from redrive_case import Tools

REGION = "eu-west-1"


class ByTheBroker(WithFolder):
    """local-aws-sqs moves messages by itself, as AWS does."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LocalSqsServer()
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()
        cls.sqs = boto3.client("sqs", endpoint_url=cls.server.url, region_name=REGION,
                               aws_access_key_id="x", aws_secret_access_key="x")

    def setUp(self):
        super().setUp()
        self.config = self.write_config(CONFIG.format(region=REGION, url=self.server.url, key="x", secret="x" * 20,
                                                      extra=""))
        self.dlq = self.make("orders-dlq", {"VisibilityTimeout": "1"})
        arn = self.sqs.get_queue_attributes(QueueUrl=self.dlq, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.orders = self.make("orders", {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn,
                                                                       "maxReceiveCount": "1"})})
        self.ctl = [QUEUECTL, f"--config.file={self.config}", "dlq", "redrive", "aws", "orders-dlq"]

    def make(self, name, attributes):
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.addCleanup(self.sqs.delete_queue, QueueUrl=url)
        return url

    def bury(self, count):
        """Through the redrive policy, so that the broker knows where they came from."""
        for number in range(count):
            self.sqs.send_message(QueueUrl=self.orders, MessageBody=f"m{number}")
        wait_for("they are dead-lettered", lambda: self.receive_away() or self.ready(self.dlq) == count)

    def receive_away(self):
        self.sqs.receive_message(QueueUrl=self.orders, MaxNumberOfMessages=10, VisibilityTimeout=0)

    def receive_for_good(self):
        for one in self.sqs.receive_message(QueueUrl=self.orders, MaxNumberOfMessages=10).get("Messages", []):
            self.sqs.delete_message(QueueUrl=self.orders, ReceiptHandle=one["ReceiptHandle"])

    def ready(self, url):
        name = "ApproximateNumberOfMessages"
        return int(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])

    def redrive(self, *words, check=True):
        return self.queuectl("dlq", "redrive", "aws", "orders-dlq", *words, check=check)

    def test_the_broker_moves_them_and_its_progress_is_shown(self):
        self.assertIn("no redrive of orders-dlq is known", self.redrive("--status").stdout)
        self.bury(15)
        done = self.redrive("--yes")
        self.assertEqual(done.stdout, "moved 15 from orders-dlq\n")
        self.assertEqual((self.ready(self.orders), self.ready(self.dlq)), (15, 0))
        # Without the total where more has been moved: on a busy machine what a look gave back came only after the task began.
        self.assertRegex(self.redrive("--status").stdout, r"^completed: moved about 15( of 15)?, begun 2")

    def test_ctrl_c_leaves_it_running_and_says_how_to_end_it(self):
        self.bury(20)
        with subprocess.Popen([*self.ctl, "--yes", "--rate", "2"], text=True, stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL) as process:
            self.addCleanup(process.kill)
            wait_for("it runs", lambda: self.redrive("--status").stdout.startswith("running:"))
            second = self.redrive("--yes", check=False)
            self.assertEqual(second.returncode, 1)
            self.assertIn("--status shows what runs", second.stderr)
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
        self.assertEqual(process.returncode, 1)
        self.assertIn("`queuectl dlq redrive aws orders-dlq --status`", errors)
        self.assertIn("running:", self.redrive("--status").stdout)
        self.assertIn("what is moved stays moved", self.redrive("--cancel").stdout)
        wait_for("it has ended", lambda: self.redrive("--status").stdout.startswith("cancelled:"))
        again = self.redrive("--cancel", check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("no redrive is running", again.stderr)

    def keep_long(self, seconds):
        """This server answers a long poll for more than it has when its time is over: with what came back in it, too."""
        self.sqs.set_queue_attributes(QueueUrl=self.dlq, Attributes={"VisibilityTimeout": str(seconds)})

    def bury_as_a_consumer_does(self, count):
        """The broker does not know where they came from; they say it themselves."""
        self.keep_long(30)
        says = {"dead-letter-source": "orders", "dead-letter-reason": "permanent: no street"}
        for number in range(count):
            self.sqs.send_message(QueueUrl=self.dlq, MessageBody=f"ours{number}", MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in says.items()})

    def test_what_a_consumer_has_dead_lettered_is_moved_from_here(self):
        self.bury_as_a_consumer_does(5)
        done = self.redrive("--yes")
        self.assertEqual(done.stdout, "moved 5 from orders-dlq\n")
        self.assertIn("moving them from here, since the broker does not: it cannot tell where all of them came from\n",
                      done.stderr)
        self.assertEqual((self.ready(self.orders), self.ready(self.dlq)), (5, 0))
        self.assertIn("no redrive of orders-dlq is known", self.redrive("--status").stdout)

    def test_behind_canaries_too(self):
        self.bury_as_a_consumer_does(5)
        with subprocess.Popen([*self.ctl, "--yes", "--canary", "2", "--canary-wait", "1s"], text=True,
                              stdout=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            wait_for("it ends", lambda: self.receive_for_good() or process.poll() is not None)
            said = process.communicate(timeout=PATIENCE_SECONDS)[0]
        self.assertEqual(process.returncode, 0, said)
        self.assertIn("moved 3 from orders-dlq\n", said)

    def test_where_the_broker_fails_half_way_the_rest_is_moved_from_here(self):
        self.bury(12)  # a look sees only these
        self.bury_as_a_consumer_does(3)
        self.keep_long(3)
        done = self.redrive("--yes", check=False)
        self.assertRegex(done.stderr, "moving the rest from here: the redrive of orders-dlq failed after about 12 "
                                      "messages: CouldNotDetermineMessageSource\n")
        if done.returncode:  # its failed task holds what it has received for a while
            self.assertIn("in flight", done.stderr)
            wait_for("it can be moved", lambda: "moved 3 from orders-dlq\n" in self.redrive("--yes").stdout)
        self.assertEqual((self.ready(self.orders), self.ready(self.dlq)), (15, 0))

    def test_what_says_nothing_goes_where_the_only_link_leads(self):
        self.keep_long(30)
        self.sqs.send_message(QueueUrl=self.dlq, MessageBody="by hand")
        self.assertIn("moved 1 from orders-dlq\n", self.redrive("--yes").stdout)
        self.assertEqual(self.ready(self.orders), 1)

    def test_faster_than_the_broker_does_it_they_are_moved_from_here(self):
        self.keep_long(30)
        self.bury(5)
        done = self.redrive("--yes", "--rate", "600")
        self.assertIn("moved 5 from orders-dlq\n", done.stdout)
        self.assertIn("moving them from here, since the broker does not: 600 messages per second", done.stderr)

    def test_with_a_limit_they_are_moved_from_here(self):
        self.bury(5)
        self.assertIn("moved 2 from orders-dlq\n", self.redrive("--yes", "--max", "2").stdout)
        self.assertEqual((self.ready(self.orders), self.ready(self.dlq)), (2, 3))


class FromHere(WithMoto):
    """moto knows no such tasks."""

    def setUp(self):
        super().setUp()
        self.write_sqs_config()

    def test_messages_are_moved_with_all_they_say(self):
        dlq = self.make_queue("orders-dlq")
        orders = self.make_queue("orders", dlq)
        attributes = {"text": {"DataType": "String", "StringValue": "grüße"},
                      "number": {"DataType": "Number", "StringValue": "7.50"},
                      "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\x01\xff"},
                      "dead-letter-reason": {"DataType": "String", "StringValue": "permanent"}}
        self.sqs.send_message(QueueUrl=dlq, MessageBody="b", MessageAttributes=attributes)
        done = self.queuectl("dlq", "redrive", "aws", "orders-dlq", "--yes")
        self.assertIn("moved 1 from orders-dlq\n", done.stdout)
        self.assertIn("moving them from here, since the broker does not", done.stderr)
        [got] = self.take(orders)
        del attributes["dead-letter-reason"]
        self.assertEqual(got["MessageAttributes"], attributes)
        self.assertEqual(got["MD5OfMessageAttributes"], md5_of_attributes(attributes))
        self.assertEqual(self.counts(dlq), (0, 0, 0))

    def test_groups_keep_their_order_and_no_window_swallows_any(self):
        dlq = self.make_queue("jobs-dlq.fifo")
        jobs = self.make_queue("jobs.fifo", dlq)
        for number in range(8):
            for url in (jobs, dlq):  # the same ids are in the window of the target
                self.sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId=f"g{number % 2}",
                                      MessageDeduplicationId=f"d{number}")
        self.assertEqual(len(self.take(jobs, 8)), 8)
        self.assertIn("moved 8 from jobs-dlq.fifo\n", self.queuectl("dlq", "redrive", "aws", "jobs-dlq.fifo", "--yes").stdout)
        got = self.take(jobs, 8)
        for group in ("g0", "g1"):
            bodies = [int(one["Body"]) for one in got if one["Attributes"]["MessageGroupId"] == group]
            self.assertEqual(bodies, sorted(bodies))
            self.assertEqual(len(bodies), 4)
        self.assertTrue(all(re.match("redrive-", one["Attributes"]["MessageDeduplicationId"]) for one in got))


class Everywhere(Tools, OnSqs):
    pass


if __name__ == "__main__":
    unittest.main()
