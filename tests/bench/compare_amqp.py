#!/usr/bin/python3
"""Consuming a queue of RabbitMQ: our driver, a bare librabbitmq loop and pika, in one run.

Usage: compare_amqp.py BENCH_AMQP [--messages N] [--turns N]

Persistent messages of 1 KiB in a durable classic queue; prefetch 100; an ack for 50 or, by our driver, for what one
receive brought. All take turns; the medians of the turns, and of the turns' ratios. The broker is on the same machine,
and slower than each client alone. CPU is the client process's own. pika runs under QE_TEST_PYTHON."""
import argparse
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from child_server import TEST_PYTHON  # noqa: E402 pylint: disable=wrong-import-position
from rabbitmq_server import RabbitServer, need_rabbitmq  # noqa: E402 pylint: disable=wrong-import-position

PIKA = """
import resource, sys, time, pika
count = int(sys.argv[3])
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
channel = connection.channel()
channel.basic_qos(prefetch_count=100)
got = 0
def took(channel, method, properties, body):
    global got
    got += 1
    if got % 50 == 0 or got == count:
        channel.basic_ack(method.delivery_tag, multiple=True)
    if got == count:
        channel.stop_consuming()
begun, cpu = time.monotonic(), time.process_time()
channel.basic_consume(sys.argv[2], took)
channel.start_consuming()
print(time.monotonic() - begun, time.process_time() - cpu)
connection.close()
"""


def numbers(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return [float(word) for word in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--messages", type=int, default=50000)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    need_rabbitmq()
    took = {"driver": [], "bare": [], "pika": [], "fill": []}
    with RabbitServer() as rabbit:
        rabbit.queue("bench")
        where = (rabbit.url, str(rabbit.amqp_port), "bench", str(options.messages))
        for turn in range(options.turns):
            order = ["driver", "bare", "pika"]
            for who in order[turn % 3:] + order[:turn % 3]:
                took["fill"].append(numbers(options.bench, "fill", *where))
                time.sleep(0.5)
                took[who].append(numbers(TEST_PYTHON, "-B", "-c", PIKA, *where[1:]) if who == "pika"
                                 else numbers(options.bench, who, *where))
    for who, runs in took.items():
        seconds = statistics.median(run[0] for run in runs)
        cpu = statistics.median(run[1] for run in runs)
        print(f"{who:7} {options.messages / seconds:9.0f} messages/s  {cpu / options.messages * 1e6:7.2f} us CPU a message")
    for other in ("bare", "pika"):
        ratio = statistics.median(theirs[0] / ours[0] for ours, theirs in zip(took["driver"], took[other]))
        print(f"driver / {other}: {ratio:.2f}")


if __name__ == "__main__":
    main()
