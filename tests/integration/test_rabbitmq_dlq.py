#!/usr/bin/python3
"""Dead letters of RabbitMQ, whose publishers choose ids, or give none: no message is taken for another, and each keeps its."""
import json
import threading
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from daemon import wait_for
from handler_case import WORK, write_program
from rabbitmq_work_case import OnRabbit, Working
from redrive_case import Tools

SAME_ID = [("same", "A"), ("same", "B"), ("same", "C"), ("same", "A"), (None, "D"), (None, "D"), ("other", "A")]
CONSUMER = """
consumers:
  - source: rabbit
    queue: pay
    delivery: effectively_once
    deduplication: {{store: {folder}/handled.db}}
    handler: {{type: exec, command: [{folder}/work, {folder}]}}
{more}"""
SKIPPED = 'queue_consumer_duplicates_skipped_total{source="rabbit",vhost="/",queue="pay"}'


class Letters(Working):
    """What the test cases share."""

    kind = "classic"
    limits = {}

    def setUp(self):
        super().setUp()
        self.configure()
        self.channel = self.connect()
        for queue, more in (("pay-dlq", self.limits), ("pay", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "pay-dlq"})):
            self.channel.queue_declare(queue, durable=True, arguments={**more, "x-queue-type": self.kind})
            self.addCleanup(self.connect().queue_delete, queue)

    def publish(self, body, message_id=None, timestamp=1700000000, queue="pay-dlq"):
        self.channel.basic_publish("", queue, body.encode(), pika.BasicProperties(
            delivery_mode=2, message_id=message_id, timestamp=timestamp))

    def take(self, queue):
        """What is in the queue: id and body of each; sorted."""
        taken = []
        while (got := self.channel.basic_get(queue, auto_ack=True))[0] is not None:
            taken.append((got[1].message_id, got[2].decode()))
        return sorted(taken, key=lambda pair: (pair[0] or "", pair[1]))

    def redrive(self, *words, check=True):
        return self.queuectl("dlq", "redrive", "rabbit", "pay-dlq", "--yes", "--to", "pay", *words, check=check)

    def export(self):
        return self.queuectl("dlq", "export", "rabbit", "pay-dlq", "--yes")


class DeadLetters(Letters):
    def test_export_has_each_of_those_with_one_id(self):
        for message_id, body in SAME_ID:
            self.publish(body, message_id)
        done = self.export()
        self.assertIn("exported 7 of 7 messages", done.stderr)
        self.assertEqual(sorted(json.loads(line)["body"] for line in done.stdout.splitlines()),
                         sorted(body for _, body in SAME_ID))
        self.assertEqual(self.depth("pay-dlq"), 7)

    def test_inspect_counts_each_of_those_with_one_id(self):
        for message_id, body in SAME_ID:
            self.publish(body, message_id)
        rows = self.queuectl("dlq", "inspect", "rabbit", "pay-dlq", "--yes", "--json").stdout.splitlines()
        self.assertEqual(len(rows), 7, rows)
        self.assertEqual(self.depth("pay-dlq"), 7)

    def test_filtered_redrive_moves_each_that_is_meant(self):
        for index in range(30):
            self.publish("go" if index % 2 else f"keep{index}", None if index >= 20 else "same")
        self.assertIn("moved 15 from pay-dlq to pay\n", self.redrive("--body-match", "^go").stdout)
        self.assertEqual([body for _, body in self.take("pay")], ["go"] * 15)
        self.assertEqual(self.depth("pay-dlq"), 15)

    def test_redrive_moves_what_publishers_date_ahead(self):
        now = int(time.time())
        for ahead in (-3600, 3600, 3600, 86400):
            self.publish("b", "same", now + ahead)
        done = self.redrive()
        self.assertIn("moved 4 from pay-dlq to pay\n", done.stdout)
        self.assertEqual(self.depth("pay-dlq"), 0)

    def assert_kept(self, taken):
        """Each that was given an id has it; the others have one of their own."""
        new = [message_id for message_id, body in taken if body == "D"]
        self.assertEqual([pair for pair in taken if pair[1] != "D"], sorted(pair for pair in SAME_ID if pair[0]))
        self.assertEqual((len(set(new)), {len(message_id) for message_id in new}), (2, {32}))

    def test_redrive_and_import_keep_the_ids_that_publishers_gave(self):
        for message_id, body in SAME_ID:
            self.publish(body, message_id)
        saved = self.export().stdout
        self.redrive()
        self.assert_kept(self.take("pay"))
        self.queuectl("dlq", "import", "rabbit", "pay", stdin=saved)
        self.assert_kept(self.take("pay"))

    def test_import_gives_new_ids_to_what_another_store_has_numbered(self):
        for _ in range(2):
            self.queuectl("dlq", "import", "rabbit", "pay", stdin='{"id": "17", "body": "b"}\n')
        ids = {message_id for message_id, _ in self.take("pay")}
        self.assertEqual((len(ids), {len(message_id) for message_id in ids}), (2, {32}))


class DeadLettersOfQuorumQueues(DeadLetters):
    kind = "quorum"


class DeadLettersWithADeliveryLimit(Letters):
    """RabbitMQ 4 gives each quorum queue one, and drops what is returned more often: looking must lose nothing."""

    kind = "quorum"
    limits = {"x-delivery-limit": 2}

    def look(self):
        done = self.queuectl("dlq", "inspect", "rabbit", "pay-dlq", "--yes", "--json")
        return sorted(json.loads(line)["body"] for line in done.stdout.splitlines())

    def test_a_look_is_one_delivery(self):
        self.publish("b", "one")
        for _ in range(2):
            self.assertEqual(self.look(), ["b"])
        got = self.channel.basic_get("pay-dlq")
        self.assertEqual(got[1].headers["x-delivery-count"], 2)

    def test_looks_lose_none(self):
        for message_id, body in SAME_ID:
            self.publish(body, message_id)
        for _ in range(5):
            self.assertEqual(self.look(), sorted(body for _, body in SAME_ID))
        self.assertIn("left 7 that do not match", self.redrive("--body-match", "none of them").stdout)
        self.assertEqual(sorted(body for _, body in self.take("pay-dlq")), sorted(body for _, body in SAME_ID))


    def test_nor_does_a_redrive_of_some(self):
        for number in range(30):
            self.publish(str(number))
        for _ in range(2):
            self.look()
        for _ in range(2):  # for each that is moved the broker pushes one more
            self.assertIn("moved 7 from pay-dlq to pay\n", self.redrive("--max", "7", "--rate", "50").stdout)
        bodies = [body for queue in ("pay", "pay-dlq") for _, body in self.take(queue)]
        self.assertEqual(sorted(bodies), sorted(str(number) for number in range(30)))


class Handled(Letters):
    """With a consumer that deduplicates by id: what is redriven is handled again, and no more than once."""

    kind = "quorum"

    def consume(self, more=""):
        write_program(self.folder, "work", WORK)
        daemon = self.daemon(config=self.configure(CONSUMER.format(folder=self.folder, more=more)))
        wait_for("the statistics show who consumes", lambda: any(
            (row["queue"], row.get("consumers")) == ("pay", 1) for row in self.stats()))
        return daemon

    def handled(self):
        path = self.folder / "done"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def check_handled_once(self, more):
        daemon = self.consume(more)
        self.publish("bad1", "m1", queue="pay")
        wait_for("it is a dead letter", lambda: self.depth("pay-dlq") == 1)
        saved = self.export().stdout
        self.assertEqual(json.loads(saved)["id"], "m1")
        (self.folder / "fixed").touch()
        self.redrive()
        wait_for("it is handled again", lambda: self.handled() == ["bad1 m1"])
        for _ in range(2):  # copies of a letter that was handled
            self.queuectl("dlq", "import", "rabbit", "pay", stdin=saved)
        daemon.wait_value(SKIPPED, 2)
        new = {key: value for key, value in json.loads(saved).items() if key != "id"}
        self.queuectl("dlq", "import", "rabbit", "pay", stdin=json.dumps(new) + "\n")
        wait_for("without its id it is another", lambda: len(self.handled()) == 2)
        self.assertEqual(daemon.values()[SKIPPED], 2)

    def test_a_letter_of_the_broker_is_handled_again_and_its_copies_are_not(self):
        self.check_handled_once("")

    def test_a_letter_that_the_consumer_sent_is_handled_again_and_its_copies_are_not(self):
        self.check_handled_once("    dead_letter: {queue: pay-dlq}\n")

    def test_a_letter_that_fails_again_is_handled_as_often_as_it_is_redriven(self):
        daemon = self.consume()
        self.publish("bad1", "m1", queue="pay")
        for is_fixed in (False, False, True):
            wait_for("it is a dead letter", lambda: self.depth("pay-dlq") == 1)
            if is_fixed:
                (self.folder / "fixed").touch()
            self.redrive()
        wait_for("it is handled", lambda: self.handled() == ["bad1 m1"])
        self.assertEqual(daemon.values()[SKIPPED], 0)

    def test_canaries_are_known_among_others_of_their_id(self):
        """And of their content: their publisher told no time; they keep their places, and are none."""
        self.consume()
        for _ in range(4):
            self.publish("bad", "same", timestamp=None)
        done = self.redrive("--canary", "1", "--canary-wait", "30s", check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("1 of 1 canaries came back", done.stdout)
        wait_for("it is back", lambda: self.depth("pay-dlq") == 4)
        (self.folder / "fixed").touch()
        done = self.redrive("--canary", "1", "--canary-wait", "1s", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("as far as can be seen, all were handled\nmoved 3 from", done.stdout)

    def test_a_canary_is_known_by_its_id_alone(self):
        """Who republishes a message may change all the rest of it, and leave out its time."""
        self.configure()
        for message_id in ("m1", "m2"):
            self.publish("b", message_id, timestamp=None)
        done = []
        redriving = threading.Thread(target=lambda: done.append(
            self.redrive("--canary", "1", "--canary-wait", "20s", check=False)))
        redriving.start()
        wait_for("the canary is there", lambda: self.depth("pay") == 1)
        [(message_id, _)] = self.take("pay")
        self.publish("changed", message_id, timestamp=None)
        redriving.join()
        self.assertEqual(done[0].returncode, 1, done[0].stdout)
        self.assertIn("1 of 1 canaries came back", done[0].stdout)


class Everywhere(Tools, OnRabbit):
    delivery_limit = 100


if __name__ == "__main__":
    unittest.main()
