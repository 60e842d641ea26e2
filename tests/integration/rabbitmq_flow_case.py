"""A consumer beside pika's publishers, and a count of what was lost: for tests in which something happens to the broker."""
import contextlib
import itertools
import signal
import threading
import time

import pika

from daemon import wait_for
from rabbitmq_work_case import WORKER, Working

CONSUMER = """
  - source: rabbit
    queue: {queue}
    workers: 4
    handler: {{type: coprocess, command: [python3, {folder}/worker.py, {folder}/{queue}.ids]}}
    retry: {{initial: 10ms, max: 100ms}}
"""
PATIENCE = 120
# What 4 workers may have in hand, each 25 ahead; twice, since what an old prefetch let through is beside the new one.
IN_HAND_MOST = 2 * 4 * (1 + 25)
BACKLOG = 3000  # what takes the consumer half a second and more


class Publisher(threading.Thread):
    """pika, one confirm at a time; remembers what was confirmed, and goes on when it is cut off."""

    def __init__(self, rabbit, queue, first=0):
        super().__init__(daemon=True)
        self.rabbit, self.queue, self.numbers = rabbit, queue, itertools.count(first)
        self.confirmed, self.ended = [], threading.Event()

    def run(self):
        while not self.ended.is_set():
            try:
                connection = pika.BlockingConnection(pika.ConnectionParameters(
                    "127.0.0.1", self.rabbit.amqp_port, heartbeat=0, blocked_connection_timeout=2, socket_timeout=2))
                channel = connection.channel()
                channel.confirm_delivery()
                while not self.ended.is_set():
                    body = str(next(self.numbers))
                    channel.basic_publish("", self.queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
                    self.confirmed.append(body)
                connection.close()
            except (pika.exceptions.AMQPError, OSError):
                time.sleep(0.2)

    def stop(self):
        self.ended.set()
        self.join(30)


class Flow(Working):
    def setUp(self):
        super().setUp()
        (self.folder / "worker.py").write_text(WORKER)

    def consumers(self, *queues):
        return "consumers:" + "".join(CONSUMER.format(queue=queue, folder=self.folder) for queue in queues)

    def begin(self, *queues, rabbit=None):
        """A daemon with a consumer for each, and their publishers."""
        daemon = self.daemon(config=self.configure(extra=self.consumers(*queues), rabbit=rabbit))
        return daemon, [self.publish(queue, rabbit) for queue in queues]

    def publish(self, queue, rabbit=None, first=0):
        publisher = Publisher(rabbit or self.rabbit, queue, first)
        publisher.start()
        self.addCleanup(publisher.ended.set)
        return publisher

    def handled(self, queue):
        ids = self.folder / f"{queue}.ids"
        return ids.read_text().split() if ids.exists() else []

    def wait_more(self, publisher, count=300):
        """It works: so many more are published, and handled."""
        published, handled = len(publisher.confirmed), len(self.handled(publisher.queue))
        wait_for(f"{publisher.queue}: published {published} and {count} more",
                 lambda: len(publisher.confirmed) >= published + count, PATIENCE)
        wait_for(f"{publisher.queue}: handled {handled} and {count} more",
                 lambda: len(self.handled(publisher.queue)) >= handled + count, PATIENCE)

    def pile_up(self, publisher, count=BACKLOG):
        """So many more into its queue at once: in a transaction, which is confirmed when the broker has them all."""
        bodies = [str(next(publisher.numbers)) for _ in range(count)]
        with contextlib.closing(pika.BlockingConnection(pika.ConnectionParameters(
                "127.0.0.1", publisher.rabbit.amqp_port, heartbeat=0))) as connection:
            channel = connection.channel()
            channel.tx_select()
            for body in bodies:
                channel.basic_publish("", publisher.queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
            channel.tx_commit()
        publisher.confirmed.extend(bodies)

    def at_full_rate(self, daemon, publishers, interrupt):
        """interrupt(), which takes no time, comes while the consumers work off what waited for them."""
        daemon.signal(signal.SIGSTOP)
        try:
            for publisher in publishers:
                self.pile_up(publisher)
            handled = {one.queue: len(self.handled(one.queue)) for one in publishers}
        finally:
            daemon.signal(signal.SIGCONT)
        for queue, before in handled.items():
            wait_for(f"{queue}: handled {before} and more", lambda queue=queue, before=before: len(
                self.handled(queue)) >= before + 100, PATIENCE)
        interrupt()
        waiting = {one.queue: len(set(one.confirmed) - set(self.handled(one.queue))) for one in publishers}
        print(f"\ninterrupted, and so many wait: {waiting}")
        self.assertTrue(any(waiting.values()))

    def left(self, publishers):
        """Of whose queues some messages are ready, or delivered and not acked. The broker tells seconds later."""
        rabbit = publishers[0].rabbit
        held = {one["name"]: (one.get("messages_ready"), one.get("messages_unacknowledged")) for one in rabbit.must(
            "GET", "/api/queues/%2F?disable_stats=true&enable_queue_totals=true")}
        return {one.queue: held.get(one.queue) for one in publishers
                if held.get(one.queue) != (0, 0) or self.depth(one.queue, rabbit) > 0}

    def finish(self, daemon, *publishers, interrupted=0):
        """Everything that was confirmed has been handled and the queues are empty. What was handled twice had been in
        hand, handled and not acked, at one of the so many times that its deliveries ended."""
        for publisher in publishers:
            publisher.stop()
            wanted = set(publisher.confirmed)
            wait_for("all is handled", lambda publisher=publisher, wanted=wanted: wanted <= set(
                self.handled(publisher.queue)), PATIENCE)
        try:
            wait_for("all is acked", lambda: not self.left(publishers), PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}: (ready, in flight) {self.left(publishers)}") from None
        for publisher in publishers:
            handled = self.handled(publisher.queue)
            lost = set(publisher.confirmed) - set(handled)
            twice = len(handled) - len(set(handled))
            print(f"\n{publisher.queue}: {len(publisher.confirmed)} confirmed, {len(handled)} handled, {twice} of them "
                  f"twice, {len(lost)} lost")
            self.assertFalse(lost)
            self.assertLessEqual(twice, interrupted * IN_HAND_MOST, publisher.queue)
        daemon.is_alive()
