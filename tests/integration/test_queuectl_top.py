#!/usr/bin/python3
"""queuectl top on a real terminal, and where there is none."""
import os
import re
import signal
import sqlite3
import subprocess
import threading
import unittest

from tmux_case import Terminal, need_tmux

need_tmux()  # before anything else

# pylint: disable=wrong-import-position
from daemon import CONFIG, QUEUECTL, WithFolder, free_port, wait_for

MANY = 60
TWO_SOURCES = """
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s}}
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
{queues}
  - name: rabbit
    type: rabbitmq
    management_url: http://127.0.0.1:{port}
"""


class Top(WithFolder):
    def setUp(self):
        super().setUp()
        self.config = self.write_config()

    def top(self, *words, columns=80, lines=24, env=None, config=None):
        terminal = Terminal(self, columns, lines, {"NO_COLOR": None, "TERM": None, **(env or {})})
        terminal.before = terminal.settings()
        self.start(terminal, *words, config=config)
        return terminal

    def start(self, terminal, *words, config=None):
        terminal.run(f"clear; {QUEUECTL} --config.file={config or self.config} top --interval=300ms {' '.join(words)}; "
                     "echo ended $?")
        terminal.until("q quit")

    def row(self, screen, queue):
        """The cells of a queue's row: {head: text}."""
        heads = next(line for line in screen if "STATE" in line)
        line = next((line for line in screen if re.match(rf"[ !]{re.escape(queue)} ", line)), None)
        if line is None:
            return {"STATE": None}
        cells = {}
        names = ["READY", "IN FLT", "DELAYED", "IN/s", "OUT/s", "OLDEST", "CONS", "DLQ", "EMPTY IN", "EXPIRES"]
        for name in names:
            match = re.search(rf" {re.escape(name)}(?= |$)", heads)
            if match:
                cells[name] = line[:match.end()].split()[-1]
        cells["STATE"] = line[heads.index("STATE"):].strip()
        cells["mark"] = line[0]
        return cells

    def order(self, screen):
        """The queues from top to bottom."""
        at = next(i for i, line in enumerate(screen) if "STATE" in line)
        return [line[1:].split()[0] for line in screen[at + 1:] if line.strip() and "q quit" not in line]

    def many(self, count=MANY):
        queues = "".join(f"      - name: queue-{i:03}\n" for i in range(count))
        config = self.write_config(TWO_SOURCES.format(folder=self.folder, queues=queues, port=free_port()))
        self.queuectl("stats", "local")
        for i in (7, 42, 59):
            self.queuectl("send", "local", f"queue-{i:03}", "--body", "x", "--count", str(i))
        return config

    def test_at_80_columns_each_queue_has_one_line_with_all_that_matters(self):
        self.queuectl("send", "local", "orders", "--body", "x", "--count", "3")
        self.queuectl("send", "local", "orders-dlq", "--body", "x")
        screen = self.top().until("orders-dlq")
        self.assertTrue(all(len(line) <= 80 for line in screen))
        row = self.row(screen, "orders")
        self.assertEqual((row["READY"], row["IN FLT"], row["DLQ"], row["mark"]), ("3", "0", "1", "!"))
        self.assertRegex(row["OLDEST"], r"^\d+s$")
        self.assertEqual(row["STATE"], "-", "no verdict before a full window")
        self.assertEqual(self.row(screen, "orders-dlq")["DLQ"], "(dlq)")
        self.assertNotIn("EXPIRES", "".join(screen))
        self.assertIn("1 source, 2 queues, 2 with a problem; by depth", screen[0])
        self.assertTrue(screen[23].startswith("q quit"), screen[23])

    def test_a_wide_terminal_shows_more_and_a_resized_one_at_once(self):
        terminal = self.top(columns=200, lines=50)
        screen = terminal.until("orders-dlq")
        self.assertIn("EXPIRES", "".join(screen))
        self.assertTrue(screen[49].startswith("q quit"), screen[49])
        for columns, lines in ((80, 24), (40, 10), (20, 5), (10, 2), (200, 50)):
            with self.subTest((columns, lines)):
                terminal.resize(columns, lines)
                screen = terminal.until(lambda got, most=columns, last=lines - 1:
                                        len(got) > last and got[last].startswith("q quit")
                                        and all(len(line) <= most for line in got))
                self.assertEqual(sum("q quit" in line for line in screen), 1)
        terminal.keys("q")
        terminal.until("ended 0")

    def test_rates_come_from_the_brokers_counters(self):
        terminal = self.top()
        self.assertIn(self.row(terminal.until("orders-dlq"), "orders")["IN/s"], "-0")
        stop = threading.Event()

        def work():
            while not stop.is_set():
                self.queuectl("send", "local", "orders", "--body", "x", "--count", "20")
                self.queuectl("receive", "local", "orders", "--ack", "--max", "10")
        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)

        def rated(screen):
            row = self.row(screen, "orders")
            return row["IN/s"] not in "-0" and row["OUT/s"] not in "-0" and \
                float(row["IN/s"]) > float(row["OUT/s"]) > 0
        terminal.until(rated)

    def test_keys_sort_and_reverse(self):
        self.queuectl("send", "local", "orders-dlq", "--body", "x")
        terminal = self.top()
        terminal.until(lambda screen: self.order(screen) == ["orders-dlq", "orders"])
        for keys, wanted, words in (("n", ["orders", "orders-dlq"], "by name"),
                                    ("r", ["orders-dlq", "orders"], "by name reversed"),
                                    ("d", ["orders-dlq", "orders"], "by depth"),
                                    ("r", ["orders", "orders-dlq"], "by depth reversed"),
                                    ("a", ["orders-dlq", "orders"], "by age"),
                                    ("l", ["orders", "orders-dlq"], "by dlq"),
                                    ("i", ["orders-dlq", "orders"], "by in"),
                                    ("s", None, "by state"), ("o", None, "by out")):
            with self.subTest(keys=keys, words=words):
                terminal.keys(keys)
                screen = terminal.until(words)
                if words != "by in":
                    self.assertIn(self.order(screen), [wanted] if wanted else [["orders", "orders-dlq"],
                                                                              ["orders-dlq", "orders"]])

    def test_filters_by_text_by_regular_expression_and_to_problems(self):
        self.queuectl("send", "local", "orders-dlq", "--body", "x")
        terminal = self.top("--filter", "'^ORDERS$'")
        terminal.until(lambda screen: "only /^ORDERS$/" in screen[0] and self.order(screen) == ["orders"])
        terminal.keys("Escape")
        terminal.until("orders-dlq")
        terminal.keys("/")
        terminal.until("only queues with")
        terminal.keys("d", "l", "q", "q", "BSpace", "Enter")
        self.assertEqual(self.order(terminal.until("only /dlq/")), ["orders-dlq"])
        terminal.keys("/", "(", "Enter")
        terminal.until("missing closing parenthesis")
        terminal.keys("BSpace", "Escape")
        terminal.until("only /dlq/")
        terminal.keys("Escape")
        terminal.until(lambda screen: len(self.order(screen)) == 2)
        self.queuectl("purge", "local", "orders-dlq", "--yes")
        terminal.until("0 with a problem")
        terminal.keys("p")
        terminal.until(lambda screen: "only problems" in screen[0] and not self.order(screen))
        self.queuectl("send", "local", "orders-dlq", "--body", "x")
        terminal.until("orders-dlq")

    def test_many_queues_scroll(self):
        terminal = self.top("--sort", "name", config=self.many(), lines=15)
        first = self.order(terminal.until("of 60"))
        self.assertEqual(first[0], "local/queue-000")
        rows = len(first)
        for keys, top_row in ((["Down"], 1), (["NPage"], rows), (["PPage"], 1), (["j", "j"], 3), (["k"], 2),
                              (["End"], MANY - rows), (["Up"], MANY - rows - 1), (["Home"], 0), (["Up"], 0)):
            with self.subTest(keys):
                terminal.keys(*keys)
                terminal.until(lambda screen, wanted=top_row: self.order(screen)[0] == f"local/queue-{wanted:03}")
        terminal.keys("d")
        self.assertEqual(self.order(terminal.until("by depth"))[:3],
                         ["local/queue-059", "local/queue-042", "local/queue-007"])

    def test_a_source_that_fails_is_named_and_holds_up_nobody(self):
        terminal = self.top(config=self.many())
        screen = terminal.until("source rabbit cannot be read: 127.0.0.1:")
        terminal.until("local/queue-059")
        self.assertTrue(all(len(line) <= 80 for line in screen))

    def test_what_cannot_be_read_any_more_is_marked_stale_and_then_not_read(self):
        terminal = self.top()
        terminal.until("orders-dlq")
        with sqlite3.connect(self.folder / "queues.db") as store:
            store.execute("DROP TABLE messages")
        screen = terminal.until("stale")
        self.assertEqual(self.row(screen, "orders")["mark"], "!")
        screen = terminal.until("not read")
        self.assertEqual(self.row(screen, "orders")["READY"], "-")
        self.assertIn("source local cannot be read", "\n".join(screen))

    def test_names_cannot_drive_the_terminal_nor_break_the_columns(self):
        evil = "\x1b[2J\x1b]0;title\x07\u009b31m\u202e\r\n"
        wide = "\u6ce8\u6587" * 40
        self.queuectl("stats")
        with sqlite3.connect(self.folder / "queues.db") as store:
            store.execute("UPDATE queues SET name = ? WHERE name = 'orders-dlq'", (evil,))
            store.execute("UPDATE queues SET name = ? WHERE name = 'orders'", (wide,))
        config = self.write_config(f"""
defaults: {{poll_interval: 1s, poll_timeout: 1s}}
sources:
  - {{name: local, type: embedded, path: {self.folder}/queues.db}}
""", name="bare.yml")
        for columns in (80, 200):
            with self.subTest(columns):
                terminal = self.top(columns=columns, lines=10, config=config)
                screen = terminal.until(lambda got: any("x1b" in line for line in got))
                heads = next(line for line in screen if "STATE" in line)
                line = next(line for line in screen if "x1b" in line)
                self.assertEqual(line[heads.index("READY") + 4], "0", screen)
                self.assertTrue(screen[9].startswith("q quit"))
                wide_line = next(line for line in screen if "\u6ce8" in line)
                self.assertIn("\u2026", wide_line)
                self.assertNotIn("title", terminal.tmux("display-message", "-p", "#{pane_title}"))
                terminal.keys("q")
                terminal.until("ended 0")

    def test_however_it_ends_the_terminal_is_as_it_was(self):
        terminal = self.top()
        ways = [("q", lambda: terminal.keys("q"), "ended 0"), ("Ctrl-C", lambda: terminal.keys("C-c"), "ended 0")]
        for number in (signal.SIGTERM, signal.SIGHUP):
            ways.append((number.name, lambda number=number: os.kill(terminal.children()[0], number), "ended 0"))
        for number in (signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV):  # a crash
            ways.append((number.name, lambda number=number: os.kill(terminal.children()[0], number),
                         f"ended {128 + number}"))
        for i, (name, end, said) in enumerate(ways):
            with self.subTest(name):
                if i > 0:
                    self.start(terminal)
                terminal.until("orders-dlq")
                end()
                screen = terminal.until(said)
                self.assertFalse(any("q quit" in line for line in screen), "the screen of before is back")
                self.assertEqual(terminal.tmux("display-message", "-p", "#{cursor_flag}#{wrap_flag}#{alternate_on}")
                                 .strip(), "110")
                self.assertEqual(terminal.settings(), terminal.before)

    def test_ctrl_z_gives_the_terminal_back_until_it_is_continued(self):
        terminal = self.top()
        terminal.until("orders-dlq")
        terminal.keys("C-z")
        terminal.until("Stopped")
        self.assertEqual(terminal.settings(), terminal.before)
        terminal.run("fg")
        terminal.until("q quit")
        terminal.keys("q")
        terminal.until(lambda screen: not any("q quit" in line for line in screen))
        self.assertEqual(terminal.settings(), terminal.before)

    def test_colours_only_where_they_are_wanted(self):
        self.queuectl("send", "local", "orders-dlq", "--body", "x")
        for env, wanted in (({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
            with self.subTest(env):
                terminal = self.top(env=env)
                terminal.until("orders-dlq")
                self.assertEqual("\x1b[31m" in terminal.looks(), wanted)

    def test_a_running_exporter_gives_its_verdicts_before_the_own_are_known(self):
        config = self.write_config(CONFIG.format(folder=self.folder, extra="").replace(
            "stale_after: 3s", "stale_after: 3s, state_window: 6s"))
        self.queuectl("send", "local", "orders", "--body", "x")
        daemon = self.daemon(config=config)
        daemon.wait_value('queue_state{source="local",queue="orders",state="no_consumers"}', 1)
        terminal = self.top(f"--exporter=http://127.0.0.1:{daemon.port}/metrics")
        screen = terminal.until(lambda got: self.row(got, "orders")["STATE"] == "no_consumers", seconds=5)
        self.assertEqual(self.row(screen, "orders")["mark"], "!")
        terminal.keys("q")
        terminal.until("ended 0")
        done = self.queuectl("top", "--once", f"--exporter=http://127.0.0.1:{daemon.port}/metrics")
        self.assertIn("no_consumers", done.stdout)
        daemon.stop()
        done = self.queuectl("top", "--once", f"--exporter=http://127.0.0.1:{daemon.port}/metrics")
        self.assertIn("exporter: 127.0.0.1", done.stdout)

    def test_its_own_verdict_comes_after_a_window(self):
        config = self.write_config(CONFIG.format(folder=self.folder, extra="").replace(
            "stale_after: 3s", "stale_after: 3s, state_window: 3s"))
        self.queuectl("send", "local", "orders", "--body", "x")
        terminal = self.top("--exporter=http://127.0.0.1:1/", config=config)
        self.assertEqual(self.row(terminal.until("orders-dlq"), "orders")["STATE"], "-")
        terminal.until(lambda got: self.row(got, "orders")["STATE"] == "no_consumers")
        terminal.until(lambda got: self.row(got, "orders-dlq")["STATE"] == "idle")

    def test_a_dead_letter_queue_by_its_name_waits_for_nobody(self):
        config = self.write_config(f"""
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s, state_window: 3s}}
sources:
  - name: local
    type: embedded
    path: {self.folder}/named.db
    dead_letter_queues: [letters]
    queues: [{{name: work}}, {{name: letters}}]
""")
        for queue in ("work", "letters"):
            self.queuectl("send", "local", queue, "--body", "x")
        terminal = self.top("--exporter=http://127.0.0.1:1/", config=config)
        self.assertEqual(self.row(terminal.until("letters"), "letters")["DLQ"], "(dlq)")
        terminal.until(lambda got: self.row(got, "work")["STATE"] == "no_consumers")
        terminal.until(lambda got: self.row(got, "letters")["STATE"] == "steady")

    def test_once_prints_a_table_and_says_by_its_exit_code_what_it_could_not_read(self):
        self.queuectl("send", "local", "orders", "--body", "x", "--count", "3")
        done = self.queuectl("top", "--once")
        self.assertNotIn("\x1b", done.stdout)
        self.assertEqual(self.row(done.stdout.splitlines(), "orders")["READY"], "3")
        done = self.queuectl("top", "--once", config=self.many(), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("source rabbit cannot be read", done.stdout)
        self.assertIn("local/queue-059", done.stdout)

    def test_into_a_pipe_it_prints_a_table_each_time_until_it_is_stopped(self):
        process = subprocess.Popen([QUEUECTL, f"--config.file={self.config}", "top", "--interval=200ms", "--sort=name"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        lines = []
        while sum("STATE" in line for line in lines) < 3:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)
        self.assertEqual(process.returncode, 0)
        self.assertNotIn("\x1b", "".join(lines) + rest)

    def test_wrong_options_say_what_would_be_right(self):
        for words, text in ((["--sort", "dept"], 'did you mean "depth"'), (["--interval", "1ms"], "200ms"),
                            (["--filter", "("], "missing closing parenthesis"), (["loca"], 'did you mean "local"')):
            with self.subTest(words):
                done = self.queuectl("top", "--once", *words, check=False)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(text, done.stderr)

    def test_one_source_alone_is_shown_without_its_name(self):
        done = self.queuectl("top", "local", "--once", config=self.many())
        self.assertIn(" queue-059", done.stdout)
        self.assertNotIn("rabbit", done.stdout)

    def test_a_dumb_terminal_gets_tables(self):
        terminal = Terminal(self)
        terminal.run(f"TERM=dumb {QUEUECTL} --config.file={self.config} top --interval=10s")
        screen = terminal.until("orders-dlq")
        self.assertFalse(any("q quit" in line for line in screen))
        terminal.keys("C-c")


if __name__ == "__main__":
    unittest.main()
