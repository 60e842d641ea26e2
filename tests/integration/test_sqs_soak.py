#!/usr/bin/python3
"""The daemon is killed (SIGKILL) again and again while its consumer works, with answers lost on the way: no message is.

A proxy hears what the server truly answered: which messages were handed out, and which of them deleted."""
import contextlib
import json
import os
import random
import signal
import threading
import time
import unittest
import unittest.mock

from sqs_case import WithMoto

from daemon import Daemon, wait_for
import fault_proxy

SECONDS = float(os.environ.get("QE_SOAK_SECONDS", "20"))  # by hand: for hours
RATE = 25  # messages a second: what moto can do beside the rest
CONSUMER = """
consumers:
  - source: aws
    queue: soak
    workers: 4
    handler: {type: simulate, latency_p50: 10ms, latency_p99: 100ms, error_rate: 0.1, seed: 1}
    retry: {initial: 100ms, max: 1s}
"""


class Ledger:
    """What was received under which receipt, and what was deleted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.bodies, self.deleted, self.receives = {}, set(), 0

    @contextlib.contextmanager
    def listening(self):
        """Behind the proxy's faults: what the server did, whether or not the daemon learns of it."""
        forward = fault_proxy.Handler.forward

        def forward_and_hear(handler, request):
            answer = forward(handler, request)
            self.hear(handler.headers.get("X-Amz-Target", "").rpartition(".")[2], request, answer)
            return answer
        with unittest.mock.patch.object(fault_proxy.Handler, "forward", forward_and_hear):
            yield

    def hear(self, operation, request, answer):
        status, _, body = answer
        if status != 200:
            return
        if operation == "ReceiveMessage":
            with self.lock:
                for message in json.loads(body or b"{}").get("Messages") or []:
                    self.bodies[message["ReceiptHandle"]] = message["Body"]
                    self.receives += 1
        elif operation == "DeleteMessageBatch":
            receipts = {entry["Id"]: entry["ReceiptHandle"] for entry in json.loads(request)["Entries"]}
            with self.lock:
                for entry in json.loads(body).get("Successful") or []:
                    self.deleted.add(self.bodies[receipts[entry["Id"]]])


class Soak(WithMoto):
    def setUp(self):
        super().setUp()
        self.dlq = self.make_queue("soak-dlq")
        self.url = self.make_queue("soak", dlq=self.dlq, max_receives=8, VisibilityTimeout=3)
        self.sent, self.poison = set(), set()
        self.ledger = Ledger()

    def send_some(self):
        """A second's worth, from an SDK we did not write; one in ten is hopeless."""
        entries = []
        for _ in range(RATE):
            body = f"m{len(self.sent)}"
            self.sent.add(body)
            attributes = {}
            if random.random() < 0.1:
                self.poison.add(body)
                attributes = {"simulate": {"DataType": "String", "StringValue": "reject"}}
            entries.append({"Id": str(len(entries)), "MessageBody": body, "MessageAttributes": attributes})
        for start in range(0, len(entries), 10):
            answer = self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries[start:start + 10])
            self.assertFalse(answer.get("Failed"))

    def start(self, config):
        daemon = Daemon(config)
        self.addCleanup(self.kill, daemon)
        return daemon.start()

    @staticmethod
    def kill(daemon):
        if daemon.process.poll() is None:
            daemon.signal(signal.SIGKILL)
        daemon.wait_end()
        daemon.log_file.close()  # twice is fine

    def test_no_message_is_lost_when_the_daemon_is_killed(self):
        kills = 0
        with self.ledger.listening(), fault_proxy.FaultProxy(self.moto.url) as proxy:
            config = self.write_sqs_config(CONSUMER)
            config.write_text(config.read_text().replace(self.moto.url, proxy.url))
            for fault in ("reset", "half", "error500", "throttled"):
                proxy.add(fault, operation="DeleteMessageBatch", percent=2)
            proxy.add("throttled", operation="ReceiveMessage", percent=2)
            proxy.add("error500", operation="ChangeMessageVisibilityBatch", percent=5)
            proxy.add("reset", operation="SendMessageBatch", percent=2)
            daemon = self.start(config)
            end = time.monotonic() + SECONDS
            next_kill = time.monotonic() + random.uniform(1, 4)
            while time.monotonic() < end:
                began = time.monotonic()
                self.send_some()
                if time.monotonic() > next_kill:
                    self.kill(daemon)
                    kills += 1
                    daemon = self.start(config)
                    next_kill = time.monotonic() + random.uniform(1, 4)
                time.sleep(max(0, 1 - (time.monotonic() - began)))
            proxy.clear()
            wait_for("the queue is empty", lambda: self.counts(self.url) == (0, 0, 0), 90)
            self.assertEqual(daemon.stop(), 0)
        left = {one["Body"] for one in self.take(self.url, 10000)}
        dead = {one["Body"] for one in self.take(self.dlq, 10000)}
        deleted = self.ledger.deleted
        print(f"sent {len(self.sent)}, deleted {len(deleted)}, in the DLQ {len(dead)}, left {len(left)}; "
              f"{kills} kills, {self.ledger.receives} receives", flush=True)
        self.assertGreater(kills, SECONDS // 10)
        self.assertEqual(self.sent - deleted - dead - left, set(), "lost")
        self.assertEqual((deleted | dead | left) - self.sent, set(), "invented")
        self.assertEqual(self.poison - dead, set(), "poison that was deleted, but not copied first")


if __name__ == "__main__":
    unittest.main(verbosity=1)
