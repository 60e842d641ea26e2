#!/usr/bin/python3
"""boto3, an SDK we did not write, on the other side: what it sends we receive, what we send it receives."""
import json
import time
import unittest

from sqs_case import WithMoto, md5, md5_of_attributes

from fault_proxy import FaultProxy

MIB = 1 << 20


class Boto3(WithMoto):
    def setUp(self):
        super().setUp()
        self.write_sqs_config()

    def send(self, queue, *words, **more):
        return self.queuectl("send", "aws", queue, *words, **more)

    def receive(self, queue, *words):
        """Received and deleted, as objects."""
        done = self.queuectl("receive", "aws", queue, "--ack", "--json", "--wait", "5s", *words)
        return [json.loads(line) for line in done.stdout.splitlines()]

    # --- what it sends, we receive ---

    def test_its_message_is_received_with_all_it_says(self):
        url = self.make_queue("theirs")
        before = time.time()
        attributes = {"text": {"DataType": "String", "StringValue": "grüße \"quoted\""},
                      "number": {"DataType": "Number", "StringValue": "7.50"},
                      "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\x01\xff"},
                      "label": {"DataType": "String.json", "StringValue": "{}"}}
        sent = self.sqs.send_message(QueueUrl=url, MessageBody="line 1\nline 2 \U0001f41c",
                                     MessageAttributes=attributes, MessageGroupId="tenant-1")
        self.assertEqual(sent["MD5OfMessageAttributes"], md5_of_attributes(attributes), "the algorithm of both")
        [got] = self.receive("theirs")  # our own check of both MD5 lets it through
        self.assertEqual(got["id"], sent["MessageId"])
        self.assertEqual(got["body"], "line 1\nline 2 \U0001f41c")
        self.assertEqual(got["attributes"], {"text": "grüße \"quoted\"", "number": "7.50", "bytes": "AAH/",
                                             "label": "{}"})
        self.assertEqual(got["group"], "tenant-1", "a fair queue's tenant")
        self.assertEqual(got["receives"], 1)
        sent_at = time.strptime(got["sent"][:19], "%Y-%m-%dT%H:%M:%S")
        self.assertLess(abs(time.mktime(sent_at) - time.mktime(time.gmtime(before))), 5)
        self.assertEqual(self.counts(url), (0, 0, 0), "and deleted")

    def test_its_messages_of_a_megabyte_are_received(self):
        url = self.make_queue("large")
        bodies = [letter * MIB for letter in "ab"]
        for body in bodies:
            self.sqs.send_message(QueueUrl=url, MessageBody=body)
        got = self.receive("large", "--max", "2")
        self.assertEqual(sorted(md5(one["body"]) for one in got), sorted(md5(body) for body in bodies))

    def test_its_fifo_messages_come_in_order(self):
        url = self.make_queue("theirs.fifo")
        for number in range(12):
            self.sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId="g",
                                  MessageDeduplicationId=f"d{number}")
        got = [self.receive("theirs.fifo")[0] for _ in range(12)]
        self.assertEqual([one["body"] for one in got], [str(number) for number in range(12)])
        self.assertEqual((got[3]["group"], got[3]["deduplication_id"]), ("g", "d3"))

    def test_more_than_ten_of_its_messages_are_received_at_once(self):
        url = self.make_queue("many")
        for batch in range(4):
            self.sqs.send_message_batch(QueueUrl=url, Entries=[
                {"Id": str(one), "MessageBody": f"{batch}.{one}"} for one in range(10)])
        got = self.receive("many", "--max", "35")
        self.assertEqual(len(got), 35)
        # moto takes no lock: two receives at once bring one message twice, now and then.
        self.assertEqual(self.counts(url), (40 - len({one["body"] for one in got}), 0, 0))

    def test_a_message_only_looked_at_is_there_again(self):
        url = self.make_queue("looked-at", VisibilityTimeout=600)
        self.sqs.send_message(QueueUrl=url, MessageBody="x")
        self.assertIn("x", self.queuectl("receive", "aws", "looked-at", "--wait", "5s").stdout)
        self.assertEqual(len(self.take(url)), 1)

    # --- what we send, it receives ---

    def test_a_send_asks_for_its_queue_and_no_other(self):
        for number in range(5):
            self.make_queue(f"beside-{number}")
        url = self.make_queue("asked-for")
        with FaultProxy(self.moto.url) as proxy:
            config = self.folder / "queue_exporter.yml"
            config.write_text(config.read_text().replace(self.moto.url, proxy.url))
            self.send("asked-for", "--body", "x")
            self.assertEqual(proxy.requests, {"GetQueueUrl": 1, "SendMessageBatch": 1})
            wrong = self.send("askedfor", "--body", "x", check=False)
        self.assertIn('did you mean "asked-for"?', wrong.stderr)
        self.assertEqual(self.counts(url), (1, 0, 0))

    def test_our_message_is_received_with_all_we_say(self):
        url = self.make_queue("ours")
        refused = self.send("ours", "--body", "x", "--attribute", "größe=7", check=False)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("attribute \"größe\"", refused.stderr)
        self.send("ours", "--body", "grüße\n\t\"quoted\" \\ \U0001f41c", "--attribute", "team=a b",
                  "--attribute", "city=köln")
        [got] = self.take(url)
        self.assertEqual(got["Body"], "grüße\n\t\"quoted\" \\ \U0001f41c")
        self.assertEqual(got["MD5OfBody"], md5(got["Body"]))
        self.assertEqual({name: one["StringValue"] for name, one in got["MessageAttributes"].items()},
                         {"team": "a b", "city": "köln"})
        self.assertEqual(got["MD5OfMessageAttributes"], md5_of_attributes(got["MessageAttributes"]))

    def test_our_batch_arrives_whole(self):
        url = self.make_queue("batch")
        self.send("batch", "--body", "x", "--count", "37")
        self.assertEqual(len({one["MessageId"] for one in self.take(url, 50)}), 37)

    def test_our_megabyte_arrives_and_a_byte_more_is_refused_here(self):
        url = self.make_queue("full")
        body = self.folder / "body"
        body.write_text("m" * MIB)
        self.send("full", "--file", str(body), "--count", "3")  # each in a call of its own: 1 MiB is a call's limit
        self.assertEqual([one["MD5OfBody"] for one in self.take(url, 3)], [md5("m" * MIB)] * 3)
        body.write_text("m" * (MIB + 1))
        refused = self.send("full", "--file", str(body), check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("1048577 bytes", refused.stderr)
        self.assertIn("at most 1048576", refused.stderr)

    def test_our_delay_and_our_tenant_are_kept(self):
        url = self.make_queue("later")
        self.send("later", "--body", "x", "--delay", "10m", "--group", "tenant-2")
        self.assertEqual(self.counts(url), (0, 0, 1))
        self.send("later", "--body", "y", "--group", "tenant-2")
        self.assertEqual(self.take(url)[0]["Attributes"]["MessageGroupId"], "tenant-2")
        too_long = self.send("later", "--body", "x", "--delay", "16m", check=False)
        self.assertEqual(too_long.returncode, 2)
        self.assertIn("at most 900 s", too_long.stderr)

    def test_our_fifo_messages_are_in_order_and_none_is_taken_for_another(self):
        url = self.make_queue("ours.fifo")
        for body in "abc":
            self.send("ours.fifo", "--body", body, "--group", "g", "--count", "5")
        self.assertEqual("".join(one["Body"] for one in self.take(url, 15)), "aaaaabbbbbccccc")

    def test_our_deduplication_id_counts(self):
        url = self.make_queue("once.fifo")
        self.send("once.fifo", "--body", "x", "--group", "g", "--deduplication-id", "d", "--count", "3")
        self.assertEqual(self.counts(url), (1, 0, 0))

    def test_where_the_body_is_the_id_it_stays_so(self):
        url = self.make_queue("content.fifo", ContentBasedDeduplication="true")
        self.send("content.fifo", "--body", "x", "--group", "g", "--count", "3")
        self.assertEqual(self.counts(url), (1, 0, 0))

    def test_what_a_kind_of_queue_does_not_have_is_refused_with_words(self):
        self.make_queue("plain")
        self.make_queue("strict.fifo")
        for queue, words, said in (
                ("plain", ("--deduplication-id", "d"), "only FIFO queues"),
                ("strict.fifo", (), "needs a group"),
                ("strict.fifo", ("--group", "g", "--delay", "5s"), "delays all its messages alike")):
            with self.subTest(queue=queue, words=words):
                refused = self.send(queue, "--body", "x", *words, check=False)
                self.assertEqual(refused.returncode, 2)
                self.assertIn(said, refused.stderr)
                self.assertIn(queue, refused.stderr)

    # --- the rest of the tool ---

    def test_purge_empties(self):
        url = self.make_queue("full-of-it")
        self.send("full-of-it", "--body", "x", "--count", "20")
        self.assertIn("purged full-of-it", self.queuectl("purge", "aws", "full-of-it", "--yes").stdout)
        self.assertEqual(self.counts(url), (0, 0, 0))

    def test_a_queue_that_is_not_there_is_named(self):
        for words in (("send", "aws", "nowhere", "--body", "x"), ("receive", "aws", "nowhere")):
            failed = self.queuectl(*words, check=False)
            self.assertEqual(failed.returncode, 1)
            self.assertIn("nowhere", failed.stderr)

    def test_a_wrong_key_is_refused_and_not_shown(self):
        self.make_queue("locked")
        path = self.folder / "queue_exporter.yml"
        path.write_text(path.read_text().replace(self.moto.secret_access_key, "wrong-secret"))
        failed = self.send("locked", "--body", "x", check=False)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("SignatureDoesNotMatch", failed.stderr)
        self.assertNotIn("wrong-secret", failed.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
