#!/usr/bin/python3
"""queuectl dlq list: every dead-letter link, fullest first, with what the exporter knows of it."""
import json
import unittest

from daemon import Daemon, WithFolder, wait_for

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s, state_window: 10s}}
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - {{name: orders, dead_letter: {{queue: orders-dlq, max_receives: 3}}}}
      - {{name: jobs, dead_letter: {{queue: jobs-dlq, max_receives: 3}}}}
      - {{name: orders-dlq, retention: 1h}}
      - {{name: jobs-dlq}}
      - {{name: alone}}
"""
# Nobody listens there. At the address that is asked otherwise, a daemon of this machine's may.
NOBODY = "http://127.0.0.1:1/metrics"


class DlqList(WithFolder):
    def setUp(self):
        super().setUp()
        self.config = self.write_config(CONFIG.format(folder=self.folder))

    def dlq_list(self, *words, exporter=NOBODY, check=True):
        return self.queuectl("dlq", "list", "--exporter", exporter, *words, check=check)

    def rows(self, *words, exporter=NOBODY):
        return [json.loads(line) for line in self.dlq_list("--json", *words, exporter=exporter).stdout.splitlines()]

    def test_each_link_with_depth_age_and_time_left_fullest_first(self):
        self.queuectl("send", "local", "orders-dlq", "--body", "x", "--count", "3")
        rows = self.rows()
        self.assertEqual([(row["source"], row["queue"], row["dead_letter_queue"], row["messages"]) for row in rows],
                         [("local", "orders", "orders-dlq", 3), ("local", "jobs", "jobs-dlq", 0)])
        self.assertTrue(0 <= rows[0]["oldest_age_seconds"] < 60, rows)
        self.assertTrue(3500 < rows[0]["expires_seconds"] <= 3600, rows)
        self.assertFalse({"oldest_age_seconds", "expires_seconds"} & set(rows[1]), "an empty queue has neither")
        self.assertEqual(len(self.rows("local")), 2)
        table = self.dlq_list().stdout.splitlines()
        self.assertRegex(table[0], "^SOURCE +QUEUE +DEAD-LETTER QUEUE +MESSAGES +OLDEST +CHANGE +TREND +EXPIRES IN$")
        self.assertRegex(table[1], r"^local +orders +orders-dlq +3 +[0-9]+s? +- +- +59m[0-9]+s$")
        self.assertRegex(table[2], r"^local +jobs +jobs-dlq +0 +- +- +- +-$")

    def test_the_trend_is_the_exporters(self):
        daemon = Daemon(self.config)
        self.addCleanup(self.end, daemon)
        daemon.start()
        url = f"http://127.0.0.1:{daemon.port}/metrics"
        row = wait_for("a verdict", lambda: [row for row in self.rows(exporter=url)
                                             if row.get("trend") not in (None, "unknown")])[0]
        self.assertEqual(row["trend"], "idle")
        self.assertEqual(row["change_messages"], 0)
        self.assertFalse({"change_messages", "change_seconds"} & set(self.rows()[0]), "nobody tells")
        self.queuectl("send", "local", "orders-dlq", "--body", "x", "--count", "12")
        row = wait_for("the change", lambda: [row for row in self.rows(exporter=url)
                                              if row.get("change_messages") == 12])[0]
        self.assertEqual(row["dead_letter_queue"], "orders-dlq")
        self.assertTrue(10 <= row["change_seconds"] < 20, row)
        table = self.dlq_list(exporter=url).stdout.splitlines()
        self.assertRegex(table[1], r"^local +orders +orders-dlq +12 +[0-9]+s? +\+12 in 1[0-9](\.[0-9])?s +[a-z]+ +59m")
        self.assertRegex(table[2], r"^local +jobs +jobs-dlq +0 +- +0 in 1[0-9]s +idle +-$")
        wait_for("a window without change", lambda: [row for row in self.rows(exporter=url)
                                                     if row["messages"] == 12 and row.get("change_messages") == 0])
        self.queuectl("purge", "local", "orders-dlq", "--yes")
        wait_for("it falls", lambda: [row for row in self.rows(exporter=url)
                                      if row.get("change_messages") == -12])

    def test_an_exporter_that_was_named_and_does_not_answer_is_said(self):
        done = self.dlq_list()
        self.assertIn("no trend, because the exporter cannot be asked", done.stderr)
        self.assertIn("orders-dlq", done.stdout)

    def test_a_page_that_is_not_the_exporters_metrics_is_said(self):
        daemon = Daemon(self.config)
        self.addCleanup(self.end, daemon)
        daemon.start()
        done = self.dlq_list(exporter=f"http://127.0.0.1:{daemon.port}")
        self.assertIn(f"http://127.0.0.1:{daemon.port} is no exporter's metrics page, which ends in /metrics", done.stderr)
        self.assertIn("orders-dlq", done.stdout)
        for page in ("", "/nowhere"):
            done = self.dlq_list(exporter=f"http://watcher:s3cret@127.0.0.1:{daemon.port}{page}")
            self.assertIn(f"http://...@127.0.0.1:{daemon.port}{page}", done.stderr)
            self.assertNotIn("s3cret", done.stderr)

    def test_a_source_that_cannot_be_read_is_not_one_without_dead_letters(self):
        self.write_config("sources: [{name: far, type: rabbitmq, management_url: 'http://127.0.0.1:1'}]")
        done = self.dlq_list(check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("cannot connect", done.stderr)
        self.assertNotIn("no queue has", done.stderr)

    def test_what_is_wrong_is_said(self):
        for words, code, text in ((("nowhere",), 2, 'no source "nowhere"'), (("local", "x"), 2, "expected [SOURCE]")):
            done = self.dlq_list(*words, check=False)
            self.assertEqual(done.returncode, code)
            self.assertIn(text, done.stderr)
        for words, text in ((("dlq",), "which command of dlq?"), (("dlq", "lst"), 'did you mean "dlq list"?'),
                            (("redrive",), 'did you mean "dlq redrive"?')):
            done = self.queuectl(*words, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
