#!/usr/bin/python3
"""The operator's tool from end to end, beside a running daemon that sees what it does."""
import json
import sqlite3
import subprocess
import time
import unittest

from daemon import CONSUMER, QUEUECTL, WithFolder, wait_for

READY = 'queue_messages_ready{source="local",queue="orders"}'


class Queuectl(WithFolder):
    def setUp(self):
        super().setUp()
        self.write_config()

    def row(self, queue):
        return next(row for row in self.stats() if row["queue"] == queue)

    def send(self, *words, **more):
        return self.queuectl("send", "local", "orders", *words, **more)

    def test_send_peek_receive_and_ack(self):
        self.send("--body", "hello", "--attribute", "team=a", "--attribute", "k=v")
        peeked = self.queuectl("peek", "local", "orders").stdout
        for word in ("hello", "team", "a", "k", "v"):
            self.assertIn(word, peeked)
        self.assertEqual(self.row("orders")["ready"], 1, "peek has no side effect")
        self.assertIn("hello", self.queuectl("receive", "local", "orders", "--ack").stdout)
        self.assertEqual((self.row("orders")["ready"], self.row("orders")["in_flight"]), (0, 0))

    def test_receive_without_ack_gives_the_message_back_or_keeps_it_in_flight(self):
        self.send("--body", "hello")
        self.assertIn("hello", self.queuectl("receive", "local", "orders").stdout)
        row = self.row("orders")
        self.assertEqual(row["ready"] + row["in_flight"], 1)

    def test_receive_without_ack_leaves_no_trace_in_the_receive_count(self):
        self.send("--body", "hello")
        for look in range(5):  # the queue dead-letters after 3 receives
            with self.subTest(look):
                line = self.queuectl("receive", "local", "orders", "--json").stdout
                self.assertEqual(json.loads(line)["receives"], 1)
        self.assertEqual((self.row("orders")["ready"], self.row("orders-dlq")["ready"]), (1, 0))

    def test_the_body_comes_from_a_file_or_standard_input(self):
        path = self.folder / "body"
        path.write_bytes(b"from a file\n")
        self.send("--file", str(path))
        self.assertIn("from a file", self.queuectl("receive", "local", "orders", "--ack").stdout)
        self.send("-", stdin="from stdin")
        self.assertIn("from stdin", self.queuectl("receive", "local", "orders", "--ack").stdout)

    def test_a_body_may_be_as_large_as_is_said_and_no_larger(self):
        path = self.folder / "large"
        for size, code in ((16 << 20, 0), ((16 << 20) + 1, 1)):
            path.write_bytes(b"x" * size)
            done = self.queuectl("send", "local", "orders", "--file", str(path), check=False)
            self.assertEqual(done.returncode, code, done.stderr)

    def test_a_delay_keeps_it_back(self):
        self.send("--body", "later", "--delay", "1h")
        self.assertEqual((self.row("orders")["ready"], self.row("orders")["delayed"]), (0, 1))

    def test_count_and_rate(self):
        began = time.monotonic()
        self.send("--body", "x", "--count", "11", "--rate", "10")
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        self.assertEqual(self.row("orders")["ready"], 11)

    def test_count_0_sends_until_it_is_stopped(self):
        process = subprocess.Popen([QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "send", "local",
                                    "orders", "--body", "x", "--count", "0", "--rate", "50"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        wait_for("some were sent", lambda: self.row("orders")["ready"] >= 5)
        process.terminate()
        said, _ = process.communicate(timeout=10)
        self.assertEqual(process.returncode, 0)
        self.assertIn(str(self.row("orders")["ready"]), said)

    def test_stats_as_a_table_and_as_json(self):
        self.send("--body", "x", "--count", "3")
        table = self.queuectl("stats").stdout
        self.assertIn("orders-dlq", table)
        self.assertRegex(table, r"(?m)^.*\borders\b.*\b3\b")
        row = self.row("orders")
        self.assertEqual((row["source"], row["ready"], row["in_flight"], row["delayed"]), ("local", 3, 0, 0))
        self.assertTrue(table.startswith("source local, 2 queues\n"), table)
        self.write_config(f"sources: [{{name: one, type: embedded, path: {self.folder}/one.db, queues: [{{name: q}}]}}]\n")
        self.assertTrue(self.queuectl("stats").stdout.startswith("source one, 1 queue\n"))
        self.assertIn(" 1 source, 1 queue, 0 with a problem", self.queuectl("top", "--once").stdout)

    def test_purge_wants_a_yes(self):
        self.send("--body", "x", "--count", "3")
        self.assertEqual(self.queuectl("purge", "local", "orders", check=False).returncode, 2)
        self.assertEqual(self.row("orders")["ready"], 3)
        self.queuectl("purge", "local", "orders", "--yes")
        self.assertEqual(self.row("orders")["ready"], 0)

    def test_what_could_not_be_printed_is_given_back_not_acked(self):
        self.send("--file", "/dev/stdin", stdin="x" * 200000)  # more than a buffer or a pipe holds
        command = [QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "receive", "local", "orders", "--ack"]
        for words in ([], ["--json"]):
            with self.subTest(["/dev/full", *words]), open("/dev/full", "wb") as full:
                done = subprocess.run(command + words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn("nothing was acked", done.stderr)
                self.assertEqual(self.row("orders")["ready"], 1)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.read(10)
        process.stdout.close()
        self.assertIn("nothing was acked", process.stderr.read())
        process.stderr.close()
        self.assertEqual(process.wait(), 1)
        self.assertEqual(self.row("orders")["ready"] + self.row("orders-dlq")["ready"], 1)

    def test_a_watch_ends_when_nobody_can_read_it(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "stats", "--watch"],
                                  stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)

    def test_what_others_wrote_cannot_drive_the_terminal(self):
        evil = "\x1b]0;title\x07 \u009b31m \x7f \r \u00e9"
        config = self.write_config()
        self.send("--body", evil, "--attribute", f"{evil}={evil}")
        self.stats()
        with sqlite3.connect(self.folder / "queues.db") as store:
            store.execute("UPDATE queues SET name = ? WHERE name = 'orders-dlq'", ("dlq" + evil,))
        with sqlite3.connect(self.folder / "queues.db") as store:
            names = [name for (name,) in store.execute("SELECT name FROM queues")]
        self.assertIn("dlq" + evil, names)
        for words in (["peek", "local", "orders"], ["peek", "local", "orders", "--json"], ["stats"],
                      ["stats", "--json"]):
            with self.subTest(words):
                said = self.queuectl(*words, config=config).stdout
                self.assertNotRegex(said, "[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f]")
                self.assertIn("\u00e9", said)
        line = self.queuectl("peek", "local", "orders", "--json").stdout
        self.send("--body", "x", "--attribute", "a=b\nid 7, forged")
        self.assertIn("  a = b\\x0aid 7, forged\n", self.queuectl("peek", "local", "orders").stdout)
        self.assertEqual(json.loads(line)["body"], evil)
        self.assertEqual(json.loads(line)["attributes"], {evil: evil})

    def test_a_watch_goes_on_when_the_store_is_away_for_a_while(self):
        self.stats()
        process = subprocess.Popen([QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "stats", "--watch",
                                    "--interval", "200ms"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        process.stdout.readline()
        with sqlite3.connect(self.folder / "queues.db") as store:
            store.execute("ALTER TABLE queues RENAME TO away")
        said = process.stderr.readline()
        self.assertIn("queuectl stats: ", said)
        with sqlite3.connect(self.folder / "queues.db") as store:
            store.execute("ALTER TABLE away RENAME TO queues")
        time.sleep(1)
        self.assertIsNone(process.poll(), "still watching")
        process.terminate()
        process.communicate(timeout=10)
        self.assertEqual(process.returncode, 0)

    def test_the_configuration_may_be_named_behind_the_command_too(self):
        self.assertEqual(self.queuectl("stats", "--config.file", str(self.write_config(name="other.yml")),
                                       config=self.folder / "nowhere.yml").returncode, 0)

    def test_a_store_in_memory_is_nobody_elses(self):
        config = self.write_config("sources:\n  - {name: local, type: embedded, path: ':memory:'}\n")
        done = self.queuectl("stats", config=config, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("local", done.stderr)
        self.assertIn("memory", done.stderr)

    def test_errors_name_the_thing_and_what_to_do(self):
        for words, code, said in ((["send", "nowhere", "orders", "--body", "x"], 2, "nowhere"),
                                  (["send", "local", "ordres", "--body", "x"], 1, "ordres"),
                                  (["send", "local", "orders"], 2, "--body"),
                                  (["send", "local", "orders", "--body", "x", "--rate", "0"], 2, "rate"),
                                  (["send", "local", "orders", "--body", "x", "--rate", "1e-300"], 2, "rate"),
                                  (["stats", "--timeout", "99999999999d"], 2, "timeout"),
                                  (["peek", "local", "nope"], 1, "nope"),
                                  (["snd", "local", "orders"], 2, "send")):
            with self.subTest(words):
                done = self.queuectl(*words, check=False)
                self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
                self.assertIn(said, done.stderr)

    def test_the_daemon_sees_what_the_tool_does(self):
        daemon = self.daemon()
        daemon.wait_value(READY, 0)
        self.send("--body", "x", "--count", "7")
        daemon.wait_value(READY, 7)
        self.queuectl("purge", "local", "orders", "--yes")
        daemon.wait_value(READY, 0)

    def test_a_sent_message_moves_the_counters_of_a_running_consumer(self):
        daemon = self.daemon(config=self.write_config(extra=CONSUMER))
        processed = 'queue_consumer_messages_processed_total{source="local",queue="orders"}'
        self.assertEqual(daemon.value(processed), 0)
        began = time.monotonic()
        self.send("--body", "x", "--count", "5")
        daemon.wait_value(processed, 5)
        self.assertLess(time.monotonic() - began, 5, "a long poll wakes for another process's send")

    def test_stats_watch_redraws_until_stopped(self):
        process = subprocess.Popen([QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "stats", "--watch"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        for _ in range(2):
            while "orders-dlq" not in (line := process.stdout.readline()):
                self.assertNotEqual(line, "", "it has ended")
        process.terminate()
        process.communicate(timeout=10)
        self.assertEqual(process.returncode, 0)

    def test_stats_watch_goes_on_beside_a_source_that_cannot_be_read(self):
        config = self.folder / "two.yml"
        config.write_text(f"""sources:
  - {{name: good, type: embedded, path: "{self.folder}/good.db", queues: [{{name: orders}}]}}
  - {{name: gone, type: embedded, path: "{self.folder}/missing/x.db"}}
""")
        done = self.queuectl("stats", config=config, check=False)
        self.assertEqual((done.returncode, "source good" in done.stdout), (1, True), done.stderr)
        process = subprocess.Popen([QUEUECTL, f"--config.file={config}", "stats", "--watch", "--interval=300ms"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        for _ in range(2):
            while "source good" not in (line := process.stdout.readline()):
                self.assertNotEqual(line, "", "it has ended")
        process.terminate()
        complained = process.communicate(timeout=10)[1]
        self.assertEqual(process.returncode, 0, complained)
        self.assertIn("missing/x.db", complained)

    def test_json_messages_are_one_object_per_line(self):
        self.send("--body", 'a "quoted"\nbody', "--count", "2")
        lines = self.queuectl("peek", "local", "orders", "--json").stdout.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertEqual(json.loads(line)["body"], 'a "quoted"\nbody')


if __name__ == "__main__":
    unittest.main()
