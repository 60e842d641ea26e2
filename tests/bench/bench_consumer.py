#!/usr/bin/python3
"""What the reference consumer costs per message, by handler; on SQS beside plain worker loops in Go and Python.

Usage: bench_consumer.py EXPORTER QUEUECTL [--messages N] [--exec-messages N] [--sqs-messages N] [--backlog N]
                         [--rabbitmq-messages N] [--turns N] [--only embedded|sqs|rabbitmq|backlog]

embedded  discard, coprocess, http and exec on a store of our own: messages per second, CPU per message, RSS.
sqs       the same, with ten outcomes per call, and two loops that receive 10, handle one by one and delete one by
          one: tests/bench/go (aws-sdk-go-v2; needs go) and boto3 (QE_TEST_PYTHON). The server is local-aws-sqs, one
          Node process: it is the slowest of all, so compare CPU, not seconds. Turns alternate.
rabbitmq  the same on a RabbitMQ of its own (a classic queue), beside pika's receive, handle, acknowledge, one by one.
backlog   RSS of the consumer on each of them, with a backlog of N messages, beside 10 000. On SQS it is a tenth of that, of
          which the first 20 000 are handled: that server gets slower with each message that it keeps.

CPU is user + system of the process itself; of a handler's own processes it is told apart. http posts to Debian's nginx,
which answers 204 (skipped without it)."""
import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_SECONDS = 900
SQS_BACKLOG_MESSAGES = 20000
TAIL = 20  # not waited for: local-aws-sqs keeps a lot of less than ten until the long poll's end

EMBEDDED = """
shutdown_timeout: 5s
defaults: {{poll_interval: 10s, poll_timeout: 5s}}
sources:
  - {{name: bench, type: embedded, path: {folder}/queues.db, queues: [{{name: orders}}]}}
consumers:
  - {{source: bench, queue: orders, workers: {workers}, handler: {handler}}}
"""
SQS = """
shutdown_timeout: 5s
defaults: {{poll_interval: 10s, poll_timeout: 5s}}
sources:
  - {{name: bench, type: sqs, region: eu-west-1, endpoint: "{url}", access_key_id: x, secret_access_key: xxxxxxxxxxxxxxxxxxxx,
     oldest_age: {{method: none}}}}
consumers:
  - {{source: bench, queue: orders, workers: {workers}, handler: {handler}}}
"""
RABBITMQ = """
shutdown_timeout: 5s
defaults: {{poll_interval: 10s, poll_timeout: 5s}}
sources:
  - {{name: bench, type: rabbitmq, management_url: "{url}", amqp_url: "amqp://127.0.0.1:{port}"}}
consumers:
  - {{source: bench, vhost: "/", queue: orders, workers: {workers}, handler: {handler}}}
"""
PIKA = """
import sys, time, pika
count = int(sys.argv[3])
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
channel = connection.channel()
channel.basic_qos(prefetch_count=10)
began, done = time.monotonic(), 0
for method, _, _ in channel.consume(sys.argv[2]):
    channel.basic_ack(method.delivery_tag)
    done += 1
    if done == count:
        break
channel.cancel()
print(f"{time.monotonic() - began:.3f}")
connection.close()
"""
COPROCESS = """
import sys
for line in sys.stdin:
    print('{"id":' + line[6:line.index(",")] + ',"result":"ack"}', flush=True)
"""
NGINX = """
daemon off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid; user root;
events {{ worker_connections 64; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""
BOTO3 = """
import sys, time, boto3
url, count = sys.argv[2], int(sys.argv[3])
sqs = boto3.client("sqs", endpoint_url=sys.argv[1], region_name="eu-west-1", aws_access_key_id="x",
                   aws_secret_access_key="x" * 20)
began, done = time.monotonic(), 0
while done < count:
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1,
                                 MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
    for message in answer.get("Messages", []):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        done += 1
print(f"{time.monotonic() - began:.3f}")
"""


def stat_of(pid):
    """(own seconds, seconds of its ended children, parent)"""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return ((int(fields[11]) + int(fields[12])) / TICKS, (int(fields[13]) + int(fields[14])) / TICKS, int(fields[1]))


def children_seconds(pid):
    total = stat_of(pid)[1]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                own, _, parent = stat_of(entry)
                total += own if parent == pid else 0
    return total


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")).group(1))


class Daemon:
    def __init__(self, exporter, config, folder):
        from daemon import free_port  # pylint: disable=import-outside-toplevel
        self.port = free_port()
        self.log = open(pathlib.Path(folder) / "daemon.log", "wb")
        self.process = subprocess.Popen([exporter, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{self.port}"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def processed(self):
        import http.client  # pylint: disable=import-outside-toplevel
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
        except OSError:
            return 0
        finally:
            connection.close()
        found = re.search(r"^queue_consumer_messages_processed_total\{[^}]*\} (\d+)", page, re.M)
        return int(found.group(1)) if found else 0

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def consume(exporter, config, folder, count):
    """Runs the daemon until `count` messages are processed: a row of numbers."""
    daemon = Daemon(exporter, config, folder)
    pid = daemon.process.pid
    began = time.monotonic()
    done, before, peak = 0, None, 0
    try:
        while done < count - TAIL:
            time.sleep(0.1)
            done = daemon.processed()
            if before is None and done > 0:  # the first moments are the program's start
                before = (time.monotonic(), done, stat_of(pid)[0], children_seconds(pid))
            peak = max(peak, rss_kib(pid))
            if time.monotonic() - began > PATIENCE_SECONDS or daemon.process.poll() is not None:
                sys.exit(f"{done} of {count} processed: see {folder}/daemon.log")
        after = (time.monotonic(), done, stat_of(pid)[0], children_seconds(pid))
    finally:
        daemon.stop()
    if after[1] - before[1] < count / 3:  # few: then with the program's start, which costs more
        before = (began, 0, 0.0, 0.0)
    messages = after[1] - before[1]
    return {"rate": messages / (after[0] - before[0]), "cpu_us": (after[2] - before[2]) / messages * 1e6,
            "children_us": (after[3] - before[3]) / messages * 1e6, "rss_mib": peak / 1024}


class Handlers:
    """The handlers to measure, as they stand in the configuration."""

    def __init__(self, folder):
        from daemon import free_port  # pylint: disable=import-outside-toplevel
        self.nginx = None
        self.all = {"discard": "{type: discard}"}
        program = pathlib.Path(folder) / "coprocess.py"
        program.write_text(COPROCESS, encoding="utf-8")
        self.all["coprocess"] = f"{{type: coprocess, command: [/usr/bin/python3, -S, {program}]}}"
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if nginx:
            port = free_port()
            conf = pathlib.Path(folder) / "nginx.conf"
            conf.write_text(NGINX.format(folder=folder, port=port), encoding="utf-8")
            self.nginx = subprocess.Popen([nginx, "-p", folder, "-c", str(conf)], stderr=subprocess.DEVNULL)
            self.all["http"] = f"{{type: http, url: 'http://127.0.0.1:{port}/'}}"
        else:
            print("no nginx: http is left out")
        self.all["exec"] = "{type: exec, command: [/bin/true]}"

    def stop(self):
        if self.nginx:
            self.nginx.terminate()
            self.nginx.wait()


def show(name, row):
    print(f"| {name} | {row['rate']:,.0f} | {row['cpu_us']:.1f} | {row['children_us']:.1f} | {row['rss_mib']:.1f} |",
          flush=True)


def head(title):
    print(f"\n{title}\n\n| handler | messages/s | CPU µs/message | of its processes | RSS MiB |\n|---|---|---|---|---|")


def fill(queuectl, config, count, *words):
    subprocess.run([queuectl, f"--config.file={config}", "send", "bench", "orders", "--body", "x" * 200, "--count", str(count),
                    *words], check=True, stdout=subprocess.DEVNULL)


def embedded(options, folder, handlers):
    head("embedded")
    for name, handler in handlers.all.items():
        for old in pathlib.Path(folder).glob("queues.db*"):
            old.unlink()
        path = pathlib.Path(folder) / "embedded.yml"
        path.write_text(EMBEDDED.format(folder=folder, workers=4, handler=handler), encoding="utf-8")
        count = options.exec_messages if name == "exec" else options.messages
        rows = []
        for _ in range(options.turns):
            fill(options.queuectl, path, count)
            rows.append(consume(options.exporter, path, folder, count))
        show(name, {key: statistics.median(row[key] for row in rows) for key in rows[0]})


def loop_row(command, count):
    """A plain loop's row: it prints the seconds it took."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    process.returncode = 0
    return {"rate": count / float(said), "cpu_us": (usage.ru_utime + usage.ru_stime) / count * 1e6, "children_us": 0,
            "rss_mib": usage.ru_maxrss / 1024}


def test_python():
    """The interpreter that has boto3 and pika; None: there is none."""
    python = os.environ.get("QE_TEST_PYTHON", str(ROOT / "build" / "venv" / "bin" / "python"))
    if pathlib.Path(python).exists():
        return python
    print(f"no {python}: Python's loops are left out")
    return None


def build_loops(folder):
    """{name: the start of its command}"""
    loops = {}
    if shutil.which("go"):
        program = pathlib.Path(folder) / "loop"
        subprocess.run(["go", "build", "-o", program, "."], cwd=ROOT / "tests" / "bench" / "go", check=True)
        loops["Go loop"] = [str(program)]
    else:
        print("no go: its loop is left out")
    python = test_python()
    if python:
        (pathlib.Path(folder) / "loop.py").write_text(BOTO3, encoding="utf-8")
        loops["boto3 loop"] = [python, str(pathlib.Path(folder) / "loop.py")]
    return loops


def call(url, operation, **body):
    import urllib.request  # pylint: disable=import-outside-toplevel
    request = urllib.request.Request(url, json.dumps(body).encode(), {
        "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=x"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


def sqs(options, folder, handlers):
    from local_sqs_server import LocalSqsServer  # pylint: disable=import-outside-toplevel
    loops = build_loops(folder)
    rows = {name: [] for name in [*handlers.all, *loops]}
    with LocalSqsServer() as server:
        for _ in range(options.turns):
            for name in rows:
                count = options.exec_messages if name == "exec" else options.sqs_messages
                url = call(server.url, "CreateQueue", QueueName="orders", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
                fill_sqs(server, url, count)
                if name in loops:
                    rows[name].append(loop_row([*loops[name], server.url, url, str(count)], count))
                else:
                    path = pathlib.Path(folder) / "sqs.yml"
                    path.write_text(SQS.format(url=server.url, workers=4, handler=handlers.all[name]), encoding="utf-8")
                    rows[name].append(consume(options.exporter, path, folder, count))
                call(server.url, "DeleteQueue", QueueUrl=url)
    head("sqs")
    middle = {name: {key: statistics.median(row[key] for row in lot) for key in lot[0]} for name, lot in rows.items()}
    for name, row in middle.items():
        show(name, row)
    if "Go loop" in middle:
        ratios = [go["cpu_us"] / ours["cpu_us"] for go, ours in zip(rows["Go loop"], rows["discard"])]
        print(f"\nmessages per CPU second, discard against the Go loop: {statistics.median(ratios):.2f} x "
              f"({', '.join(f'{ratio:.2f}' for ratio in ratios)}); messages per second: "
              f"{middle['discard']['rate'] / middle['Go loop']['rate']:.2f} x")


def fill_sqs(server, url, count):
    for start in range(0, count, 10):
        call(server.url, "SendMessageBatch", QueueUrl=url, Entries=[
            {"Id": str(n), "MessageBody": "x" * 200} for n in range(min(10, count - start))])


def backlog_of(options, folder, name, text, fill_it, most=None, share=1):
    """One row: `fill_it` puts so many into a new queue, for whom reads the configuration."""
    path = pathlib.Path(folder) / "backlog.yml"
    path.write_text(text, encoding="utf-8")
    for count in (10000, options.backlog // share):
        fill_it(path, count)
        show(f"{name}, {count} waiting", consume(options.exporter, path, folder, min(count, most or count)))


def backlog(options, folder, _handlers):
    from local_sqs_server import LocalSqsServer  # pylint: disable=import-outside-toplevel
    from rabbitmq_server import RabbitServer  # pylint: disable=import-outside-toplevel
    how = {"workers": 4, "handler": "{type: discard}"}
    head("backlog, discard")
    for old in pathlib.Path(folder).glob("queues.db*"):
        old.unlink()
    backlog_of(options, folder, "embedded", EMBEDDED.format(folder=folder, **how),
               lambda path, count: fill(options.queuectl, path, count))
    with RabbitServer() as server:
        server.queue("orders")
        backlog_of(options, folder, "rabbitmq", RABBITMQ.format(url=server.url, port=server.amqp_port, **how),
                   lambda path, count: fill(options.queuectl, path, count, "--vhost", "/"))
    with LocalSqsServer() as server:
        url = call(server.url, "CreateQueue", QueueName="orders", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
        backlog_of(options, folder, "sqs", SQS.format(url=server.url, **how), lambda _, count: fill_sqs(server, url, count),
                   SQS_BACKLOG_MESSAGES, share=10)


def rabbitmq(options, folder, handlers):
    from rabbitmq_server import RabbitServer  # pylint: disable=import-outside-toplevel
    rows = {name: [] for name in handlers.all}
    python = test_python()
    if python:
        (pathlib.Path(folder) / "pika.loop.py").write_text(PIKA, encoding="utf-8")
        rows["pika loop"] = []
    server = RabbitServer().start()
    try:
        server.queue("orders")
        for _ in range(options.turns):
            for name, lot in rows.items():
                path = pathlib.Path(folder) / "rabbitmq.yml"
                path.write_text(RABBITMQ.format(url=server.url, port=server.amqp_port, workers=4,
                                                handler=handlers.all.get(name, "{type: discard}")), encoding="utf-8")
                count = options.exec_messages if name == "exec" else options.rabbitmq_messages
                fill(options.queuectl, path, count, "--vhost", "/")
                if name == "pika loop":
                    lot.append(loop_row([python, f"{folder}/pika.loop.py", str(server.amqp_port), "orders", str(count)], count))
                else:
                    lot.append(consume(options.exporter, path, folder, count))
    finally:
        server.stop()
    head("rabbitmq")
    for name, lot in rows.items():
        show(name, {key: statistics.median(row[key] for row in lot) for key in lot[0]})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("exporter", type=os.path.abspath)
    parser.add_argument("queuectl", type=os.path.abspath)
    parser.add_argument("--messages", type=int, default=100000)
    parser.add_argument("--exec-messages", type=int, default=3000)
    parser.add_argument("--sqs-messages", type=int, default=5000)
    parser.add_argument("--rabbitmq-messages", type=int, default=50000)
    parser.add_argument("--backlog", type=int, default=1000000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=("embedded", "sqs", "rabbitmq", "backlog"))
    options = parser.parse_args()
    os.environ.setdefault("QE_EXPORTER", options.exporter)
    os.environ.setdefault("QE_QUEUECTL", options.queuectl)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="qe-bench-") as folder:
        handlers = Handlers(folder)
        try:
            for name, part in (("embedded", embedded), ("sqs", sqs), ("rabbitmq", rabbitmq), ("backlog", backlog)):
                if options.only in (None, name):
                    part(options, folder, handlers)
        finally:
            handlers.stop()


if __name__ == "__main__":
    main()
