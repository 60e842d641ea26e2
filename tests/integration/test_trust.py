#!/usr/bin/python3
"""What the daemon says when it cannot know: the source goes down, series disappear, and it recovers by itself."""
import contextlib
import os
import shutil
import sqlite3
import stat
import unittest

import daemon as support
from daemon import CONFIG, CONSUMER, Daemon, WithFolder, wait_for

UP = 'queue_source_up{source="local"}'
READY = 'queue_messages_ready{source="local",queue="orders"}'
PROCESSED = 'queue_consumer_messages_processed_total{source="local",queue="orders"}'


def failures(daemon):
    """{reason: count} of the source's failed polls."""
    prefix = 'queue_exporter_poll_failures_total{source="local",reason="'
    return {series[len(prefix):-2]: value for series, value in daemon.values().items()
            if series.startswith(prefix) and value > 0}


class StoreFaults(WithFolder):
    def setUp(self):
        super().setUp()
        self.store = self.folder / "queues.db"

    def break_store(self):
        """Garbage where the database was; the log files beside it go, or they would mend it."""
        for name in ("queues.db-wal", "queues.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        self.store.write_bytes(os.urandom(65536))

    def remove_store(self):
        for name in ("queues.db", "queues.db-wal", "queues.db-shm"):
            (self.folder / name).unlink(missing_ok=True)

    def test_a_corrupt_file_at_start_is_named_and_replacing_it_is_enough(self):
        self.break_store()
        daemon = self.daemon(config=self.write_config(extra=CONSUMER))
        self.assertEqual(daemon.value(UP), 0)
        self.assertEqual(set(failures(daemon)), {"protocol"})
        self.assertIn("queues.db", daemon.log())
        self.assertIsNone(daemon.value(READY))
        done = self.queuectl("send", "local", "orders", "--body", "x", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("queues.db", done.stderr)
        self.remove_store()
        daemon.wait_value(UP, 1)
        self.queuectl("send", "local", "orders", "--body", "x")
        daemon.wait_value(PROCESSED, 1)

    def test_a_deleted_file_is_noticed_and_made_again(self):
        daemon = self.daemon(config=self.write_config(extra=CONSUMER))
        self.remove_store()
        wait_for("the file is back", self.store.exists)
        daemon.wait_value(UP, 1)
        self.queuectl("send", "local", "orders", "--body", "x")
        daemon.wait_value(PROCESSED, 1)

    def test_a_file_made_unreadable_while_running_takes_the_source_down_until_it_is_back(self):
        daemon = self.daemon()
        self.queuectl("send", "local", "orders", "--body", "x", "--count", "4")
        daemon.wait_value(READY, 4)
        kept = {name: (self.folder / name).read_bytes() for name in ("queues.db", "queues.db-wal")
                if (self.folder / name).exists()}
        self.remove_store()
        self.store.mkdir() # nothing that could be opened, for root either
        daemon.wait_value(UP, 0)
        self.assertTrue(failures(daemon))
        daemon.wait_value(READY, None)
        self.store.rmdir()
        for name, content in kept.items():
            (self.folder / name).write_bytes(content)
        daemon.wait_value(UP, 1)
        daemon.wait_value(READY, 4)

    def test_a_locked_file_delays_and_loses_nothing(self):
        daemon = self.daemon(config=self.write_config(extra=CONSUMER))
        with contextlib.closing(sqlite3.connect(self.store, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            done = self.queuectl("send", "local", "orders", "--body", "x", "--timeout", "1s", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "lock|busy")
            self.assertEqual(daemon.status_of("/-/healthy"), 200)
            other.execute("COMMIT")
        self.queuectl("send", "local", "orders", "--body", "x")
        daemon.wait_value(PROCESSED, 1)
        daemon.wait_value(UP, 1)

    def test_a_read_only_file_is_an_auth_failure_until_it_may_be_written(self):
        self.write_config()
        self.queuectl("send", "local", "orders", "--body", "x")
        self.remove_logs()
        self.store.chmod(0o444)
        self.folder.chmod(0o555)
        self.addCleanup(self.folder.chmod, 0o755)
        daemon = self.start_as_nobody()
        self.assertEqual(daemon.value(UP), 0)
        self.assertEqual(set(failures(daemon)), {"auth"})
        self.folder.chmod(0o777)
        self.store.chmod(0o666)
        daemon.wait_value(UP, 1)
        daemon.wait_value(READY, 1)

    def remove_logs(self):
        with contextlib.closing(sqlite3.connect(self.store, isolation_level=None)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for name in ("queues.db-wal", "queues.db-shm"):
            (self.folder / name).unlink(missing_ok=True)

    def start_as_nobody(self):
        """Root may write everything, so a copy of the program runs as somebody who may not."""
        config = self.folder.parent / (self.folder.name + "-nobody")
        config.mkdir()
        self.addCleanup(shutil.rmtree, config)
        config.chmod(0o755)
        program = shutil.copy(support.EXPORTER, config / "queue_exporter")
        os.chmod(program, stat.S_IRWXU | stat.S_IXGRP | stat.S_IRGRP | stat.S_IXOTH | stat.S_IROTH)
        text = config / "queue_exporter.yml"
        text.write_text(CONFIG.format(folder=self.folder, extra=""), encoding="utf-8")
        daemon = Daemon(text)
        self.addCleanup(self.end, daemon)
        return daemon.start(program=program, user=65534 if os.getuid() == 0 else None)


class Staleness(WithFolder):
    def test_a_source_that_leaves_the_configuration_takes_its_series_along(self):
        extra = (f"  - {{name: second, type: embedded, path: {self.folder}/second.db, "
                 "queues: [{name: mail}]}\n")
        daemon = self.daemon("--web.enable-lifecycle", config=self.write_config(extra=extra))
        self.assertEqual(daemon.value('queue_messages_ready{source="second",queue="mail"}'), 0)
        self.write_config()
        self.assertEqual(daemon.ask("/-/reload", "POST").status, 200)
        self.assertFalse([series for series in daemon.values() if 'source="second"' in series and
                          series.startswith(("queue_messages", "queue_source", "queue_up", "queue_info"))])
        self.assertEqual(daemon.value(UP), 1)

    def test_what_is_unknown_is_absent_and_never_0(self):
        (self.folder / "queues.db").mkdir()
        daemon = self.daemon()
        self.assertEqual(daemon.value(UP), 0)
        self.assertFalse([series for series in daemon.values() if series.startswith("queue_messages_")])

    def test_excluded_queues_are_not_shown_but_a_dead_letter_queue_in_use_always_is(self):
        for excluded, gone, kept in (("orders", "orders", "orders-dlq"), (".*-dlq", None, "orders-dlq")):
            text = self.write_config().read_text(encoding="utf-8")
            text = text.replace("    type: embedded", f'    type: embedded\n    exclude: ["{excluded}"]')
            daemon = self.daemon(config=self.write_config(text))
            self.assertEqual(daemon.value(f'queue_messages_ready{{source="local",queue="{kept}"}}'), 0)
            self.assertFalse([series for series in daemon.values() if f'queue="{gone}"' in series])


    def test_a_dead_letter_queue_that_is_watched_alone_is_known_as_one(self):
        text = self.write_config().read_text(encoding="utf-8")
        for rule, mine in (('include: [".*-dlq"]', 1), ('include: [".*-dlq"]\n    dead_letter_queues: ["x"]', 1)):
            daemon = self.daemon(config=self.write_config(text.replace("    type: embedded",
                                                                       f"    type: embedded\n    {rule}")))
            self.assertEqual(daemon.value('queue_is_dead_letter_queue{source="local",queue="orders-dlq"}'), mine)
            self.assertEqual(daemon.value('queue_dead_letter_messages{source="local",queue="orders-dlq",'
                                          'dead_letter_queue="orders-dlq"}'), 0)
            self.assertFalse([series for series in daemon.values() if 'queue="orders"' in series])


class Cap(WithFolder):
    def test_max_queues_keeps_every_dead_letter_queue_and_says_how_many_it_dropped(self):
        queues = "".join(f"      - {{name: q{i}, dead_letter: {{queue: dlq{i % 2}, max_receives: 3}}}}\n"
                         for i in range(6)) + "      - {name: dlq0}\n      - {name: dlq1}\n"
        daemon = self.daemon(config=self.write_config(
            f"sources:\n  - name: local\n    type: embedded\n    path: {self.folder}/queues.db\n    max_queues: 4\n"
            f"    poll_interval: 1s\n    queues:\n{queues}"))
        shown = [series for series in daemon.values() if series.startswith("queue_messages_ready{")]
        self.assertEqual(len(shown), 4, shown)
        for name in ("dlq0", "dlq1"):
            self.assertIn(f'queue_messages_ready{{source="local",queue="{name}"}}', shown)
        self.assertEqual(daemon.value('queue_exporter_queues_dropped{source="local"}'), 4)


if __name__ == "__main__":
    unittest.main()
