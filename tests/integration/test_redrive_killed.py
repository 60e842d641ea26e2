#!/usr/bin/python3
"""queuectl dlq redrive, killed with SIGKILL at random moments: a message may be there twice, never not at all."""
import collections
import json
import random
import signal
import subprocess
import time
import unittest

from sqs_case import WithMoto

from daemon import QUEUECTL, WithFolder, wait_for

KILLS = 12
CONFIG = """
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - name: orders
        dead_letter: {{queue: orders-dlq, max_receives: 3}}
      - {{name: orders-dlq, visibility_timeout: 1s}}
      - name: jobs
        ordered: true
        dead_letter: {{queue: jobs-dlq, max_receives: 3}}
      - {{name: jobs-dlq, ordered: true, visibility_timeout: 1s}}
"""


def kill_while_it_moves(test, source, dlq, longest_seconds):
    """Redrives over and over, each time killed, and in the end to the end. Returns how many kills hit a running one."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    command = [QUEUECTL, f"--config.file={test.folder}/queue_exporter.yml", "dlq", "redrive", source, dlq, "--yes"]
    hits = 0
    for _ in range(KILLS):
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            time.sleep(chance.uniform(0.005, longest_seconds))
            process.kill()
        hits += process.returncode == -signal.SIGKILL
    return hits


class OnAStoreOfOurOwn(WithFolder):
    def setUp(self):
        super().setUp()
        self.write_config(CONFIG.format(folder=self.folder))

    def fill(self, dlq, count, groups):
        lines = [json.dumps({"id": f"id{i}", "body": str(i), **({"group": f"g{i % groups}", "deduplication_id": f"d{i}"}
                                                             if groups else {})}) for i in range(count)]
        self.queuectl("dlq", "import", "local", dlq, stdin="\n".join(lines))

    def rows(self):
        return {row["queue"]: row["ready"] + row["in_flight"] for row in self.stats()}

    def bodies(self, queue):
        lines = self.queuectl("peek", "local", queue, "--max", "100000", "--json").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def finish(self, dlq):
        def is_empty():
            self.queuectl("dlq", "redrive", "local", dlq, "--yes")
            return self.rows()[dlq] == 0
        wait_for("all is moved", is_empty)

    def test_no_message_is_lost(self):
        count = 6000
        self.fill("orders-dlq", count, 0)
        hits = kill_while_it_moves(self, "local", "orders-dlq", 0.08)
        self.finish("orders-dlq")
        seen = collections.Counter(message["body"] for message in self.bodies("orders"))
        print(f"{hits} kills, {sum(seen.values()) - len(seen)} duplicates")
        self.assertEqual(sorted(map(int, seen)), list(range(count)))
        self.assertGreater(hits, 0)

    def test_of_ordered_groups_none_is_lost_none_is_doubled_and_the_order_stays(self):
        count, groups = 3000, 40
        self.fill("jobs-dlq", count, groups)
        hits = kill_while_it_moves(self, "local", "jobs-dlq", 0.1)
        self.finish("jobs-dlq")
        got = self.bodies("jobs")
        by_group = collections.defaultdict(list)
        for message in got:
            by_group[message["group"]].append(int(message["body"]))
        print(f"{hits} kills")
        self.assertEqual(len(got), count, "the window of the target keeps out what a crash would double")
        for group, numbers in by_group.items():
            self.assertEqual(numbers, [i for i in range(count) if f"g{i % groups}" == group], group)
        self.assertGreater(hits, 0)


class OnSqs(WithMoto):
    """The order is not asked for here: moto hands a group's next message out while a long poll of a killed program, which
    it goes on answering, takes the one before."""

    def setUp(self):
        super().setUp()
        self.write_sqs_config()

    def test_of_ordered_groups_none_is_lost_and_none_is_doubled(self):
        dlq = self.make_queue("jobs-dlq.fifo", VisibilityTimeout=1)
        jobs = self.make_queue("jobs.fifo", dlq)
        count = 120
        for i in range(0, count, 10):
            self.sqs.send_message_batch(QueueUrl=dlq, Entries=[
                {"Id": str(k), "MessageBody": str(k), "MessageGroupId": f"g{k % 12}", "MessageDeduplicationId": f"d{k}"}
                for k in range(i, i + 10)])
        hits = kill_while_it_moves(self, "aws", "jobs-dlq.fifo", 0.3)

        def is_empty():
            self.queuectl("dlq", "redrive", "aws", "jobs-dlq.fifo", "--yes")
            return self.counts(dlq) == (0, 0, 0)
        wait_for("all is moved", is_empty)
        got = self.take(jobs, count + 50)
        print(f"{hits} kills")
        self.assertEqual(sorted(int(one["Body"]) for one in got), list(range(count)))
        self.assertGreater(hits, 0)


if __name__ == "__main__":
    unittest.main()
