#!/usr/bin/python3
"""What a consumer promises, with real processes: kills, reloads, shared stores, order and letters."""
import collections
import contextlib
import json
import random
import signal
import sqlite3
import sys
import time
import unittest

from daemon import WithFolder, wait_for

# Writes one line per message that it handles, when it has handled it. A body that ends in "!" fails its first time.
WORKER = """
import json, os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for line in sys.stdin:
    calls = json.loads(line)
    answers = []
    for call in calls if isinstance(calls, list) else [calls]:
        message = call["message"]
        body = message["body"]
        time.sleep(float(sys.argv[2]))
        fails = body.endswith("!") and message.get("receives", 1) <= 1
        os.write(out, f"{'failed' if fails else 'done'} {body}\\n".encode())
        answers.append({"id": call["id"], "result": "retry", "delay": 5} if fails else
                       {"id": call["id"], "result": "ack", "reply": body.upper()})
    print(json.dumps(answers if isinstance(calls, list) else answers[0]), flush=True)
"""
CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s}}
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - name: orders
        visibility_timeout: {visibility}
        ordered: {ordered}
        deduplication_window: 0s
      - name: my-dlq
consumers:
  - source: local
    queue: orders
    handler: {{type: {handler}}}
{keys}
"""

# One worker, which is at its only message for an hour; the message is extended every second.
BUSY = """
shutdown_timeout: 1s
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 10s}}
sources:
  - {{name: local, type: embedded, path: {folder}/queues.db, queues: [{{name: orders, visibility_timeout: 2s}}]}}
consumers:
  - {{source: local, queue: orders, workers: 1, handler: {{type: simulate, latency_p50: 1h, latency_p99: 1h, error_rate: 0}}}}
"""


def series(family, **labels):
    more = "".join(f',{name}="{value}"' for name, value in labels.items())
    return f'queue_consumer_{family}{{source="local",queue="orders"{more}}}'


class Semantics(WithFolder):
    def setUp(self):
        super().setUp()
        (self.folder / "worker.py").write_text(WORKER, encoding="utf-8")

    def config(self, *keys, name="queue_exporter.yml", pause=0.0, handler=None, visibility="30s", ordered="false"):
        if handler is None:
            words = [sys.executable, "-S", str(self.folder / "worker.py"), str(self.folder / "handled"), str(pause)]
            handler = f"coprocess, command: {json.dumps(words)}"
        return self.write_config(CONFIG.format(
            folder=self.folder, handler=handler, visibility=visibility, ordered=ordered,
            keys="".join(f"    {key}\n" for key in keys)), name=name)

    def send(self, bodies, **more):
        """As dlq import takes them: many in one go, with what else each is to have."""
        lines = "".join(json.dumps({"body": body, **{key: value(body) for key, value in more.items()}}) + "\n"
                        for body in bodies)
        self.queuectl("dlq", "import", "local", "orders", stdin=lines)

    @staticmethod
    def kill(daemon):
        daemon.process.kill()
        daemon.process.wait()
        daemon.process = None

    def handled(self, word="done"):
        path = self.folder / "handled"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line.split(" ", 1)[1] for line in lines if line.startswith(word + " ")]

    def left(self, queue="orders"):
        [row] = [row for row in self.stats() if row["queue"] == queue]
        return row["ready"] + row["in_flight"] + row["delayed"]

    def wait_empty(self, seconds=60):
        wait_for("the queue is empty", lambda: self.left() == 0, seconds)

    def test_effectively_once_over_kills_and_two_daemons_of_one_store(self):
        keys = ["workers: 2", "delivery: effectively_once",
                f"deduplication: {{store: {self.folder}/handled.db, pointer: /id}}", "retry: {initial: 10ms, max: 50ms}"]
        config = self.config(*keys, pause=0.02, visibility="2s")
        ids = [str(number) for number in range(300)]
        bodies = [json.dumps({"id": key, "copy": copy}) for copy in range(2) for key in ids]
        random.shuffle(bodies)
        self.send(bodies)
        steady, victim, kills = self.daemon(config=config), self.daemon(config=config), 0
        while self.left() > 100 and kills < 6:
            time.sleep(random.uniform(0.1, 0.4))
            self.kill(victim)
            kills += 1
            victim = self.daemon(config=config)
        self.wait_empty(90)
        counts = collections.Counter(json.loads(body)["id"] for body in self.handled())
        self.assertEqual(sorted(counts), sorted(ids), "none is lost")
        again = sum(counts.values()) - len(counts)
        # Its two workers' messages, and what they had done while the last keys were written: at most what is in hand.
        self.assertLessEqual(again, 12 * kills, "only what was in hand when it was killed")
        skipped = steady.value(series("duplicates_skipped_total"))
        print(f"{kills} kills, {again} of {len(ids)} handled again, {skipped:.0f} duplicates skipped by the one that lived")
        self.assertGreater(skipped, 0)

    def test_effectively_once_without_a_kill_handles_each_key_once(self):
        config = self.config("workers: 8", "delivery: effectively_once",
                             f"deduplication: {{store: {self.folder}/handled.db, pointer: /id}}",
                             "retry: {initial: 10ms, max: 50ms}")
        self.send([json.dumps({"id": number % 100, "copy": number}) for number in range(500)])
        daemon = self.daemon(config=config)
        self.wait_empty()
        self.assertEqual(len(self.handled()), 100)
        daemon.wait_value(series("messages_processed_total"), 100)
        daemon.wait_value(series("duplicates_skipped_total"), 400)

    def test_at_most_once_never_handles_twice_whatever_is_killed(self):
        config = self.config("workers: 4", "delivery: at_most_once", pause=0.003, visibility="1s")
        self.send([str(number) for number in range(400)])
        daemon, kills = self.daemon(config=config), 0
        self.assertIn("acknowledged before it is handled", daemon.log())
        while self.left() > 50 and kills < 5:
            time.sleep(random.uniform(0.05, 0.2))
            self.kill(daemon)
            kills += 1
            daemon = self.daemon(config=config)
        self.wait_empty()
        wait_for("the last are handled", lambda: daemon.value(series("messages_in_progress")) == 0)
        counts = collections.Counter(self.handled())
        print(f"{kills} kills, {400 - len(counts)} of 400 lost, as promised")
        self.assertEqual(max(counts.values()), 1)
        self.assertGreaterEqual(len(counts), 400 - 8 * kills, "no more than was in hand")

    def test_a_reload_changes_workers_and_handler_and_drops_nothing(self):
        config = self.config("workers: 2", pause=0.005)
        self.send([str(number) for number in range(600)])
        daemon = self.daemon(config=config)
        for workers, pause in ((6, 0.003), (1, 0.0), (4, 0.002)):
            time.sleep(0.3)
            self.config(f"workers: {workers}", pause=pause)
            daemon.signal(signal.SIGHUP)
            daemon.wait_value(series("workers"), workers)
        self.config("workers: 4", handler="simulate, latency_p50: 1ms")
        daemon.signal(signal.SIGHUP)
        self.wait_empty()
        daemon.wait_value(series("messages_processed_total"), 600)
        self.assertEqual(daemon.value(series("redeliveries_total")), 0, "what was given back counts as never received")
        self.assertEqual(max(collections.Counter(self.handled()).values()), 1)

    def test_groups_keep_their_order_across_reloads(self):
        keys = ["order_by: customer", "retry: {initial: 50ms, max: 100ms}"]
        self.config(*keys, "workers: 4", pause=0.05)
        bodies = [f"g{number % 4}.{number // 4:03}" for number in range(240)]
        self.send(bodies, attributes=lambda body: {"customer": body.split(".")[0]})
        daemon = self.daemon()
        for workers in (6, 3, 8, 2):
            time.sleep(0.2)
            self.config(*keys, f"workers: {workers}", pause=0.05)
            daemon.signal(signal.SIGHUP)
            daemon.wait_value(series("workers"), workers)
        self.wait_empty()
        done = self.handled()
        self.assertEqual(len(done), 240)
        for group in range(4):
            of_group = [body for body in done if body.startswith(f"g{group}.")]
            self.assertEqual(of_group, sorted(of_group))
        self.assertIn("finished what it has in hand", daemon.log())

    def test_groups_keep_their_order_and_a_failure_holds_its_own_only(self):
        config = self.config("workers: 8", "batch: {size: 4, wait: 5ms}", ordered="true")
        bodies = [f"g{number % 5}.{number // 5:02}" + ("!" if number == 10 else "") for number in range(100)]
        self.send(bodies, group=lambda body: body.split(".")[0])
        self.daemon(config=config)
        self.wait_empty()
        done = self.handled()
        for group in range(5):
            of_group = [body for body in done if body.startswith(f"g{group}.")]
            self.assertEqual(of_group, sorted(of_group))
            self.assertEqual(len(of_group), 20)
        self.assertEqual(self.handled("failed"), ["g0.02!"])
        last_of_others = max(done.index(f"g{group}.19") for group in range(1, 5))
        self.assertLess(last_of_others, done.index("g0.19"), "the others went on")

    def test_a_letter_goes_to_the_consumers_own_queue_with_all_that_is_known(self):
        config = self.config("workers: 1", "dead_letter: {queue: my-dlq}",
                             "retry: {initial: 1ms, max: 2ms, max_receives: 3}", handler="exec, command: [sh, -c, "
                             "'echo \"try $QUEUE_RECEIVES\" >&2; exit 1']")
        self.daemon(config=config)
        self.queuectl("send", "local", "orders", "--body", "poison")
        wait_for("the letter", lambda: self.left("my-dlq") == 1)
        [letter] = [json.loads(line) for line in
                    self.queuectl("dlq", "inspect", "local", "my-dlq", "--json").stdout.splitlines()]
        self.assertEqual(letter["body"], "poison")
        self.assertEqual((letter["reason"], letter["attempts"], letter["dead_letter_source"]), ("max_receives", 3, "orders"))
        self.assertRegex(letter["first_error"], r"^handler_error: .*try 1")
        self.assertRegex(letter["last_error"], r"^handler_error: .*try 3")
        self.assertRegex(letter["first_seen"], r"^20\d\d-")
        self.assertRegex(letter["attributes"]["dead-letter-at"], r"^20\d\d-")
        self.assertEqual(self.left(), 0)

    def test_who_has_its_hands_full_is_still_a_consumer(self):
        daemon = self.daemon(config=self.write_config(BUSY.format(folder=self.folder)))
        self.queuectl("send", "local", "orders", "--body", "x", "--count", "3")
        daemon.wait_value('queue_messages_in_flight{source="local",queue="orders"}', 1)
        wait_for("it is forgotten", lambda: self.forget() and
                 daemon.value('queue_consumers{source="local",queue="orders"}') == 0)
        daemon.wait_value('queue_consumers{source="local",queue="orders"}', 1)  # by its next extension

    def forget(self):
        """As when half a minute has passed since it last received."""
        with contextlib.closing(sqlite3.connect(self.folder / "queues.db")) as store, store:
            return store.execute("UPDATE receivers SET seen_at = 0").rowcount


if __name__ == "__main__":
    unittest.main(verbosity=1)
