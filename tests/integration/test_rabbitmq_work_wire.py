#!/usr/bin/python3
"""What the broker says late, or all at once, and queues that only one may consume from."""
import select
import socket
import threading
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from daemon import wait_for
from rabbitmq_work_case import CONFIG, Working

FAILING = """
consumers:
  - source: rabbit
    queue: {queue}
    workers: 1
    handler: {{type: exec, command: [/bin/sh, -c, "echo tried >>{folder}/ids; exit 1"]}}
    retry: {{initial: 100ms, max: 100ms}}
"""
BASIC_CONSUME = b"\x00\x3c\x00\x14"


class Wire(threading.Thread):
    """Between us and the broker: what the broker says comes `late_seconds` later, or not before it is let go."""

    def __init__(self, port, late_seconds=0.0):
        super().__init__(daemon=True)
        self.port, self.late_seconds = port, late_seconds
        self.hold_at, self.is_held, self.go_on = None, threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"amqp://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        while True:
            try:
                ours = self.listener.accept()[0]
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self.port))
            threading.Thread(target=self._pass, args=(ours, broker), daemon=True).start()

    def _pass(self, ours, broker):
        waiting = []  # (when, bytes) on their way to us
        with ours, broker:
            while True:
                now = time.monotonic()
                due = [data for when, data in waiting if when <= now]
                if due and (not self.is_held.is_set() or self.go_on.is_set()):
                    ours.sendall(b"".join(due))
                    del waiting[:len(due)]
                try:
                    ready = select.select([ours, broker], [], [], 0.005 if waiting else 0.1)[0]
                    for one in ready:
                        data = one.recv(1 << 16)
                        if not data:
                            return
                        if one is broker:
                            waiting.append((now + self.late_seconds, data))
                            continue
                        if self.hold_at and self.hold_at in data:
                            self.is_held.set()
                        broker.sendall(data)
                except OSError:
                    return


class OnTheWire(Working):
    def setUp(self):
        super().setUp()
        self.ids = self.folder / "ids"

    def handled(self):
        return self.ids.read_text().split() if self.ids.exists() else []

    def through(self, late_seconds):
        wire = Wire(self.rabbit.amqp_port, late_seconds)
        wire.start()
        self.addCleanup(wire.listener.close)
        self.write_config(CONFIG.format(management=self.rabbit.url, discovery=3, amqp=wire.url, extra=""))
        return wire

    def test_a_broker_that_answers_late_is_waited_for(self):
        """Later than the receive is to end: an answer that is not waited for would cost the connection, and with it
        all that is in hand. And a new connection takes its time, which is not that of the first calls."""
        self.rabbit.queue("late")
        self.connect().basic_publish("", "late", "x")
        self.through(0.35)
        done = self.queuectl("receive", "rabbit", "late", "--wait", "100ms")
        self.assertIn("received", done.stdout)

    def test_a_queue_deleted_while_we_begin_to_consume(self):
        """The answer to basic.consume and the cancel come together."""
        wire = self.through(0)
        self.rabbit.queue("begun")
        wire.hold_at = BASIC_CONSUME
        ended = []
        receiver = threading.Thread(target=lambda: ended.append(
            self.queuectl("receive", "rabbit", "begun", "--wait", "20s", check=False)))
        begun = time.monotonic()
        receiver.start()
        wait_for("it consumes", wire.is_held.is_set)
        time.sleep(0.5)
        self.rabbit.must("DELETE", "/api/queues/%2F/begun")
        time.sleep(0.5)
        wire.go_on.set()
        receiver.join(40)
        self.assertLess(time.monotonic() - begun, 15)
        self.assertEqual(ended[0].returncode, 1)
        self.assertIn("deleted", ended[0].stderr)

    def test_only_the_active_consumer_of_a_single_active_queue_gets_messages(self):
        for kind in ("classic", "quorum"):
            with self.subTest(kind):
                self.ids.unlink(missing_ok=True)
                queue = f"single-{kind}"
                channel = self.connect()
                channel.queue_declare(queue, durable=True, arguments={
                    "x-queue-type": kind, "x-single-active-consumer": True})
                channel.basic_qos(prefetch_count=1)
                channel.basic_consume(queue, lambda *_: None)
                channel.connection.process_data_events(0.5)
                for i in range(3):
                    channel.basic_publish("", queue, str(i))
                self.configure()
                done = self.queuectl("receive", "rabbit", queue, "--wait", "2s")
                self.assertIn("no message available", done.stderr)
                channel.connection.close()
                done = self.queuectl("receive", "rabbit", queue, "--wait", "20s")
                self.assertIn("received", done.stdout)

    def test_a_delay_that_was_deleted_is_made_again(self):
        self.rabbit.queue("paused")
        daemon = self.daemon(config=self.configure(extra=FAILING.format(queue="paused", folder=self.folder)))
        self.connect().basic_publish("", "paused", "x")
        wait_for("retried", lambda: len(self.handled()) >= 2)
        self.rabbit.must("DELETE", "/api/queues/%2F/qe.delay.100ms")
        self.rabbit.must("DELETE", "/api/exchanges/%2F/qe.delay.100ms")
        self.connect().basic_publish("", "paused", "y")  # the first may have gone with the delay's queue
        wait_for("made again", lambda: self.rabbit.api("GET", "/api/queues/%2F/qe.delay.100ms")[0] == 200)
        tried = len(self.handled())
        wait_for("and retried", lambda: len(self.handled()) >= tried + 2)
        daemon.is_alive()

    def test_retries_in_an_alarm_keep_one_connection(self):
        """Each new one would bring another copy, which the broker takes when the alarm is over."""
        self.rabbit.queue("trouble")
        self.connect().basic_publish("", "trouble", "x", pika.BasicProperties(delivery_mode=2))
        self.rabbit.ctl("set_vm_memory_high_watermark", "0")
        try:
            daemon = self.daemon(config=self.configure(extra=FAILING.format(queue="trouble", folder=self.folder)))
            wait_for("tried again and again", lambda: len(self.handled()) >= 3, 60)
            # While it is blocked, the broker reads nothing of a connection, so it lists those that have ended, too.
            wait_for("it is listed, once", lambda: [
                one.get("client_properties", {}).get("connection_name") for one in self.rabbit.must("GET", "/api/connections")
            ].count("queue-exporter rabbit publisher") == 1)
            self.end(daemon)
        finally:
            self.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
        time.sleep(2)  # what is in a delay comes back
        self.assertIn(self.depth("trouble"), (1, 2))


if __name__ == "__main__":
    unittest.main(verbosity=2)
