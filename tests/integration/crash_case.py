"""Crash tests of the reference consumer: the daemon is killed (SIGKILL) at random moments while it works.

What happened is judged from outside: `queuectl` says which messages a broker has confirmed, the handler writes down
what it did (crash_worker.py), and what is in the queues at the end is read with another client than ours.

    sent = handled + dead letters + still there, as sets; nothing else is anywhere.

By hand, at full size:  QE_CRASH_MESSAGES=100000 QE_CRASH_KILLS=30 QE_CRASH_RESTARTS=5 python3 -B test_crash_sqs.py
(ctest ends a test after four minutes). Measured so on two busy cores, 100 000 confirmed messages each; none was lost, and
none handled again whose key was recorded (the embedded store has no broker to restart):

                                    seconds  handled twice   of them: done, but not yet recorded, when it was killed
    embedded, at least once              13           1226
    embedded, effectively once           37            849   849
    SQS, at least once                  262            293
    SQS, effectively once               561            725   725
    RabbitMQ, classic, at least once    126           1070
    RabbitMQ, quorum, at least once     133           1057
    RabbitMQ, quorum, effectively once  187            637   637"""
import collections
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

from daemon import QUEUECTL, Daemon, WithFolder, wait_for

from crash_worker import KINDS, fate, mischief

MESSAGES = int(os.environ.get("QE_CRASH_MESSAGES", "2000"))
KILLS = int(os.environ.get("QE_CRASH_KILLS", "8"))
RESTARTS = int(os.environ.get("QE_CRASH_RESTARTS", "1"))
SEED = int(os.environ.get("QE_CRASH_SEED", str(random.randrange(10000))))
IS_FULL = MESSAGES > 10000
MISCHIEF_MESSAGES, MISCHIEF_KILLS = max(min(MESSAGES // 25, 1000), 80), max(KILLS // 4, 2)
WORKERS = 4
IN_HAND_MAX = WORKERS + 100  # what a consumer of so many workers has in hand, at most
LOT = 250  # messages per call of queuectl
DRAIN_SECONDS = float(os.environ.get("QE_CRASH_DRAIN_SECONDS", "60"))  # without any change
QUEUE, DLQ = "crash", "crash-dlq"
VISIBILITY_SECONDS = 3
WORKER = pathlib.Path(__file__).with_name("crash_worker.py")
SERVER = pathlib.Path(__file__).with_name("crash_http.py")

CONFIG = """
shutdown_timeout: 10s
defaults: {{poll_interval: 5s, poll_timeout: 5s}}
sources:
{source}
consumers:
  - source: it
    vhost: "{vhost}"
    queue: {queue}
    workers: {workers}
    handler:
{handler}
    retry: {{initial: 50ms, max: 200ms, max_receives: {receives}}}
{more}
"""
HANDLER = """      type: {handler}
      command: [{python}, -I, -S, {worker}, {handler}]
      environment:
        - {{name: LEDGER, value: {folder}/ledger}}
        - {{name: LIFE, value: "{life}"}}
        - {{name: MISCHIEF, value: "{mischief}"}}
      timeout: {timeout}"""
HTTP_HANDLER = """      type: http
      url: http://127.0.0.1:{port}/
      headers: [{{name: X-Life, value: "{life}"}}]
      timeout: {timeout}"""
ONCE = """    delivery: effectively_once
    deduplication: {{store: {folder}/once.db, pointer: /n}}"""


class Embedded:
    """A SQLite file: there is no broker to restart."""

    vhost = ""
    can_restart = False
    behind_seconds = 0  # what count() says may be so old
    restart_is = "no broker"

    def __init__(self, case):
        self.path = case.folder / "queues.db"

    def start(self):
        pass

    def tell(self):
        """What helps to understand a failure."""
        return self._ask("SELECT * FROM readable_queues")

    def config(self, _direct):
        return f"""  - name: it
    type: embedded
    path: {self.path}
    queues:
      - name: {QUEUE}
        visibility_timeout: {VISIBILITY_SECONDS}s
        dead_letter: {{queue: {DLQ}, max_receives: 1000}}
      - name: {DLQ}"""

    def _ask(self, words, *values):
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            return connection.execute(words, values).fetchall()
        finally:
            connection.close()

    def count(self):
        return self._ask("SELECT count(*) FROM readable_messages WHERE queue = ?", QUEUE)[0][0]

    def read(self, queue):
        """The numbers of the messages in a queue."""
        return [json.loads(body)["n"]
                for (body,) in self._ask("SELECT body FROM readable_messages WHERE queue = ?", queue)]


class Sender(threading.Thread):
    """Sends messages of our numbers until so many are confirmed."""

    def __init__(self, case, count):
        super().__init__(daemon=True)
        self.case, self.count, self.error = case, count, None
        self.start()

    def run(self):
        vhost = [f"--vhost={self.case.source.vhost}"] if self.case.source.vhost else []
        deadline = time.monotonic() + DRAIN_SECONDS
        try:
            while self.count > 0:
                lot = range(self.case.next_number, self.case.next_number + min(LOT, self.count))
                self.case.next_number = lot.stop
                self.case.tried.update(lot)
                done = subprocess.run(
                    [QUEUECTL, f"--config.file={self.case.folder}/send.yml", "dlq", "import", "it", QUEUE, *vhost],
                    input="".join(json.dumps({"body": json.dumps({"n": number})}) + "\n" for number in lot),
                    text=True, capture_output=True, timeout=120, check=False)
                if done.returncode == 0:
                    self.case.confirmed.update(lot)
                    self.count -= len(lot)
                    deadline = time.monotonic() + DRAIN_SECONDS
                elif time.monotonic() > deadline:
                    raise AssertionError(f"nothing can be sent: {done.stderr}")
                else:
                    self.case.send_failures.append(done.stderr.strip())
                    time.sleep(0.5)  # the broker restarts
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def end(self):
        self.join()
        if self.error is not None:
            raise self.error


class CrashCase(WithFolder):
    """`broker` is the class of the broker under test."""

    broker = None

    def setUp(self):
        super().setUp()
        self.dice = random.Random(SEED)
        self.next_number, self.lives = 0, 0
        self.tried, self.confirmed, self.send_failures = set(), set(), []
        self.recorded = []  # what the deduplication store knew after each life
        self.is_once = False
        self.redeliveries = self.settle_failures = self.stale = 0
        self.source = self.broker(self)
        self.source.start()

    # --- lives of the daemon ---

    def ledger(self, life):
        return self.folder / f"ledger-{life}"

    def configure(self, delivery, handler, bad):
        self.is_once = delivery == "effectively_once"
        self.write_config(CONFIG.format(source=self.source.config(True), vhost=self.source.vhost, queue=QUEUE,
                                        workers=1,
                                        handler="      type: discard", receives=1, more=""), name="send.yml")

        port = self.start_server(bad) if handler == "http" else None

        def of_life(life):
            timeout = "1500ms" if bad else "30s"
            section = HTTP_HANDLER.format(port=port, life=life, timeout=timeout) if handler == "http" else HANDLER.format(
                handler=handler, python=sys.executable, worker=WORKER, folder=self.folder, life=life,
                mischief="yes" if bad else "no", timeout=timeout)
            more = ONCE.format(folder=self.folder) if delivery == "effectively_once" else ""
            return CONFIG.format(source=self.source.config(False), vhost=self.source.vhost, queue=QUEUE,
                                 workers=WORKERS, handler=section,
                                 receives=8 if bad else 3, more=more)
        self.config_of = of_life

    def start_server(self, bad):
        """The HTTP handler, which outlives the daemon: its port."""
        process = subprocess.Popen([sys.executable, "-B", SERVER], stdout=subprocess.PIPE, text=True, env={
            **os.environ, "LEDGER": f"{self.folder}/ledger", "MISCHIEF": "yes" if bad else "no"})

        def end():
            process.kill()
            process.wait()
            process.stdout.close()
        self.addCleanup(end)
        return int(process.stdout.readline())

    def start_life(self, ready=True):
        self.lives += 1
        daemon = Daemon(self.write_config(self.config_of(self.lives)))
        self.addCleanup(self.kill, daemon)
        return daemon.start(ready)

    @staticmethod
    def kill(daemon):
        if daemon.process.poll() is None:
            daemon.signal(signal.SIGKILL)
        daemon.wait_end()
        daemon.log_file.close()  # twice is fine

    def written(self):
        try:
            return self.ledger(self.lives).stat().st_size // 7
        except FileNotFoundError:
            return 0

    def children(self):
        """Processes that the newest life of the daemon has started, and what those have."""
        marks = (f"LEDGER={self.folder}/ledger".encode(), f"LIFE={self.lives}".encode())
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "environ").read_bytes().split(b"\0")
                if all(mark in words for mark in marks):
                    found.append((path / "cmdline").read_text())
            except OSError:
                continue
        return found

    def note_counters(self, daemon):
        try:
            page = daemon.values()
        except OSError:
            return
        for series, value in page.items():
            family = series.partition("{")[0]
            self.redeliveries += value if family == "queue_consumer_redeliveries_total" else 0
            self.settle_failures += value if family == "queue_consumer_settle_failures_total" else 0
            self.stale += value if family == "queue_consumer_stale_settles_total" else 0

    def note_recorded(self):
        """What the deduplication store holds as handled, read while no daemon runs."""
        path = self.folder / "once.db"
        keys = []  # of one that was killed before it had made its file, or its table
        if path.exists():
            connection = sqlite3.connect(path, timeout=30)
            try:
                # "probe" is what a store that was full is tried with; a killed daemon leaves it there.
                keys = connection.execute("SELECT key FROM keys WHERE handled = 1 AND key != 'probe'").fetchall()
                if not IS_FULL:  # what a dead daemon held is free after 30 s: they pass at once
                    connection.execute("UPDATE keys SET expires_at = 0 WHERE handled = 0")
                    connection.commit()
            except sqlite3.OperationalError:
                pass
            finally:
                connection.close()
        self.recorded.append({int(key.removeprefix("number:")) for (key,) in keys})

    def live_and_die(self, share, restarts):
        """One life of the daemon, while so many messages are sent."""
        sender = Sender(self, share)
        early = self.dice.random() < 0.15
        daemon = self.start_life(ready=not early)
        if early:
            time.sleep(self.dice.uniform(0, 0.15))
        else:
            wanted = self.dice.uniform(0.05, 0.9) * share
            deadline = time.monotonic() + (30 if IS_FULL else 4)
            while self.written() < wanted and time.monotonic() < deadline:
                time.sleep(0.002)
            if restarts:
                self.source.restart()
                deadline = time.monotonic() + 20
                now = self.written()
                while self.written() < now + 20 and time.monotonic() < deadline:
                    time.sleep(0.002)
            self.note_counters(daemon)
            time.sleep(self.dice.uniform(0, 0.05))
        self.kill(daemon)
        sender.end()
        self.note_recorded()

    def survive(self, delivery="at_least_once", handler="coprocess", bad=False, messages=MESSAGES, kills=KILLS,
                restarts=RESTARTS):
        self.configure(delivery, handler, bad)
        restarts = restarts if self.source.can_restart else 0
        when = set(self.dice.sample(range(kills), min(restarts, kills)))
        began = time.monotonic()
        for life in range(kills):
            self.live_and_die(messages // (kills + 1), life in when)
        Sender(self, messages - len(self.confirmed)).end()
        daemon = self.start_life()
        self.drain(daemon)
        self.note_counters(daemon)
        log = daemon.log()
        self.assertEqual(daemon.stop(), 0, log[-3000:])
        self.assertEqual(self.children(), [], "left behind by a daemon that was stopped")
        self.note_recorded()
        self.judge(f"\n{self.id()}, seed {SEED}: {kills} kills, {restarts} restarts "
                   f"({self.source.restart_is}), {time.monotonic() - began:.0f} s", kills, restarts)

    def drain(self, daemon):
        """Until the queue is empty, and stays it for as long as the source's counts are behind. Where it gets no shorter
        any more, waiting longer helps nobody."""
        least, until, empty_since = None, 0, None
        while empty_since is None or time.monotonic() < empty_since + self.source.behind_seconds:
            daemon.is_alive()
            count = self.source.count()
            empty_since = None if count > 0 else empty_since or time.monotonic()
            if least is None or count < least:
                least, until = count, time.monotonic() + DRAIN_SECONDS
            if count > 0 and time.monotonic() > until:
                self.fail(f"{count} messages stay in the queue; {self.source.tell()}\n{daemon.log()[-4000:]}")
            time.sleep(0.1)

    def survive_mischief(self, handler):
        """Handlers that hang, crash, leak, print megabytes, and fork: fewer messages, since each costs its timeout."""
        self.survive(handler=handler, bad=True, messages=MISCHIEF_MESSAGES, kills=MISCHIEF_KILLS, restarts=0)
        self.assertEqual({number for words in self.read_ledgers() for kind in KINDS for number in words[kind]},
                         {number for number in self.confirmed if mischief(number)}, "each misbehaves once")

    # --- the judge ---

    def read_ledgers(self):
        """[{word: [numbers]}] per life."""
        lives = []
        for life in range(1, self.lives + 1):
            words = collections.defaultdict(list)
            if self.ledger(life).exists():
                for line in self.ledger(life).read_text().splitlines():
                    number, _, word = line.partition(" ")
                    words[word].append(int(number))
            lives.append(words)
        return lives

    def judge(self, title, kills, restarts):
        lives = self.read_ledgers()
        handled = collections.Counter(number for words in lives for number in words["ack"])
        dead, left = collections.Counter(self.source.read(DLQ)), set(self.source.read(QUEUE))
        twice_in_a_life = sum(count - 1 for words in lives for count in collections.Counter(words["ack"]).values())
        twice = sum(handled.values()) - len(handled)
        misbehaved = sum(len(words[kind]) for words in lives for kind in KINDS)
        print(f"{title}\n  confirmed {len(self.confirmed)} (tried {len(self.tried)}), handled {len(handled)}, "
              f"dead letters {len(dead)}, still there {len(left)}\n"
              f"  handled twice {twice} (within one life {twice_in_a_life}), dead letters twice "
              f"{sum(dead.values()) - len(dead)}, misbehaved {misbehaved}\n"
              f"  the daemons counted {self.redeliveries:.0f} redeliveries, {self.stale:.0f} stale settlements, "
              f"{self.settle_failures:.0f} failed ones; lots not confirmed {len(self.send_failures)}", flush=True)
        self.assertGreaterEqual(len(self.confirmed), 1)
        self.assertEqual(self.confirmed - set(handled) - set(dead) - left, set(), "lost")
        self.assertEqual((set(handled) | set(dead) | left) - self.tried, set(), "invented")
        self.assertEqual({number for number in dead if fate(number) == "ack"}, set(), "dead for nothing")
        self.assertEqual({number for number in handled if fate(number) in ("reject", "retry")}, set())
        hopeless = {number for number in self.confirmed if fate(number) in ("reject", "retry")}
        self.assertEqual(hopeless - set(dead) - left, set(), "hopeless, and in no dead-letter queue")
        self.assertLessEqual(twice, (kills + restarts * 3) * IN_HAND_MAX, "more than was in hand when it died")
        if self.is_once:
            self.judge_once(lives)

    def judge_once(self, lives):
        """A key is written together with the outcome: whose key was there when a life began is not handled in it."""
        known, unknown = set(), 0
        for words, recorded in zip(lives, self.recorded):
            again = collections.Counter(words["ack"])
            self.assertEqual({number for number in again if again[number] > 1}, set(), "twice within one life")
            self.assertEqual(set(again) & known, set(), "handled although it was recorded as handled")
            unknown += len(set(again) - recorded)
            known |= recorded
        self.assertTrue(known, "something is recorded")
        print(f"  effectively once: {len(known)} recorded; at a kill, {unknown} were done and not yet recorded",
              flush=True)


class Misbehaving:
    """Handlers that misbehave, on whatever broker."""

    def test_none_is_lost_by_coprocesses_that_hang_crash_leak_print_and_fork(self):
        if not IS_FULL and self.broker is not Embedded:
            self.skipTest("at full size only: the embedded store is tried so each time")
        self.survive_mischief("coprocess")

    def test_none_is_lost_by_servers_that_hang_reset_drip_cut_short_and_babble(self):
        if not IS_FULL and self.broker is not Embedded:
            self.skipTest("at full size only: the embedded store is tried so each time")
        self.survive_mischief("http")

    def test_none_is_lost_by_commands_that_hang_crash_leak_print_and_fork(self):
        self.survive_mischief("exec")
