#!/usr/bin/python3
"""queuectl works on a real RabbitMQ, beside pika, an independent client: what one sends the other receives, headers,
properties and bytes included; dead letters, delays, topics, requests."""
import datetime
import json
import signal
import threading
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from rabbitmq_case import wait_for
from rabbitmq_work_case import CONFIG, WORKER, Working

BYTES = bytes(range(256))
HEADERS = {"text": "é", "number": 7, "big": 2**40, "yes": True, "raw": b"\xff\x00", "nothing": None,
           "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), "list": ["a", 1, {"k": "v"}],
           "table": {"deep": {"er": [True]}}}


# Fails the first time that it sees a message "0".
FAILS_FIRST = """
import json, os, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for line in sys.stdin:
    question = json.loads(line)
    body = question["message"]["body"]
    fails = body == "0" and os.stat(sys.argv[1]).st_size == 0
    os.write(out, f"{'failed-' if fails else ''}{body}\\n".encode())
    answer = {"result": "retry", "delay": 2} if fails else {"result": "ack"}
    print(json.dumps({"id": question["id"], **answer}), flush=True)
"""

HOPELESS = """
consumers:
  - source: rabbit
    queue: {queue}
    workers: 1
    handler: {{type: exec, command: [/bin/sh, -c, "exit {code}"]}}
    retry: {{initial: 100ms, max: 100ms}}
"""


class WithPika(Working):
    def test_what_pika_sends_is_received(self):
        self.configure()
        self.rabbit.queue("from-pika")
        channel = self.connect()
        channel.basic_publish("", "from-pika", BYTES, pika.BasicProperties(
            headers=HEADERS, content_type="application/x", correlation_id="c", reply_to="r", message_id="m", priority=3,
            type="t", app_id="a", timestamp=1700000000, expiration="600000"))
        channel.basic_publish("", "from-pika", "grüße")
        binary, text = (json.loads(line) for line in self.queuectl(
            "receive", "rabbit", "from-pika", "--json", "--ack", "--max", "2").stdout.splitlines())
        self.assertEqual(binary["id"], "m")
        self.assertEqual(binary["correlation_id"], "c")
        self.assertEqual(binary["reply_to"], "r")
        self.assertEqual(binary["sent"][:19], "2023-11-14T22:13:20")
        self.assertEqual(binary["receives"], 1)
        self.assertEqual(binary["body_base64"][:8], "AAECAwQF")
        self.assertEqual(binary["attributes"]["text"], "é")
        self.assertEqual(binary["attributes"]["big"], str(2**40))
        self.assertEqual(binary["attributes"]["yes"], "true")
        self.assertEqual(binary["attributes"]["content-type"], "application/x")
        self.assertEqual(binary["attribute_types"]["content-type"], "property")
        self.assertEqual(binary["attribute_types"]["table"], "table")
        self.assertEqual(text["body"], "grüße")
        self.assertNotIn("sent", text)  # nobody said when

    def test_what_is_moved_stays_what_it_was(self):
        self.configure()
        self.rabbit.queue("here")
        self.rabbit.queue("here-dlq")
        channel = self.connect()
        sent = pika.BasicProperties(headers=HEADERS, content_type="application/x", correlation_id="c", priority=3)
        channel.basic_publish("", "here-dlq", BYTES, sent)
        self.queuectl("dlq", "redrive", "rabbit", "here-dlq", "--to", "here", "--yes")
        method, got, body = channel.basic_get("here", auto_ack=True)
        self.assertIsNotNone(method)
        self.assertEqual(body, BYTES)
        own = {name: got.headers.pop(name) for name in ("timestamp_in_ms",)}
        self.assertGreater(own["timestamp_in_ms"], 1.7e12)
        self.assertEqual(got.headers, HEADERS)
        self.assertEqual((got.content_type, got.correlation_id, got.priority, got.delivery_mode),
                         ("application/x", "c", 3, 2))
        self.assertEqual(self.depth("here-dlq"), 0)

    def test_what_we_send_pika_receives(self):
        self.configure()
        self.rabbit.queue("to-pika")
        self.queuectl("send", "rabbit", "to-pika", "--body", "grüße", "--attribute", "name=wert")
        _, got, body = self.connect().basic_get("to-pika", auto_ack=True)
        self.assertEqual(body.decode(), "grüße")
        self.assertEqual(got.headers["name"], "wert")
        self.assertEqual(got.delivery_mode, 2)
        self.assertLess(abs(got.timestamp - time.time()), 60)
        self.assertEqual(len(got.message_id), 32)

    def test_a_receive_holds_no_more_than_it_was_asked_for(self):
        self.configure()
        self.rabbit.queue("shared")
        channel = self.connect()
        for i in range(10):
            channel.basic_publish("", "shared", str(i))
        taker = threading.Thread(target=self.queuectl, args=(
            "reply", "rabbit", "shared", "--exec", "sleep 2", "--max", "1"))
        taker.start()
        wait_for("one is in hand", lambda: self.depth("shared") <= 9)
        time.sleep(0.5)
        self.assertEqual(self.depth("shared"), 9)
        taker.join()
        self.assertEqual(self.depth("shared"), 9)


class Commands(Working):
    def test_dead_letters_are_listed_inspected_exported_and_moved_back(self):
        """Ours with our reason, the broker's own with its."""
        self.rabbit.queue("orders", dead_letter_exchange="", dead_letter_routing_key="orders-dlq")
        self.rabbit.queue("orders-dlq")
        config = self.configure(extra="consumers:\n  - {source: rabbit, queue: orders, handler: {type: exec, "
                                      "command: [/bin/false]}, retry: {initial: 10ms, max: 20ms, max_receives: 3}}")
        daemon = self.daemon(config=config)
        self.queuectl("send", "rabbit", "orders", "--body", "poison", "--attribute", "a=b")
        wait_for("dead-lettered", lambda: self.depth("orders-dlq") == 1)
        daemon.wait_value('queue_consumer_messages_dead_lettered_total{source="rabbit",vhost="/",queue="orders",'
                          'reason="max_receives"}', 1)
        daemon.stop()
        channel = self.connect()
        channel.basic_publish("", "orders", "refused by others")
        method, _, _ = channel.basic_get("orders")
        channel.basic_reject(method.delivery_tag, requeue=False)
        wait_for("dead-lettered", lambda: self.depth("orders-dlq") == 2)
        seen = self.queuectl("dlq", "inspect", "rabbit", "orders-dlq", "--yes").stdout
        self.assertIn("max_receives", seen)
        self.assertIn("rejected", seen)
        self.assertIn("orders-dlq", self.queuectl("dlq", "list", "rabbit").stdout)
        lines = [json.loads(line) for line in self.queuectl("dlq", "export", "rabbit", "orders-dlq", "--yes").stdout.splitlines()]
        by_body = {line["body"]: line for line in lines}
        self.assertEqual(by_body["poison"]["attributes"]["dead-letter-receives"], "3")
        self.assertEqual(by_body["poison"]["attributes"]["a"], "b")
        self.assertEqual(by_body["refused by others"]["attributes"]["dead-letter-source"], "orders")
        self.queuectl("dlq", "redrive", "rabbit", "orders-dlq", "--yes")
        wait_for("moved back", lambda: self.depth("orders") == 2)
        self.assertEqual(self.depth("orders-dlq"), 0)
        back = [json.loads(line) for line in self.queuectl(
            "receive", "rabbit", "orders", "--json", "--ack", "--max", "2").stdout.splitlines()]
        self.assertEqual({m["body"] for m in back}, {"poison", "refused by others"})
        self.assertFalse([name for m in back for name in m.get("attributes", {}) if name.startswith("dead-letter")])

    def test_what_was_not_counted_is_not_told_and_has_an_end_all_the_same(self):
        """A classic queue says of what it delivers again only that; no number is made of it, and no endless loop."""
        self.rabbit.queue("uncounted", dead_letter_exchange="", dead_letter_routing_key="uncounted-dlq")
        self.rabbit.queue("uncounted-dlq")
        channel = self.connect()
        channel.basic_publish("", "uncounted", "poison")
        channel.basic_get("uncounted")
        channel.connection.close()  # not settled
        daemon = self.daemon(config=self.configure(
            extra="consumers:\n  - {source: rabbit, queue: uncounted, handler: {type: exec, command: [/bin/false]}, "
                  "retry: {initial: 10ms, max: 20ms, max_receives: 4}}"))
        wait_for("dead-lettered", lambda: self.depth("uncounted-dlq") == 1)
        daemon.stop()
        _, got, _ = self.connect().basic_get("uncounted-dlq", auto_ack=True)
        self.assertTrue(got.headers["dead-letter-reason"].startswith("max_receives"), got.headers)
        self.assertNotIn("dead-letter-receives", got.headers)
        self.assertNotIn("x-receives-least", got.headers)

    def test_without_a_dead_letter_queue_nothing_is_lost(self):
        self.rabbit.queue("lonely")
        config = self.configure(extra="consumers:\n  - {source: rabbit, queue: lonely, handler: {type: exec, "
                                      "command: [/bin/sh, -c, exit 65]}, retry: {initial: 10ms, max: 100ms}}")
        daemon = self.daemon(config=config)
        self.queuectl("send", "rabbit", "lonely", "--body", "precious")
        wait_for("it was tried and is kept", lambda: "cannot be moved there" in daemon.log())
        daemon.stop()
        wait_for("it is still there", lambda: self.depth("lonely") + self.depth("qe.delay.100ms") == 1)

    def test_a_delay_and_a_purge(self):
        self.configure()
        self.rabbit.queue("later")
        channel = self.connect()
        self.queuectl("send", "rabbit", "later", "--body", "x", "--delay", "1s")
        self.assertEqual(self.depth("later"), 0)
        self.assertEqual(self.depth("qe.delay.1s"), 1)
        begun = time.monotonic()
        got = json.loads(self.queuectl("receive", "rabbit", "later", "--json", "--wait", "5s").stdout)
        self.assertGreater(time.monotonic() - begun, 0.4)
        self.assertEqual(got["receives"], 1)
        self.assertNotIn("attributes", got)  # that it waited somewhere is no fact about it
        wait_for("given back", lambda: self.depth("later") == 1)
        for i in range(3):
            channel.basic_publish("", "later", str(i))
        self.assertIn("4", self.queuectl("purge", "rabbit", "later", "--yes").stdout)
        self.assertEqual(self.depth("later"), 0)

    def test_an_unknown_queue_or_topic_is_said_to_be_none(self):
        self.configure()
        for words in (("send", "rabbit", "none", "--body", "x"), ("receive", "rabbit", "none"),
                      ("publish", "rabbit", "none", "--body", "x"), ("subscribe", "rabbit", "none")):
            done = self.queuectl(*words, check=False)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn("none", done.stderr)
        self.assertNotIn("none", [q["name"] for q in self.rabbit.must("GET", "/api/queues")])  # nor declared

    def test_publish_and_subscribe(self):
        self.configure()
        self.rabbit.exchange("news", "topic")
        got = []
        reader = threading.Thread(target=lambda: got.append(self.queuectl(
            "subscribe", "rabbit", "news", "--key", "eu.#", "--max", "2").stdout))
        reader.start()
        wait_for("subscribed", lambda: len(self.rabbit.must("GET", "/api/exchanges/%2F/news/bindings/source")) == 1)
        for key, body in (("eu.a", "one"), ("us.a", "not this"), ("eu.b.c", "two")):
            self.queuectl("publish", "rabbit", "news", "--key", key, "--body", body)
        reader.join()
        self.assertIn("one", got[0])
        self.assertIn("two", got[0])
        self.assertNotIn("not this", got[0])
        wait_for("the queue is gone", lambda: not self.rabbit.must("GET", "/api/exchanges/%2F/news/bindings/source"))

    def test_request_and_reply(self):
        """Direct reply-to: no queue is made for the answer; and pika may be who answers."""
        self.configure()
        self.rabbit.queue("sums")
        server = threading.Thread(target=self.queuectl, args=("reply", "rabbit", "sums", "--exec", "tr a-z A-Z",
                                                              "--max", "1"))
        server.start()
        self.assertEqual(self.queuectl("request", "rabbit", "sums", "--body", "hello").stdout.strip(), "HELLO")
        server.join()

        def answer():
            channel = self.connect()
            method, asked, body = wait_for("a request", lambda: next(iter([
                got for got in [channel.basic_get("sums", auto_ack=True)] if got[0]]), None))
            self.assertIsNotNone(method)
            channel.basic_publish("", asked.reply_to, body[::-1], pika.BasicProperties(
                correlation_id=asked.correlation_id))
        server = threading.Thread(target=answer)
        server.start()
        self.assertEqual(self.queuectl("request", "rabbit", "sums", "--body", "hello").stdout.strip(), "olleh")
        server.join()
        done = self.queuectl("request", "rabbit", "sums", "--body", "x", "--timeout", "1s", check=False)
        self.assertIn("no reply", done.stderr)

    def test_without_amqp_url_it_is_only_watched(self):
        self.rabbit.queue("watched")
        self.write_config(CONFIG.format(management=self.rabbit.url, discovery=3, amqp="", extra="").replace("    amqp_url: \n", ""))
        done = self.queuectl("send", "rabbit", "watched", "--body", "x", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("source rabbit has no amqp_url: add it to work on its queues", done.stderr)

    def test_a_wrong_password_is_called_that(self):
        self.configure(extra="    password: wrong")
        done = self.queuectl("send", "rabbit", "any", "--body", "x", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("ACCESS_REFUSED", done.stderr)

    def test_a_failure_holds_its_group_although_its_messages_have_no_ids(self):
        self.rabbit.queue("groups")
        (self.folder / "worker.py").write_text(FAILS_FIRST)
        config = self.configure(extra=(
            "consumers:\n  - {source: rabbit, queue: groups, workers: 4, order_by: customer, handler: {type: coprocess, "
            f"command: [python3, {self.folder}/worker.py, {self.folder}/handled]}}}}"))
        channel, path = self.connect(), self.folder / "handled"
        customer = pika.BasicProperties(headers={"customer": "a"})
        channel.basic_publish("", "groups", "0", customer)
        self.daemon(config=config)
        wait_for("its failure", path.exists)
        for number in range(1, 6):
            channel.basic_publish("", "groups", str(number), customer)
        wait_for("all are handled", lambda: len(path.read_text().split()) == 7, 60)
        self.assertEqual(path.read_text().split()[:2], ["failed-0", "0"], "the others wait for it")

    def test_a_consumer_works_while_the_management_api_is_away(self):
        self.rabbit.queue("alone")
        (self.folder / "worker.py").write_text(WORKER)
        config = self.configure(extra=(
            "consumers:\n  - {source: rabbit, queue: alone, handler: {type: coprocess, command: [python3, "
            f"{self.folder}/worker.py, {self.folder}/ids]}}}}"))
        config.write_text(config.read_text().replace(self.rabbit.url, "http://127.0.0.1:9"))
        self.connect().basic_publish("", "alone", "done")
        self.daemon(config=config)
        wait_for("handled", lambda: (self.folder / "ids").exists() and (self.folder / "ids").read_text() == "done\n")


class Changing(Working):
    """What an operator changes while the consumer runs holds for it after the next list, without a restart."""

    def work(self, queue, code):
        return self.daemon(config=self.configure(extra=HOPELESS.format(queue=queue, code=code)))

    def lead(self, queue, dlq):
        """By a policy, as operators do."""
        self.rabbit.policy(queue, f"^{queue}$", {"dead-letter-exchange": "", "dead-letter-routing-key": dlq})

    def bury(self, queue, body, dlq):
        self.connect().basic_publish("", queue, body)
        wait_for(f"{body} is in {dlq}", lambda: self.depth(dlq) == 1)
        _, _, got = self.connect().basic_get(dlq, auto_ack=True)
        self.assertEqual(got, body.encode())

    def test_a_dead_letter_queue_that_comes_later_and_moves_is_used(self):
        for name in ("moving", "moving-old", "moving-new"):
            self.rabbit.queue(name)
        daemon = self.work("moving", 65)
        self.connect().basic_publish("", "moving", "early")
        wait_for("it has nowhere to go", lambda: "give the queue a dead-letter queue" in daemon.log())
        self.lead("moving", "moving-old")
        wait_for("the first arrives", lambda: self.depth("moving-old") == 1)
        self.connect().queue_purge("moving-old")
        self.bury("moving", "second", "moving-old")
        config = self.folder / "queue_exporter.yml"  # another poller, and the same consumer
        config.write_text(config.read_text().replace("poll_interval: 1s", "poll_interval: 1500ms"))
        daemon.signal(signal.SIGHUP)
        wait_for("reloaded", lambda: "configuration reloaded" in daemon.log())
        self.lead("moving", "moving-new")
        wait_for("the page has the link", lambda: any(
            name.startswith("queue_dead_letter_info{") and 'dead_letter_queue="moving-new"' in name
            for name in daemon.values()))
        self.bury("moving", "third", "moving-new")
        self.assertEqual((self.depth("moving"), self.depth("moving-old")), (0, 0))
        self.assertEqual(daemon.log().count("source is up"), 2, daemon.log())

    def test_a_delivery_limit_that_comes_later_ends_what_fails_again_and_again(self):
        """The broker would count each copy, which a retry with a delay is, anew, and let it come for ever."""
        self.rabbit.queue("endless", kind="quorum", dead_letter_exchange="", dead_letter_routing_key="endless-dlq")
        self.rabbit.queue("endless-dlq")
        daemon = self.work("endless", 1)
        self.connect().basic_publish("", "endless", "poison")
        released = 'queue_consumer_messages_released_total{source="rabbit",vhost="/",queue="endless"}'
        wait_for("it is tried again and again", lambda: daemon.values().get(released, 0) >= 6)
        self.assertEqual(self.depth("endless-dlq"), 0)
        self.rabbit.policy("endless", "^endless$", {"delivery-limit": 3})
        wait_for("it is dead-lettered", lambda: self.depth("endless-dlq") == 1)
        _, letter, _ = self.connect().basic_get("endless-dlq", auto_ack=True)
        self.assertRegex(letter.headers["dead-letter-reason"], "^max_receives")
        self.assertGreater(int(letter.headers["dead-letter-receives"]), 3)

    def test_what_is_not_watched_is_learnt_of_all_the_same(self):
        for name in ("aside", "aside-dlq"):
            self.rabbit.queue(name)
        daemon = self.daemon(config=self.configure(extra="    exclude: [aside.*]\n" + HOPELESS.format(queue="aside", code=65)))
        self.connect().basic_publish("", "aside", "early")
        wait_for("it has nowhere to go", lambda: "give the queue a dead-letter queue" in daemon.log())
        self.lead("aside", "aside-dlq")
        wait_for("it arrives", lambda: self.depth("aside-dlq") == 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
