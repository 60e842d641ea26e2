#!/usr/bin/python3
"""The reference consumer on SQS: what it acknowledges is gone, what fails comes again, what is hopeless is in the DLQ."""
import json
import re
import time
import unittest

from sqs_case import WithMoto, md5_of_attributes

from daemon import wait_for

CONSUMER = """
consumers:
  - source: aws
    queue: {queue}
    workers: {workers}
    handler: {{type: simulate, latency_p50: {p50}, latency_p99: {p99}, error_rate: {errors}, seed: 1}}
    retry: {{initial: {retry}, max: {retry}}}
"""


class Consumer(WithMoto):
    """Where many messages are counted, moto may have made a duplicate: it takes no lock, and answers two receives at
    once with one message, now and then."""

    def run_consumer(self, queue, workers=4, p50="1ms", p99="5ms", errors=0, retry="10ms"):
        config = self.write_sqs_config(CONSUMER.format(queue=queue, workers=workers, p50=p50, p99=p99, errors=errors,
                                                       retry=retry))
        return self.daemon(config=config)

    def send(self, url, bodies, **attributes):
        entries = [{"Id": str(index), "MessageBody": body, "MessageAttributes": attributes}
                   for index, body in enumerate(bodies)]
        for start in range(0, len(entries), 10):
            answer = self.sqs.send_message_batch(QueueUrl=url, Entries=entries[start:start + 10])
            self.assertFalse(answer.get("Failed"))

    def wait_empty(self, url):
        # On a busy machine moto forgets a delete now and then: that message comes again after its 30 s.
        wait_for(f"{url} is empty", lambda: self.is_empty(url), 75)

    @staticmethod
    def of(daemon, family, queue, **labels):
        """A consumer's value, whatever the order of its labels."""
        wanted = {"source": "aws", "queue": queue, **labels}
        for series, value in daemon.values().items():
            name, _, rest = series.partition("{")
            if name == family and dict(re.findall(r'(\w+)="([^"]*)"', rest)) == wanted:
                return value
        return None

    def test_what_is_handled_is_deleted_in_calls_of_many(self):
        url = self.make_queue("orders")
        self.send(url, [str(number) for number in range(200)])
        daemon = self.run_consumer("orders")
        self.wait_empty(url)
        wait_for("all are counted", lambda: self.of(daemon, "queue_consumer_messages_processed_total", "orders") >= 200)
        deletes = daemon.value('queue_exporter_api_requests_total{source="aws",operation="DeleteMessageBatch"}')
        self.assertLessEqual(deletes, 100, "deletes share calls")

    def test_what_is_hopeless_is_in_the_dlq_as_it_was(self):
        dlq = self.make_queue("hopeless-dlq")
        url = self.make_queue("hopeless", dlq=dlq)
        attributes = {"simulate": {"DataType": "String", "StringValue": "reject"},
                      "number": {"DataType": "Number", "StringValue": "7"},
                      "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        self.send(url, ["poison"], **attributes)
        daemon = self.run_consumer("hopeless")
        self.wait_empty(url)
        [dead] = self.take(dlq)
        self.assertEqual(dead["Body"], "poison")
        self.assertEqual(dead["MD5OfMessageAttributes"], md5_of_attributes(dead["MessageAttributes"]))
        notes = {name: one["StringValue"] for name, one in dead["MessageAttributes"].items()
                 if name.startswith("dead-letter-")}
        self.assertEqual({name: dead["MessageAttributes"][name] for name in attributes}, attributes)
        self.assertTrue(notes["dead-letter-reason"].startswith("permanent"), notes)
        self.assertEqual((notes["dead-letter-source"], notes["dead-letter-receives"]), ("hopeless", "1"))
        self.assertRegex(notes["dead-letter-at"], r"^20\d\d-")
        self.assertEqual(
            self.of(daemon, "queue_consumer_messages_dead_lettered_total", "hopeless", reason="permanent"), 1)

    def test_a_letter_tells_its_first_and_last_error(self):
        dlq = self.make_queue("told-dlq")
        url = self.make_queue("told", dlq=dlq, max_receives=10)
        self.send(url, ["poison"], simulate={"DataType": "String", "StringValue": "retry"})
        text = CONSUMER.format(queue="told", workers=1, p50="1ms", p99="5ms", errors=0, retry="10ms")
        self.daemon(config=self.write_sqs_config(text.replace("retry: {", "retry: {max_receives: 2, ")))
        self.wait_empty(url)
        [dead] = self.take(dlq)
        notes = {name: one["StringValue"] for name, one in dead["MessageAttributes"].items()}
        self.assertTrue(notes["dead-letter-reason"].startswith("max_receives: "), notes)
        self.assertEqual(notes["dead-letter-receives"], "2")
        for name in ("first-error", "last-error"):
            self.assertTrue(notes[f"dead-letter-{name}"].startswith("handler_error: simulated error"), notes)
        self.assertRegex(notes["dead-letter-first-seen"], r"^20\d\d-")

    def test_ten_attributes_of_its_own_leave_no_room_for_ours(self):
        dlq = self.make_queue("crowded-dlq")
        url = self.make_queue("crowded", dlq=dlq)
        for room in (0, 1):
            attributes = {f"a{number}": {"DataType": "String", "StringValue": "v"} for number in range(9 - room)}
            attributes["simulate"] = {"DataType": "String", "StringValue": "reject"}
            self.send(url, [str(room)], **attributes)
        self.run_consumer("crowded")
        self.wait_empty(url)
        dead = {one["Body"]: one["MessageAttributes"] for one in self.take(dlq, 2)}
        self.assertEqual([name for name in dead["0"] if name.startswith("dead-letter-")], [])
        self.assertEqual([name for name in dead["1"] if name.startswith("dead-letter-")], ["dead-letter-reason"])

    def test_what_fails_again_and_again_is_dead_lettered_by_sqs(self):
        dlq = self.make_queue("failing-dlq")
        url = self.make_queue("failing", dlq=dlq, max_receives=2)
        self.send(url, ["a", "b", "c"], simulate={"DataType": "String", "StringValue": "retry"})
        daemon = self.run_consumer("failing")
        self.wait_empty(url)
        self.assertEqual(sorted(one["Body"] for one in self.take(dlq, 3)), ["a", "b", "c"])
        self.assertEqual(self.of(daemon, "queue_consumer_messages_released_total", "failing"), 6)

    def test_what_fails_now_and_then_is_handled_in_the_end(self):
        url = self.make_queue("flaky")
        self.send(url, [str(number) for number in range(60)])
        daemon = self.run_consumer("flaky", errors=0.3)
        self.wait_empty(url)
        wait_for("all are counted", lambda: self.of(daemon, "queue_consumer_messages_processed_total", "flaky") >= 60)
        self.assertGreater(self.of(daemon, "queue_consumer_redeliveries_total", "flaky"), 5)

    def test_a_handling_longer_than_the_visibility_keeps_its_message(self):
        url = self.make_queue("slow", VisibilityTimeout=2)
        self.send(url, ["a", "b"])
        daemon = self.run_consumer("slow", workers=2, p50="5s", p99="5001ms")
        # While they are in hand, their age is known for nothing.
        wait_for("an age", lambda: (self.of(
            daemon, "queue_oldest_message_age_seconds", "slow", method="consumer") or 0) > 1)
        self.wait_empty(url)
        wait_for("both are counted", lambda: self.of(daemon, "queue_consumer_messages_processed_total", "slow") == 2)
        self.assertGreaterEqual(self.of(daemon, "queue_consumer_visibility_extensions_total", "slow"), 4)
        self.assertEqual(self.of(daemon, "queue_consumer_messages_received_total", "slow"), 2, "nobody got it twice")
        wait_for("a warning", lambda: self.of(
            daemon, "queue_config_warning", "slow", check="visibility_below_handling_time") == 1)

    def test_a_letter_of_a_group_keeps_its_group(self):
        dlq = self.make_queue("line-dlq.fifo")
        url = self.make_queue("line.fifo", dlq=dlq)
        for number in range(12):  # of each group, the 2nd is hopeless
            group, place = f"g{number % 3}", number // 3
            self.sqs.send_message(
                QueueUrl=url, MessageBody=f"{group}.{place}", MessageGroupId=group, MessageDeduplicationId=str(number),
                MessageAttributes={"simulate": {"DataType": "String", "StringValue": "reject"}} if place == 1 else {})
        daemon = self.run_consumer("line.fifo")
        self.wait_empty(url)
        dead = [self.take(dlq)[0] for _ in range(3)]
        self.assertEqual(sorted((one["Body"], one["Attributes"]["MessageGroupId"]) for one in dead),
                         [("g0.1", "g0"), ("g1.1", "g1"), ("g2.1", "g2")])
        wait_for("the rest is counted",
                 lambda: self.of(daemon, "queue_consumer_messages_processed_total", "line.fifo") == 9)

    def test_a_stop_leaves_what_is_unfinished_to_others(self):
        url = self.make_queue("stopped", VisibilityTimeout=600)
        self.send(url, [str(number) for number in range(30)])
        daemon = self.run_consumer("stopped", workers=2, p50="300ms", p99="301ms")
        wait_for("some are handled",
                 lambda: (self.of(daemon, "queue_consumer_messages_processed_total", "stopped") or 0) >= 3)
        began = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - began, 10)
        ready, in_flight, _ = self.counts(url)
        self.assertEqual(in_flight, 0, "for ten minutes nobody could have taken it")
        self.assertGreater(ready, 20)
        bodies = {one["Body"] for one in self.take(url, 30)}
        self.assertEqual(len(bodies), ready)

    def test_a_queue_without_dlq_keeps_what_is_hopeless_and_says_so(self):
        url = self.make_queue("no-dlq")
        self.send(url, ["poison"], simulate={"DataType": "String", "StringValue": "reject"})
        daemon = self.run_consumer("no-dlq", retry="10m")
        wait_for("the warning", lambda: "has no dead-letter queue" in daemon.log())
        self.assertEqual(sum(self.counts(url)), 1)
        lines = [json.loads(line) for line in daemon.log().splitlines() if line.startswith("{")]
        self.assertTrue(not lines or any("no-dlq" in json.dumps(line) for line in lines))

    def test_a_dead_letter_queue_that_comes_later_is_used(self):
        """What the driver remembers of the queue may be five minutes old: the source's list is newer."""
        url, dlq = self.make_queue("later"), self.make_queue("later-dlq")
        self.send(url, ["poison"], simulate={"DataType": "String", "StringValue": "reject"})
        daemon = self.run_consumer("later", retry="1s")
        wait_for("the warning", lambda: "has no dead-letter queue" in daemon.log())
        arn = self.sqs.get_queue_attributes(QueueUrl=dlq, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(
            {"deadLetterTargetArn": arn, "maxReceiveCount": 1000})})
        wait_for("it is moved", lambda: self.counts(dlq)[0] == 1)
        self.wait_empty(url)
        [dead] = self.take(dlq)
        self.assertEqual(dead["Body"], "poison")
        self.assertTrue(dead["MessageAttributes"]["dead-letter-reason"]["StringValue"].startswith("permanent"), dead)


if __name__ == "__main__":
    unittest.main(verbosity=1)
