#!/usr/bin/python3
"""A dead-letter queue that only our consumer or our configuration knows of is one everywhere: metrics, verdicts, commands."""
import json
import signal
import unittest

from daemon import WithFolder, wait_for

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s, state_window: 4s}}
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    include: [work, other]
    queues: [{{name: work}}, {{name: other}}, {{name: own-dlq}}, {{name: new-dlq}}]
consumers:
  - source: local
    queue: work
    retry: {{initial: 1ms, max: 1ms, max_receives: 1}}
    dead_letter: {{queue: {dlq}}}
    handler: {{type: exec, command: [/bin/false]}}
"""

# Whose dead letters are in "letters" is said nowhere.
NAMED_CONFIG = """
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    dead_letter_queues: [letters]
    queues: [{{name: orders}}, {{name: letters}}]
"""


def of(family, queue, **labels):
    more = "".join(f',{name}="{value}"' for name, value in labels.items())
    return f'{family}{{source="local",queue="{queue}"{more}}}'


class OwnDlq(WithFolder):
    def configure(self, dlq="own-dlq"):
        return self.write_config(CONFIG.format(folder=self.folder, dlq=dlq))

    def dead_letters(self, count):
        daemon = self.daemon(config=self.configure())
        self.queuectl("send", "local", "work", "--body", "x", "--count", str(count))
        daemon.wait_value(of("queue_dead_letter_messages", "work", dead_letter_queue="own-dlq"), count)
        return daemon

    def test_the_metrics_know_it(self):
        daemon = self.dead_letters(3)
        wait_for("a verdict", lambda: daemon.value(of("queue_state", "other", state="unknown")) == 0)
        daemon.wait_value(of("queue_state", "own-dlq", state="unknown"), 0)
        page = daemon.values()
        self.assertEqual(page[of("queue_dead_letter_info", "work", dead_letter_queue="own-dlq")], 1)
        self.assertEqual(page[of("queue_is_dead_letter_queue", "own-dlq")], 1, "kept though include has no such name")
        self.assertEqual(page[of("queue_state", "own-dlq", state="no_consumers")], 0)
        self.assertEqual(page.get(of("queue_config_warning", "work", check="no_dead_letter_queue"), 0), 0)
        self.assertEqual(page[of("queue_config_warning", "other", check="no_dead_letter_queue")], 1)

    def test_a_reload_to_another_queue_moves_the_link(self):
        daemon = self.dead_letters(1)
        self.configure("new-dlq")
        daemon.signal(signal.SIGHUP)
        daemon.wait_value(of("queue_dead_letter_info", "work", dead_letter_queue="new-dlq"), 1)
        daemon.wait_value(of("queue_dead_letter_info", "work", dead_letter_queue="own-dlq"), None)
        daemon.wait_value(of("queue_is_dead_letter_queue", "own-dlq"), None)  # not watched any more

    def test_the_commands_know_it(self):
        self.dead_letters(4).stop()
        [row] = [json.loads(line) for line in self.queuectl("dlq", "list", "--json").stdout.splitlines()]
        self.assertEqual((row["queue"], row["dead_letter_queue"], row["messages"]), ("work", "own-dlq", 4))
        [row] = [row for row in self.stats() if row["queue"] == "work"]
        self.assertEqual([link["queue"] for link in row["dead_letter_queues"]], ["own-dlq"])
        self.assertEqual(len(self.queuectl("dlq", "inspect", "local", "own-dlq", "--json").stdout.splitlines()), 4)
        self.queuectl("dlq", "redrive", "local", "own-dlq", "--max", "1", "--yes")
        [row] = [row for row in self.stats() if row["queue"] == "work"]
        self.assertEqual(row["ready"], 1)
        done = self.queuectl("dlq", "purge", "local", "new-dlq", "--yes", check=False)
        self.assertIn("no queue of source local is known to dead-letter into new-dlq", done.stderr)
        self.queuectl("dlq", "purge", "local", "own-dlq", "--yes")
        [row] = [json.loads(line) for line in self.queuectl("dlq", "list", "--json").stdout.splitlines()]
        self.assertEqual(row["messages"], 0)


class NamedDlq(WithFolder):
    """`dead_letter_queues` of a source."""

    def setUp(self):
        super().setUp()
        self.config = self.write_config(NAMED_CONFIG.format(folder=self.folder))
        self.queuectl("send", "local", "letters", "--body", "x", "--attribute", "dead-letter-reason=permanent: why",
                      "--attribute", "dead-letter-source=orders")

    def letters(self):
        return [json.loads(line) for line in self.queuectl("peek", "local", "letters", "--json").stdout.splitlines()]

    def test_the_metrics_know_it(self):
        daemon = self.daemon(config=self.config)
        daemon.wait_value(of("queue_is_dead_letter_queue", "letters"), 1)
        self.assertEqual(daemon.value(of("queue_is_dead_letter_queue", "orders")), 0)
        self.assertEqual(daemon.value(of("queue_dead_letter_messages", "letters", dead_letter_queue="letters")), 1)

    def test_list_has_it_though_no_queue_is_known_to_use_it(self):
        [row] = [json.loads(line) for line in self.queuectl("dlq", "list", "--json").stdout.splitlines()]
        self.assertEqual((row["dead_letter_queue"], row["messages"]), ("letters", 1))
        self.assertNotIn("queue", row)
        self.assertRegex(self.queuectl("dlq", "list").stdout, "\nlocal +- +letters +1 ")

    def test_letters_that_are_exported_purged_and_imported_keep_what_is_known_of_them(self):
        [before] = self.letters()
        saved = self.queuectl("dlq", "export", "local", "letters").stdout
        self.assertIn("purged 1 from letters\n", self.queuectl("dlq", "purge", "local", "letters", "--yes").stdout)
        self.queuectl("dlq", "import", "local", "letters", stdin=saved)
        [after] = self.letters()
        self.assertEqual(after["attributes"], before["attributes"])
        self.assertEqual(after["attributes"]["dead-letter-reason"], "permanent: why")

    def test_another_queue_is_not_purged(self):
        self.queuectl("send", "local", "orders", "--body", "x")
        done = self.queuectl("dlq", "purge", "local", "orders", "--yes", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no queue of source local is known to dead-letter into orders", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
