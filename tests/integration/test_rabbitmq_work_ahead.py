#!/usr/bin/python3
"""What the broker has pushed ahead of a consumer goes back when nobody asks for it: handlers hang or became slow, the
circuit is open, the daemon stops. Bodies are bounded in memory, and single-active queues keep their one consumer."""
import re
import signal
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from rabbitmq_case import wait_for
from rabbitmq_work_case import Working

# Writes down what it handles; hangs while the file "hang" is there, and takes as long as "slow" says.
WORKER = """
import json, os, sys, time
at = sys.argv[1]
with open(at + "/ids", "a", buffering=1) as out:
    for line in sys.stdin:
        question = json.loads(line)
        body = question["message"].get("body", "")[:20]
        out.write(body + "\\n")
        while os.path.exists(at + "/hang"):
            time.sleep(0.05)
        if os.path.exists(at + "/slow"):
            time.sleep(float(open(at + "/slow").read()))
        result = "retry" if os.path.exists(at + "/fail") else "ack"
        print(json.dumps({"id": question["id"], "result": result}), flush=True)
"""
CONSUMER = """
consumers:
  - source: rabbit
    queue: {queue}
    workers: {workers}
    handler: {{type: coprocess, command: [python3, {folder}/worker.py, {folder}]}}
    {more}
"""
WARM = 600
# From one message to the next.
SLOW_AFTER_WARM = WORKER.replace(
    'exists(at + "/slow")', f'exists(at + "/slow") and sum(1 for _ in open(at + "/ids")) > {WARM}')


class WithWorker(Working):
    def setUp(self):
        super().setUp()
        (self.folder / "worker.py").write_text(WORKER)

    def handled(self):
        ids = self.folder / "ids"
        return ids.read_text().split() if ids.exists() else []

    def switch(self, name, text="1"):
        """A new worker must not read half of it."""
        (self.folder / "new").write_text(text)
        (self.folder / "new").rename(self.folder / name)

    def send(self, queue, bodies):
        channel = self.connect()
        for body in bodies:
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))

    def begin(self, queue, workers=2, more="", shutdown="5s", **arguments):
        """A consumer that has learned that its handler is fast, and so is given much ahead."""
        self.rabbit.queue(queue, **arguments)
        self.send(queue, ["w"] * WARM)
        daemon = self.daemon(config=self.configure(shutdown=shutdown, extra=CONSUMER.format(
            queue=queue, workers=workers, folder=self.folder, more=more)))
        wait_for("it is warm", lambda: len(self.handled()) == WARM)
        return daemon

    def in_hand(self, queue):
        """What the broker has given to us and is not settled."""
        return self.rabbit.must("GET", f"/api/queues/%2F/{queue}").get("messages_unacknowledged")

    def wait_hanging(self, queue, count, running):
        """So many are there, and as many handlers hang as there are workers."""
        self.switch("hang")
        self.send(queue, [str(i) for i in range(count)])
        wait_for("they hang", lambda: len(self.handled()) == WARM + running)


class Ahead(WithWorker):
    def test_goes_back_while_handlers_hang(self):
        for kind in ("classic", "quorum"):
            with self.subTest(kind):
                (self.folder / "ids").unlink(missing_ok=True)
                queue = f"hang-{kind}"
                daemon = self.begin(queue, workers=1, kind=kind)
                self.wait_hanging(queue, 300, 1)
                self.assertLess(self.depth(queue), 299, "some is pushed ahead")
                wait_for("all but what is handled is there for others", lambda: self.depth(queue) == 299, 20)
                (self.folder / "hang").unlink()
                wait_for("all is handled", lambda: len(self.handled()) >= WARM + 300)
                wanted, got = [str(i) for i in range(300)], self.handled()[WARM:]
                self.assertEqual(sorted(got), sorted(wanted))
                # A quorum queue may put at its end what is given back. To a classic one it goes back to its place; what
                # had waited here for its time, and was on its way, may meet one or two that had not.
                if kind == "classic":
                    self.assertLessEqual(max(abs(int(body) - place) for place, body in enumerate(got)), 2)
                self.end(daemon)

    def test_what_has_reached_the_delivery_limit_is_not_lost_when_it_goes_back(self):
        """The broker drops what comes back once too often: a copy goes to the end of the queue."""
        bodies = [str(i) for i in range(WARM + 300)]
        self.rabbit.queue("limit", kind="quorum", delivery_limit=0)
        self.send("limit", bodies)
        (self.folder / "worker.py").write_text(SLOW_AFTER_WARM)
        self.switch("slow", "0.7")
        self.daemon(config=self.configure(
            extra=CONSUMER.format(queue="limit", workers=1, folder=self.folder, more="")))
        wait_for("it is slow", lambda: len(self.handled()) >= WARM + 2)
        wait_for("the others are there for others", lambda: (self.in_hand("limit") or 99) <= 3, 25)
        (self.folder / "slow").unlink()
        wait_for("all is handled", lambda: len(self.handled()) >= len(bodies))
        self.assertEqual(sorted(self.handled()), sorted(bodies))

    def test_what_is_too_large_to_hold_is_not_lost_at_the_delivery_limit(self):
        """More than 64 MiB are held, and less than twice as much: the consumer itself takes no more than one."""
        self.rabbit.queue("full", kind="quorum", delivery_limit=0)
        self.send("full", ["w"] * WARM + [str(i).encode().ljust(8 << 20) for i in range(15)])
        (self.folder / "worker.py").write_text(WORKER.replace('exists(at + "/hang")', 'exists(at + "/hang") and body != "w"'))
        self.switch("hang")
        self.daemon(config=self.configure(
            extra=CONSUMER.format(queue="full", workers=1, folder=self.folder, more="max_in_hand: 8MiB")))
        wait_for("it hangs", lambda: len(self.handled()) == WARM + 1)
        wait_for("the others are there for others", lambda: self.depth("full") == 14, 60)
        (self.folder / "hang").unlink()
        wait_for("all is handled", lambda: {str(i) for i in range(15)} <= set(self.handled()), 60)

    def test_an_alarm_holds_nobody_up_while_some_are_at_the_delivery_limit(self):
        """Copies of them do not get through, and the consumer's thread waits for none."""
        bodies = [str(i) for i in range(WARM + 300)]
        self.rabbit.queue("alarm", kind="quorum", delivery_limit=0)
        self.send("alarm", bodies)
        (self.folder / "worker.py").write_text(SLOW_AFTER_WARM)
        self.switch("slow", "0.3")
        daemon = self.daemon(config=self.configure(
            extra=CONSUMER.format(queue="alarm", workers=1, folder=self.folder, more="")))
        wait_for("it is slow", lambda: len(self.handled()) >= WARM + 2)
        self.rabbit.ctl("set_vm_memory_high_watermark", "0")
        try:
            pauses, last, count = [], time.monotonic(), len(self.handled())
            end = last + 25  # what waits is to go back from the fifth second on
            while time.monotonic() < end:
                time.sleep(0.05)
                if len(self.handled()) > count:
                    pauses.append(time.monotonic() - last)
                    last, count = time.monotonic(), len(self.handled())
            self.assertLess(max(pauses + [time.monotonic() - last]), 3, "a message takes 0.3 s")
        finally:
            self.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
        (self.folder / "slow").unlink()
        wait_for("all is handled", lambda: set(self.handled()) >= set(bodies))
        daemon.is_alive()

    def test_goes_back_while_the_circuit_is_open(self):
        self.begin("circuit", workers=1, more="circuit_breaker: {failures: 3, pause: 60s}\n"
                                              "    retry: {initial: 1s, max: 1s}")
        self.switch("fail")
        self.send("circuit", [str(i) for i in range(300)])
        wait_for("it opens", lambda: len(self.handled()) >= WARM + 3)
        wait_for("nothing is in hand", lambda: self.in_hand("circuit") == 0, 20)
        self.assertLess(len(self.handled()), WARM + 300)

    def test_goes_back_at_once_when_the_daemon_stops(self):
        daemon = self.begin("stop", shutdown="40s")
        self.wait_hanging("stop", 300, 2)
        daemon.signal(signal.SIGTERM)  # and waits for its handlers
        wait_for("all but what is handled is there for others", lambda: self.depth("stop") == 298, 30)
        self.assertIsNone(daemon.process.poll(), "it still waits")
        (self.folder / "hang").unlink()

    def test_no_message_waits_long_for_a_handler_that_became_slow(self):
        self.begin("slow", workers=1)
        self.switch("slow", "0.7")
        self.send("slow", [str(i) for i in range(300)])
        wait_for("it is slow", lambda: len(self.handled()) >= WARM + 2)
        wait_for("the others are there for others", lambda: self.in_hand("slow") is not None and
                 self.depth("slow") > 250 and self.in_hand("slow") <= 3, 25)
        self.assertLess(len(self.handled()), WARM + 50, "which is no merit of the handler")

    def test_large_bodies_are_bounded_in_memory(self):
        daemon = self.begin("large")
        self.switch("hang")
        self.send("large", [b"x" * (8 << 20)] * 50)
        wait_for("they hang", lambda: len(self.handled()) == WARM + 2)
        wait_for("all but what is handled is there for others", lambda: self.depth("large") == 48, 120)
        with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
            status = file.read()
        most_mb = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
        print(f"\n50 bodies of 8 MiB, at most {most_mb:.0f} MiB used")
        self.assertLess(most_mb, 300)
        (self.folder / "hang").unlink()
        wait_for("all is handled", lambda: len(self.handled()) >= WARM + 50, 60)


class Stops(WithWorker):
    """The end of a consumer, at full rate, on a queue whose broker drops what comes back."""

    def fill(self, queue, bodies):
        """Without a confirm for each: there are many."""
        channel = self.connect().connection.channel()
        for body in bodies:
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))
        channel.connection.close()
        wait_for("all are there", lambda: self.depth(queue) == len(bodies))

    def check(self, queue, **arguments):
        bodies = [str(i) for i in range(8000)]
        self.rabbit.queue(queue, kind="quorum", delivery_limit=0, **arguments)
        self.fill(queue, bodies)

        def config(workers):
            return self.configure(extra=CONSUMER.format(queue=queue, workers=workers, folder=self.folder, more=""))
        daemon = self.daemon(config=config(1))
        for workers in (2, 1):
            count = len(self.handled())
            wait_for("it works", lambda count=count: len(self.handled()) >= count + 1000)
            config(workers)
            daemon.signal(signal.SIGHUP)
        for _ in range(2):
            count = len(self.handled())
            wait_for("it works", lambda count=count: len(self.handled()) >= count + 1000)
            begun = time.monotonic()
            self.end(daemon)
            print(f"\n{queue}: {len(self.handled())} handled, {self.depth(queue)} left, "
                  f"stopped in {time.monotonic() - begun:.2f} s")
            daemon = self.daemon(config=config(1))
        try:
            wait_for("all is handled", lambda: len(set(self.handled())) >= len(bodies), 30)
        except AssertionError as error:
            raise AssertionError(f"{error}: {len(bodies) - len(set(self.handled()))} lost") from None

    def test_nothing_is_lost_when_it_stops_in_an_alarm_that_ends_in_time(self):
        """No copy of what waits here gets through before."""
        bodies = [str(i) for i in range(WARM + 300)]
        self.rabbit.queue("ends-alarm", kind="quorum", delivery_limit=0)
        self.send("ends-alarm", bodies)
        (self.folder / "worker.py").write_text(SLOW_AFTER_WARM)
        self.switch("slow", "0.3")
        config = self.configure(shutdown="60s", extra=CONSUMER.format(
            queue="ends-alarm", workers=1, folder=self.folder, more=""))
        daemon = self.daemon(config=config)
        wait_for("it is slow", lambda: len(self.handled()) >= WARM + 2)
        self.rabbit.ctl("set_vm_memory_high_watermark", "0")
        try:
            daemon.signal(signal.SIGTERM)
            time.sleep(3)
            self.assertIsNone(daemon.process.poll(), "it waits for the end of the alarm")
        finally:
            self.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
        self.assertEqual(daemon.process.wait(60), 0)
        self.assertLess(len(self.handled()), len(bodies))
        (self.folder / "slow").unlink()
        self.daemon(config=config)
        wait_for("all is handled", lambda: set(self.handled()) >= set(bodies))

    def test_nothing_is_lost_at_the_delivery_limit(self):
        self.check("ends")

    def test_nor_on_a_single_active_queue(self):
        self.check("ends-active", single_active_consumer=True)


class SingleActive(WithWorker):
    """Another consumer waits in line."""

    def wait_in_line(self, queue):
        taken = []
        channel = self.connect()
        channel.basic_consume(queue, lambda *got: taken.append(got[3]))
        channel.connection.process_data_events(0.5)
        return channel, taken

    def test_a_consumer_stays_the_active_one_whatever_its_rate(self):
        for kind in ("classic", "quorum"):
            with self.subTest(kind):
                (self.folder / "ids").unlink(missing_ok=True)
                queue = f"active-{kind}"
                self.switch("slow", "0.05")
                self.rabbit.queue(queue, kind=kind, single_active_consumer=True)
                daemon = self.daemon(config=self.configure(
                    extra=CONSUMER.format(queue=queue, workers=1, folder=self.folder, more="")))
                self.send(queue, ["0"])
                wait_for("it consumes", lambda: self.handled() == ["0"])
                waiting, taken = self.wait_in_line(queue)
                self.send(queue, [str(i) for i in range(1, 20)])
                wait_for("slowly", lambda: len(self.handled()) == 20)
                (self.folder / "slow").unlink()
                self.send(queue, [str(i) for i in range(20, 600)])
                wait_for("fast", lambda: (waiting.connection.process_data_events(0.01), len(self.handled()) >= 600)[1])
                self.assertEqual(taken, [])
                self.assertEqual(self.handled(), [str(i) for i in range(600)])
                self.end(daemon)

    def test_a_look_without_waiting_takes_nothing_from_the_active_one(self):
        self.configure()
        for kind in ("classic", "quorum"):
            with self.subTest(kind):
                queue = f"look-{kind}"
                self.rabbit.queue(queue, kind=kind, single_active_consumer=True)
                channel = self.connect()
                channel.basic_qos(prefetch_count=1)
                channel.basic_consume(queue, lambda *_: None)
                channel.connection.process_data_events(0.5)
                self.send(queue, [str(i) for i in range(3)])
                done = self.queuectl("receive", "rabbit", queue)
                self.assertIn("no message available", done.stderr)
                channel.connection.close()
                wait_for("it is ours", lambda queue=queue: "id (no id)" in self.queuectl("receive", "rabbit", queue).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
