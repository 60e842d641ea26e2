#!/usr/bin/python3
"""The reference consumer on SQS, killed again and again: see crash_case.py.

The server is local-aws-sqs, which forgets its messages when it is restarted. So it is the connection that breaks: a
proxy resets, truncates and refuses some of everything, and cuts all connections for a second where others restart."""
import json
import time
import unittest

from child_server import need_test_python

need_test_python()  # before anything else

# pylint: disable=wrong-import-position
import boto3

from crash_case import DLQ, QUEUE, VISIBILITY_SECONDS, CrashCase, Misbehaving
from fault_proxy import FaultProxy
from local_sqs_server import LocalSqsServer
from moto_server import REGION

CUT_SECONDS = 1


class Sqs:
    vhost = ""
    can_restart = True
    behind_seconds = 0
    restart_is = f"connections cut for {CUT_SECONDS} s"

    def __init__(self, case):
        self.case = case
        self.server, self.proxy, self.sqs = LocalSqsServer(), None, None

    def start(self):
        self.server.start()
        self.case.addCleanup(self.server.stop)
        self.proxy = FaultProxy(self.server.url).__enter__()
        self.case.addCleanup(self.proxy.__exit__)
        self.sqs = boto3.client("sqs", region_name=REGION, endpoint_url=self.server.url, aws_access_key_id="any",
                                aws_secret_access_key="any")
        dlq = self.sqs.create_queue(QueueName=DLQ)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=dlq, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.sqs.create_queue(QueueName=QUEUE, Attributes={
            "VisibilityTimeout": str(VISIBILITY_SECONDS),
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1000})})
        self.break_some()

    def break_some(self):
        for fault in ("reset", "half", "error500", "throttled"):
            self.proxy.add(fault, percent=0.5)

    def config(self, direct):
        return f"""  - name: it
    type: sqs
    region: {REGION}
    endpoint: {self.server.url if direct else self.proxy.url}
    access_key_id: any
    secret_access_key: any
    oldest_age: {{method: none}}"""

    def restart(self):
        self.proxy.clear()
        self.proxy.add("reset")
        time.sleep(CUT_SECONDS)
        self.proxy.clear()
        self.break_some()

    def tell(self):
        return self.sqs.get_queue_attributes(QueueUrl=self.url(QUEUE), AttributeNames=["All"])["Attributes"]

    def url(self, queue):
        return self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]

    def count(self):
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url(QUEUE), AttributeNames=["All"])["Attributes"]
        return sum(int(answer["ApproximateNumberOfMessages" + name]) for name in ("", "NotVisible", "Delayed"))

    def read(self, queue):
        """Takes them: another client may."""
        numbers, url = [], self.url(queue)
        while True:
            some = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
            if not some.get("Messages"):
                return numbers
            numbers += [json.loads(message["Body"])["n"] for message in some["Messages"]]


class Crash(Misbehaving, CrashCase):
    broker = Sqs

    def test_no_message_is_lost_when_the_daemon_is_killed(self):
        self.survive()

    def test_what_is_recorded_as_handled_is_not_handled_again(self):
        self.survive("effectively_once")


if __name__ == "__main__":
    unittest.main(verbosity=1)
