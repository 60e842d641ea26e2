#!/usr/bin/python3
"""Records what queues hold while they are worked in known ways, for test_backlog_recorded.c: by hand, some minutes each.

    QE_EXPORTER=... QE_QUEUECTL=... record.py embedded|rabbitmq FOLDER

One file per queue: a row per reading of the exporter. What each queue does is known by whoever wrote this, so the
states that the files expect (lines "expect FROM TO STATE...", in seconds) are written into them by hand."""
import os
import pathlib
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "integration"))
if sys.argv[1] == "rabbitmq":
    from child_server import need_test_python
    need_test_python()
    import pika

# pylint: disable=wrong-import-position
from daemon import Daemon, QUEUECTL
from rabbitmq_server import RabbitServer

SECONDS = 230
TURN_SECONDS = 110
HEAD = """
shutdown_timeout: 5s
defaults: {poll_interval: 2s, poll_timeout: 2s, discovery_interval: 5s, state_window: 1m, stale_after: 1m}
"""
# queue: (messages at the start, sent per second, workers, seconds that each message takes)
PATTERNS = {
    "idle": (0, 0, 2, 0.1),
    "flowing": (0, 10, 4, 0.05),
    "bursty": (0, 0, 4, 0.1),        # 40 every 10 s, see bursts()
    "growing": (0, 6, 1, 0.4),
    "draining": (1300, 0, 1, 0.2),
    "turning": (0, 8, 1, 0.25),      # nothing is sent after TURN_SECONDS
    "stalled": (40, 0, 2, 3600),
    "unattended": (40, 0, 0, 0),
    "rejecting": (0, 1, 2, 0.05),    # into rejecting-dlq
}
FIELDS = ("queue_messages_ready", "queue_messages_in_flight", "queue_consumers", "queue_messages_acknowledged_total")


def sum_of(page, family, queue):
    found = [value for name, value in page.items()
             if name.startswith(family + "{") and f'queue="{queue}"' in name]
    return sum(found) if found else None


def rates(send):
    """Sends what PATTERNS says, until the time is over."""
    began = time.monotonic()
    sent = dict.fromkeys(PATTERNS, 0)
    for queue, (first, *_) in PATTERNS.items():
        send(queue, first)
    while time.monotonic() < began + SECONDS:
        gone = time.monotonic() - began
        for queue, (_, rate, *_) in PATTERNS.items():
            due = int(rate * (min(gone, TURN_SECONDS) if queue == "turning" else gone))
            if queue == "bursty":
                due = int(gone / 10) * 40
            if due > sent[queue]:
                send(queue, due - sent[queue])
                sent[queue] = due
        time.sleep(0.1)


def record(daemon, folder, send):
    rows, last = {}, {}
    sender = threading.Thread(target=rates, args=(send,))
    sender.start()
    while sender.is_alive():
        page = daemon.values()
        for queue in (*PATTERNS, "rejecting-dlq"):
            at = sum_of(page, "queue_last_success_timestamp_seconds", queue)
            values = [sum_of(page, family, queue) for family in FIELDS]
            if at is None or at == last.get(queue) or values[0] is None:
                continue
            last[queue] = at
            own = sum(sum_of(page, f"queue_consumer_messages_{word}_total", queue) or 0
                      for word in ("processed", "dead_lettered"))
            state = next((re.search('state="([a-z_]+)"', name)[1] for name, value in page.items()
                          if name.startswith("queue_state{") and f'queue="{queue}"' in name and value == 1), "-")
            rows.setdefault(queue, []).append((at, *values, own, state))
        time.sleep(0.5)
    for queue, read in rows.items():
        with open(folder / f"{queue}.txt", "w", encoding="utf-8") as out:
            print("# seconds ready in_flight consumers acknowledged own_settled; - is unknown", file=out)
            for at, *values, state in read:
                words = ["-" if value is None else f"{value:.0f}" for value in values]
                print(f"{at - read[0][0]:.1f}", *words, file=out)
                print(queue, f"{at - read[0][0]:.1f}", *words, state)


def run_embedded(folder, work):
    queues = "".join(f"      - name: {name}\n" + ("        dead_letter: {queue: rejecting-dlq, max_receives: 3}\n"
                                                  if name == "rejecting" else "") for name in PATTERNS)
    consumers = "".join(
        f"  - {{source: local, queue: {name}, workers: {workers}, handler: {{type: simulate, latency_p50: {int(takes * 1000)}ms, "
        f"latency_p99: {int(takes * 1000) + 1}ms, error_rate: 0}}}}\n"
        for name, (_, _, workers, takes) in PATTERNS.items() if workers)
    config = work / "c.yml"
    config.write_text(HEAD + f"sources:\n  - name: local\n    type: embedded\n    path: {work}/q.db\n    queues:\n{queues}"
                      f"      - name: rejecting-dlq\nconsumers:\n{consumers}", encoding="utf-8")

    def send(queue, count):
        if count:
            more = " --attribute simulate=reject" if queue == "rejecting" else ""
            os.system(f"{QUEUECTL} --config.file={config} send local {queue} --body x --count {count}{more} >/dev/null")
    daemon = Daemon(config).start()
    try:
        record(daemon, folder, send)
    finally:
        daemon.stop()


def consume(port, queue, workers, takes):
    """In threads of its own, each with a connection; a message is settled when its time is over."""
    def one():
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, heartbeat=0))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        for method, _, _ in channel.consume(queue):
            connection.sleep(takes)
            if queue == "rejecting":
                channel.basic_reject(method.delivery_tag, requeue=False)
            else:
                channel.basic_ack(method.delivery_tag)
    for _ in range(workers):
        threading.Thread(target=one, daemon=True).start()


def run_rabbitmq(folder, work):
    with RabbitServer() as rabbit:
        config = work / "c.yml"
        config.write_text(HEAD + f"sources:\n  - name: rabbit\n    type: rabbitmq\n    management_url: {rabbit.url}\n",
                          encoding="utf-8")
        rabbit.queue("rejecting-dlq")
        for name, (_, _, workers, takes) in PATTERNS.items():
            more = ({"dead_letter_exchange": "", "dead_letter_routing_key": "rejecting-dlq"} if name == "rejecting" else {})
            rabbit.queue(name, **more)
            consume(rabbit.amqp_port, name, workers, takes)
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", rabbit.amqp_port, heartbeat=0))
        channel = connection.channel()

        def send(queue, count):
            for _ in range(count):
                channel.basic_publish("", queue, b"x")
        daemon = Daemon(config).start()
        try:
            record(daemon, folder, send)
        finally:
            daemon.stop()


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        {"embedded": run_embedded, "rabbitmq": run_rabbitmq}[sys.argv[1]](out, pathlib.Path(scratch))
    os._exit(0)  # consumers that hold their messages for ever
