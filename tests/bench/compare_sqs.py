#!/usr/bin/python3
"""Reading the attributes of many SQS queues: our driver, a bare libcurl loop and boto3, in one run.

Usage: compare_sqs.py BENCH_SQS [--queues N] [--rounds N] [--growth N] [--limits]
       compare_sqs.py BENCH_SQS --moto [--queues N]

The server is Debian's nginx, which answers every GetQueueAttributes alike and verifies nothing, so that what is
measured is the client. All take turns, three times, 16 requests in flight; CPU is the client process's own. boto3
runs under QE_TEST_PYTHON (default build/venv/bin/python), with 16 threads and with one, and the cheaper counts.
--growth N: N more rounds of the driver, for its memory. --limits: exit code 1 when a goal is missed.
--moto: the driver alone against moto, which verifies every signature."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from child_server import SKIPPED, TEST_PYTHON  # noqa: E402 pylint: disable=wrong-import-position

ACCOUNT, REGION, IN_FLIGHT = "123456789012", "eu-west-1", 16
TURNS, SLOW_TURNS = 9, 3  # a shared core may be twice as fast a second later: medians of pairs
# As AWS answers; no QueueArn, since this server does not know which queue it is asked about.
ANSWER = json.dumps({"Attributes": {
    "ApproximateNumberOfMessages": "17", "ApproximateNumberOfMessagesNotVisible": "3",
    "ApproximateNumberOfMessagesDelayed": "0", "VisibilityTimeout": "30", "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0", "CreatedTimestamp": "1767225600", "RedrivePolicy": json.dumps(
        {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue-000000", "maxReceiveCount": 5})}})
NGINX_CONF = """
daemon off; worker_processes 1; error_log {root}/error.log; pid {root}/nginx.pid; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; default_type application/x-amz-json-1.0;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  map $http_x_amz_target $list {{ default 0; "AmazonSQS.ListQueues" 1; }}
  server {{
    listen 127.0.0.1:{port}; root {root}; add_header x-amzn-RequestId 01234567-89ab-cdef-0123-456789abcdef;
    location = / {{
      if ($list) {{ rewrite ^ /list.json last; }}
      return 200 '{answer}';
    }}
    location = /list.json {{ error_page 405 =200 /list.json; }}
  }}
}}
"""


def start_nginx(root, queues):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (root / "list.json").write_text(json.dumps({"QueueUrls": [
        f"http://127.0.0.1:{port}/{ACCOUNT}/queue-{i:06}" for i in range(queues)]}))
    # Started by root it would drop to www-data, which may not enter the temporary directory.
    (root / "nginx.conf").write_text(NGINX_CONF.format(
        root=root, port=port, answer=ANSWER.replace("\\", "\\\\"), user="user root;" if os.geteuid() == 0 else ""))
    nginx = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")])
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return nginx, f"http://127.0.0.1:{port}"
        time.sleep(0.02)
    nginx.terminate()
    sys.exit("nginx did not start: " + (root / "error.log").read_text())


def run(program, *words):
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
                   "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "secret")}
    done = subprocess.run([*program, *words], stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} failed: {done.stdout}")
    return json.loads(done.stdout)


def boto3_rounds(endpoint, queues, threads):
    """What this program does when it is started as --boto3 ENDPOINT QUEUES THREADS; one round, after some to warm up."""
    import boto3  # pylint: disable=import-outside-toplevel
    import botocore.config  # pylint: disable=import-outside-toplevel
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
             "ApproximateNumberOfMessagesDelayed", "VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds",
             "QueueArn", "RedrivePolicy", "FifoQueue", "ContentBasedDeduplication"]
    client = boto3.client("sqs", region_name=REGION, endpoint_url=endpoint,
                          config=botocore.config.Config(max_pool_connections=threads))

    def read(i):
        return client.get_queue_attributes(QueueUrl=f"{endpoint}/{ACCOUNT}/queue-{i:06}", AttributeNames=names)

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, range(min(100, queues))))
        before, started = os.times(), time.monotonic()
        list(pool.map(read, range(queues)))
        after, seconds = os.times(), time.monotonic() - started
    print(json.dumps({"requests": queues, "seconds": seconds,
                      "cpu_seconds": after.user + after.system - before.user - before.system}))


def cpu_us(cost):
    return cost["cpu_seconds"] / cost["requests"] * 1e6


def rate(cost):
    return cost["requests"] / cost["seconds"]


def compare(bench, endpoint, options):
    words = ["--endpoint", endpoint, "--queues", str(options.queues), "--rounds", str(options.rounds),
             "--in-flight", str(IN_FLIGHT)]
    boto3 = [TEST_PYTHON, "-B", __file__, "--boto3", endpoint, str(options.queues)]
    clients = {"driver": lambda: run([bench, "driver"], *words), "bare libcurl": lambda: run([bench, "bare"], *words)}
    if os.access(TEST_PYTHON, os.X_OK):
        clients |= {"boto3, 16 threads": lambda: run(boto3, "16"), "boto3, 1 thread": lambda: run(boto3, "1")}
    costs = {name: [] for name in clients}
    for turn in range(TURNS):
        for name, client in clients.items():
            if turn < SLOW_TURNS or not name.startswith("boto3"):
                costs[name].append(client())
    print(f"{options.queues} queues, {IN_FLIGHT} in flight; medians of {TURNS} turns, of {SLOW_TURNS} for boto3")
    print("| client            | requests/s | CPU us/request |")
    print("|-------------------|------------|----------------|")
    medians = {}
    for name, turns in costs.items():
        medians[name] = statistics.median(map(cpu_us, turns))
        print(f"| {name:17} | {statistics.median(map(rate, turns)):10.0f} | {medians[name]:14.1f} |")
    ratio = statistics.median(cpu_us(ours) / cpu_us(bare)
                              for ours, bare in zip(costs["driver"], costs["bare libcurl"]))
    print(f"driver / bare libcurl: {ratio:.2f} (goal: at most 2)")
    missed = ratio > 2
    if len(medians) > 2:
        share = medians["driver"] / min(cost for name, cost in medians.items() if name.startswith("boto3"))
        print(f"driver / cheaper boto3: 1/{1 / share:.1f} (goal: at most 1/5)")
        missed |= share > 1 / 5
    missed |= show_memory("driver", costs["driver"][0])
    if options.growth:
        long = run([bench, "driver"], "--endpoint", endpoint, "--rounds", str(options.growth))
        missed |= show_memory(f"after {options.growth} rounds", long)
        missed |= show_growth(long, options.growth)
    return missed


def show_memory(what, cost):
    print(f"RSS {what}: {cost['last_rss_bytes'] / 1e6:.1f} MB (goal: under 60); slowest round "
          f"{cost['slowest_round_seconds']:.2f} s")
    return cost["last_rss_bytes"] >= 60e6


def show_growth(cost, rounds):
    """The first half finds its memory; what the second half adds would be added for ever."""
    print(f"RSS from the first round to the {rounds}th: {(cost['last_rss_bytes'] - cost['first_rss_bytes']) / 1024:+.0f} KiB")
    for what in ("rss", "heap"):
        grown = cost[f"last_{what}_bytes"] - cost[f"middle_{what}_bytes"]
        print(f"{what} growth over the last {rounds // 2} of {rounds} rounds: {grown / 1024:+.1f} KiB (goal: none)")
    # One page of a stack or a table that a busier moment touched is no growth; a leak of a byte a request is.
    return grown > 5 * 1024


def against_moto(bench, queues):
    """One round against a server that verifies signatures: does it end within an interval of 60 s?"""
    from moto_server import MotoServer  # pylint: disable=import-outside-toplevel
    with MotoServer() as moto:
        os.environ.update(AWS_ACCESS_KEY_ID=moto.access_key_id, AWS_SECRET_ACCESS_KEY=moto.secret_access_key)
        create = ("import sys, boto3\nc = boto3.client('sqs', region_name=sys.argv[1], endpoint_url=sys.argv[2])\n"
                  "for i in range(int(sys.argv[3])): c.create_queue(QueueName=f'queue-{i:06}')")
        subprocess.run([TEST_PYTHON, "-c", create, REGION, moto.url, str(queues)], check=True)
        cost = run([bench, "driver"], "--endpoint", moto.url, "--rounds", "1")
    print(f"moto, {cost['queues']} queues: a round of {cost['slowest_round_seconds']:.1f} s, {rate(cost):.0f} requests/s, "
          f"{cpu_us(cost):.1f} CPU us/request, {cost['failed']} failed, RSS {cost['last_rss_bytes'] / 1e6:.1f} MB")
    return cost["slowest_round_seconds"] > 60 or cost["queues"] != queues


def main():
    if sys.argv[1:2] == ["--boto3"]:
        return boto3_rounds(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("--queues", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", type=int, default=0)
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--moto", action="store_true")
    options = parser.parse_args()
    if options.moto:
        return against_moto(options.bench, options.queues)
    with tempfile.TemporaryDirectory() as folder:
        try:
            nginx, endpoint = start_nginx(pathlib.Path(folder), options.queues)
        except FileNotFoundError:
            print("skipped: there is no nginx")
            return SKIPPED
        try:
            missed = compare(options.bench, endpoint, options)
        finally:
            nginx.send_signal(signal.SIGTERM)
            nginx.wait(10)
    return 1 if options.limits and missed else 0


if __name__ == "__main__":
    sys.exit(main())
