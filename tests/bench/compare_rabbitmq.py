#!/usr/bin/python3
"""What watching many RabbitMQ queues costs the broker and us, for each way of reading, beside a plain GET of all
queues, which is what other exporters do.

Usage: compare_rabbitmq.py QUEUE_EXPORTER [--queues N] [--seconds N] [--slower FACTOR] [--limits]

A real broker of one node (Debian's rabbitmq-server), durable classic queues of which every tenth holds messages; its cache
of listings is off, so that each answer is computed. CPU of the broker is that of its process, less what it takes when
nobody asks, per poll; ours is the exporter's own. What it takes when nobody asks is measured before each way and after it:
a broker that has just answered something large is busy with its memory for a while. Polls follow each other closely, so
that little of what nobody asked for comes between. --limits: exit code 1 when a goal is missed."""
import argparse
import base64
import http.client
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from rabbitmq_server import HOST, RabbitServer, free_port, need_rabbitmq  # noqa: E402 pylint: disable=wrong-import-position

need_rabbitmq()
TICKS = os.sysconf("SC_CLK_TCK")
CONFIG = """
defaults: {{poll_interval: {interval}s, poll_timeout: {interval}s, discovery_interval: 1h, max_queues: {queues}}}
sources:
  - name: rabbit
    type: rabbitmq
    management_url: {url}
    method: {method}
    statistics_max_load: 0
"""
WAYS = {"statistics": 8, "totals": 3, "metrics": 1}  # seconds between two polls of 10 000 queues


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def own_seconds(pid):
    """Of all threads, to the nanosecond."""
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rss_mb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1000


def beam_of(rabbit):
    """The broker's process: the child of its script."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(rabbit.process.pid)], capture_output=True, text=True,
                          check=True)
    return int(done.stdout.split()[0])


def fill(rabbit, queues):
    names = [f"queue.{i:05}" for i in range(queues)]
    for begin in range(0, queues, 1000):
        rabbit.must("POST", "/api/definitions", {"queues": [
            {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
            for name in names[begin:begin + 1000]]})
    for name in names[::10]:
        rabbit.publish(name, 2)


def get_all(rabbit):
    """A plain GET of all queues; returns its bytes."""
    connection = http.client.HTTPConnection(HOST, rabbit.management_port, timeout=120)
    connection.request("GET", "/api/queues", headers={
        "Authorization": "Basic " + base64.b64encode(b"guest:guest").decode()})
    size = len(connection.getresponse().read())
    connection.close()
    return size


class Meter:
    """CPU of the broker between two looks."""

    def __init__(self, pid):
        self.pid, self.cpu, self.time = pid, cpu_seconds(pid), time.monotonic()

    def stop(self):
        self.cpu, self.time = cpu_seconds(self.pid) - self.cpu, time.monotonic() - self.time

    def less(self, idle):
        return self.cpu - idle * self.time


def idle_share(beam, seconds):
    """Of a core, when nobody asks."""
    meter = Meter(beam)
    time.sleep(seconds)
    meter.stop()
    return meter.cpu / meter.time


def page(port):
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except OSError:
        return {}
    finally:
        connection.close()
    return {name: float(value) for name, value in (
        line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")}


def received_bytes(pid, port):
    """What a process has received from the broker's port over connections that are open."""
    done = subprocess.run(["ss", "-tinpH", "state", "established", f"( dport = :{port} )"], capture_output=True, text=True,
                          check=True)
    lines = done.stdout.splitlines()
    return sum(int(word.split(":")[1]) for head, more in zip(lines, lines[1:]) if f"pid={pid}," in head
               for word in more.split() if word.startswith("bytes_received:"))


POLLS = 'queue_exporter_polls_total{source="rabbit"}'


def wait_first_polls(port):
    """The first one lists, too."""
    for _ in range(6000):
        if page(port).get(POLLS, 0) >= 2:
            return
        time.sleep(0.1)
    sys.exit("the exporter does not poll")


def measure_way(exporter, rabbit, beam, method, options):
    interval = max(1, round(WAYS[method] * options.slower * options.queues / 10000))
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "c.yml"
        config.write_text(CONFIG.format(interval=interval, queues=options.queues, url=rabbit.url, method=method))
        port = free_port()
        process = subprocess.Popen([exporter, f"--config.file={config}", f"--web.listen-address={HOST}:{port}"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_first_polls(port)
            source = rabbit.metrics_port if method == "metrics" else rabbit.management_port
            before = page(port)[POLLS]
            meter, own, size = Meter(beam), own_seconds(process.pid), received_bytes(process.pid, source)
            time.sleep(options.seconds)  # no scrape meanwhile
            meter.stop()
            own, size = own_seconds(process.pid) - own, received_bytes(process.pid, source) - size
            shown = page(port)
            polls = shown[POLLS] - before
            if shown['queue_exporter_queues{source="rabbit",state="up"}'] != options.queues:
                sys.exit(f"{method}: not every queue was read")
            return {"meter": meter, "polls": polls, "own": own / polls, "rss": rss_mb(process.pid), "bytes": size / polls}
        finally:
            process.terminate()
            process.wait()


def measure_plain(rabbit, beam, options):
    size, count = get_all(rabbit), 0
    meter = Meter(beam)
    while count < 2 or time.monotonic() - meter.time < options.seconds:
        size = get_all(rabbit)
        count += 1
    meter.stop()
    return {"meter": meter, "polls": count, "bytes": size}


class Idle:
    """What the broker takes when nobody asks, now; and the mean of that before and after something."""

    def __init__(self, beam, seconds):
        self.beam, self.seconds = beam, seconds
        self.share = idle_share(beam, seconds)

    def settle(self, cost):
        before, self.share = self.share, idle_share(self.beam, self.seconds)
        cost["broker"] = cost["meter"].less((before + self.share) / 2) / cost["polls"]
        return cost


def say(name, cost, plain):
    own = f"{1000 * cost['own']:8.1f} | {cost['rss']:6.1f}" if "own" in cost else "       – |      –"
    print(f"| {name:18} | {cost['broker']:12.3f} | 1/{plain['broker'] / max(cost['broker'], 1e-6):<6.1f} "
          f"| {cost['bytes'] / 1e6:8.2f} | {own} |", flush=True)


def judge(costs, plain):
    missed = []
    for name, share in (("totals", 10), ("metrics", 20)):
        if costs[name]["broker"] * share > plain["broker"]:
            missed.append(f"{name}: broker CPU above 1/{share} of a plain GET's")
    for name, cost in costs.items():
        if cost["own"] * 10 > cost["broker"]:
            missed.append(f"{name}: own CPU above a tenth of the broker's")
        if cost["rss"] >= 60:
            missed.append(f"{name}: RSS of 60 MB and more")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exporter")
    parser.add_argument("--queues", type=int, default=10000)
    parser.add_argument("--seconds", type=int, default=40, help="for each way")
    parser.add_argument("--slower", type=float, default=1, help="polls farther apart, on a machine that does more than this")
    parser.add_argument("--limits", action="store_true")
    options = parser.parse_args()
    # The real pace of statistics, unlike in tests, where they come every second.
    with RabbitServer(more="management.db_cache_multiplier = 0\n", is_fast=False) as rabbit:
        fill(rabbit, options.queues)
        beam = beam_of(rabbit)
        time.sleep(min(20, options.seconds))  # the first statistics of all queues
        idle = Idle(beam, options.seconds)
        print(f"{options.queues} queues, {options.seconds} s a way; the broker takes {100 * idle.share:.0f} % of a core when "
              "nobody asks")
        print("| way                | broker CPU s |  to plain | MB/poll  | own ms   | RSS MB |")
        print("|--------------------|--------------|-----------|----------|----------|--------|")
        plain = idle.settle(measure_plain(rabbit, beam, options))
        say("GET /api/queues", plain, plain)
        costs = {}
        for name in WAYS:
            costs[name] = idle.settle(measure_way(options.exporter, rabbit, beam, name, options))
            say(name, costs[name], plain)
    missed = judge(costs, plain)
    for line in missed:
        print("goal missed:", line)
    sys.exit(1 if missed and options.limits else 0)


if __name__ == "__main__":
    main()
