"""Test cases beside a moto server: boto3 on one side, the programs on the other."""
import hashlib
import json
import struct

from child_server import need_test_python

need_test_python()  # before anything else: goes on under the interpreter that has boto3

# pylint: disable=wrong-import-position
from daemon import WithFolder, wait_for
from moto_server import REGION, MotoInTurn, MotoServer

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 2s, poll_timeout: 2s, stale_after: 10s}}
sources:
  - name: aws
    type: sqs
    region: {region}
    endpoint: {url}
    access_key_id: {key}
    secret_access_key: {secret}
    oldest_age: {{method: none}}
{extra}
"""

WATCH_CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: {poll}, poll_timeout: {poll}, discovery_interval: 1h}}
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


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def md5_of_attributes(attributes):
    """As Amazon documents it, of boto3's {name: {DataType, StringValue or BinaryValue}}."""
    digest = hashlib.md5()
    for name in sorted(attributes):
        one = attributes[name]
        binary = one["DataType"].startswith("Binary")
        value = one["BinaryValue"] if binary else one["StringValue"].encode()
        for part in (name.encode(), one["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        digest.update((b"\x02" if binary else b"\x01") + struct.pack(">I", len(value)) + value)
    return digest.hexdigest()


class WithPages(WithFolder):
    """What waits for a page of metrics."""

    @staticmethod
    def wait_page(what, daemon, fits, seconds=60):
        """The first page that fits."""
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


class WithMoto(WithPages):
    """One server for all tests of a class; each test makes its own queues."""

    server = MotoServer

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.moto = cls.server()
        cls.addClassCleanup(cls.moto.stop)
        cls.moto.start()
        cls.sqs = cls.moto.boto3("sqs")

    def write_sqs_config(self, extra=""):
        return self.write_config(CONFIG.format(
            region=REGION, url=self.moto.url, key=self.moto.access_key_id,
            secret=self.moto.secret_access_key, extra=extra))

    def make_queue(self, name, dlq=None, max_receives=3, **attributes):
        """A queue's URL; `dlq` is another one's URL."""
        attributes = {name: str(value) for name, value in attributes.items()}
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        if dlq:
            arn = self.sqs.get_queue_attributes(QueueUrl=dlq, AttributeNames=["QueueArn"])
            attributes["RedrivePolicy"] = json.dumps({
                "deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": max_receives})
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.addCleanup(self.sqs.delete_queue, QueueUrl=url)
        return url

    def take(self, url, count=1, **more):
        """Up to `count` messages, deleted, as boto3 gives them."""
        taken = []
        while len(taken) < count:
            some = self.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=min(10, count - len(taken)), WaitTimeSeconds=1,
                MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"], **more).get("Messages", [])
            if not some:
                break
            taken += some
            for message in some:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken

    def counts(self, url):
        """(ready, in flight, delayed)"""
        names = ["", "NotVisible", "Delayed"]
        answer = self.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages" + name for name in names])
        return tuple(int(answer["Attributes"]["ApproximateNumberOfMessages" + name]) for name in names)

    def is_empty(self, url):
        """moto counts one state after the other: what becomes visible meanwhile is in neither, once."""
        return self.counts(url) == self.counts(url) == (0, 0, 0)


class OnSqs(WithMoto):
    """How queues are worked on here, as handler_case.py and others ask."""

    server = MotoInTurn
    source, vhost = "aws", ""
    max_receives = 10

    def setUp(self):
        super().setUp()
        self.urls = {}

    def make(self, name, dlq=None):
        self.urls[name] = self.make_queue(name, self.urls.get(dlq), max_receives=self.max_receives)
        return name

    def make_pair(self):
        return self.make("orders", self.make("orders-dlq")), "orders-dlq"

    def write_handler_config(self, extra):
        return self.write_sqs_config(extra)

    def send_entries(self, queue, entries):
        """Five in a call, for long ones have to fit into a call's 256 KiB."""
        for start in range(0, len(entries), 5):
            some = [{"Id": str(index), **entry} for index, entry in enumerate(entries[start:start + 5])]
            self.assertFalse(self.sqs.send_message_batch(QueueUrl=self.urls[queue], Entries=some).get("Failed"))

    def send_all(self, queue, bodies):
        self.send_entries(queue, [{"MessageBody": body} for body in bodies])

    def ready(self, queue):
        return self.counts(self.urls[queue])[0]

    def left(self, queue):
        return sum(self.counts(self.urls[queue]))


class WithDeadLetters(WithMoto):
    """Queue `orders`, its dead-letter queue, and the tools on that one."""

    def setUp(self):
        super().setUp()
        self.config = self.write_sqs_config()
        self.dlq = self.make_queue("orders-dlq", MessageRetentionPeriod=1209600)
        self.orders = self.make_queue("orders", self.dlq)

    def bury(self, body, reason):
        self.sqs.send_message(QueueUrl=self.dlq, MessageBody=body, MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in (("dead-letter-reason", reason), ("dead-letter-source", "orders"))})

    def dlq_tool(self, *words, **more):
        return self.queuectl("dlq", *words[:1], "aws", "orders-dlq", *words[1:], **more)

    def behind(self, proxy):
        """The same server, through a proxy."""
        self.config.write_text(self.config.read_text(encoding="utf-8").replace(self.moto.url, proxy.url), encoding="utf-8")


def series(family, queue, **labels):
    return f'{family}{{source="aws",queue="{queue}"' + "".join(f',{k}="{v}"' for k, v in labels.items()) + "}"


def requests(operation):
    return f'queue_exporter_api_requests_total{{source="aws",operation="{operation}"}}'


class Watching(WithPages):
    """What the classes below share: `self.moto` is theirs."""

    def watch(self, extra, poll="2s", key=None):
        text = WATCH_CONFIG.format(poll=poll, region=REGION, url=self.moto.url, key=key or self.moto.access_key_id,
                             secret=self.moto.secret_access_key, extra=extra)
        return self.daemon(config=self.write_config(text))
