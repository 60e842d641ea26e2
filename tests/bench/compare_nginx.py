#!/usr/bin/python3
"""GET latency of a ready page, ours against nginx with the same bytes as static files.

Usage: compare_nginx.py BENCH_HTTP [--queues N] [--requests N] [--limit RATIO]

One client, one kept-alive connection to each, requests in turn, so that whatever else the machine
does hits both alike. nginx is Debian's, sendfile and gzip_static on. With --limit the exit code is 1
when the p50 ratio of either coding is above it."""
import argparse
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

NGINX_CONF = """
daemon off; worker_processes 1; error_log {root}/error.log; pid {root}/nginx.pid; {user}
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; gzip_static on;
  open_file_cache max=10 inactive=1h; default_type text/plain;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}/www; }}
}}
"""


class Client:
    """Reads into one buffer and looks at nothing but the length."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.buffer = bytearray(1 << 20)

    def get(self, gzip):
        coding = "Accept-Encoding: gzip\r\n" if gzip else ""
        request = f"GET /metrics HTTP/1.1\r\nHost: a\r\n{coding}\r\n".encode()
        start = time.perf_counter()
        self.socket.sendall(request)
        have, end = 0, -1
        while end < 0:
            have += self.read(memoryview(self.buffer)[have:])
            end = self.buffer.find(b"\r\n\r\n", 0, have)
        head = bytes(self.buffer[:end]).decode("latin-1")
        size = int(re.search(r"(?i)content-length: (\d+)", head).group(1))
        left = size - (have - end - 4)
        while left > 0:
            left -= self.read(self.buffer)
        seconds = time.perf_counter() - start
        if not head.startswith("HTTP/1.1 200") or gzip != ("content-encoding: gzip" in head.lower()):
            sys.exit(f"unexpected answer: {head}")
        return seconds, size

    def read(self, into):
        count = self.socket.recv_into(into)
        if count == 0:
            sys.exit("the server closed the connection")
        return count


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_nginx(root):
    port = free_port()
    # Started by root it would drop to www-data, which may not enter the temporary directory.
    user = "user root;" if subprocess.check_output(["id", "-u"]).strip() == b"0" else ""
    (root / "nginx.conf").write_text(NGINX_CONF.format(root=root, port=port, user=user))
    nginx = subprocess.Popen(["nginx", "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")])
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return nginx, port
        time.sleep(0.02)
    nginx.terminate()
    sys.exit("nginx did not start: " + (root / "error.log").read_text())


def percentile(seconds, share):
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


def compare(ours, theirs, gzip, requests):
    times = ([], [])
    for client in (ours, theirs):
        client.get(gzip)
    for i in range(requests):
        # Turn about, so that neither is always the one behind the other.
        for which in ((0, 1), (1, 0))[i % 2]:
            seconds, size = (ours, theirs)[which].get(gzip)
            times[which].append(seconds)
    row = [percentile(times[which], share) for share in (0.5, 0.99) for which in (0, 1)]
    print(f"| {'gzip' if gzip else 'identity':8} | {size:9} | {row[0]:9.3f} | {row[1]:10.3f} | {row[0] / row[1]:5.2f} "
          f"| {row[2]:9.3f} | {row[3]:10.3f} | {row[2] / row[3]:5.2f} |")
    return row[0] / row[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("--queues", type=int, default=10000)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--limit", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "www").mkdir()
        serve = subprocess.Popen([options.bench, "--serve", str(options.queues), str(root / "www/metrics"),
                                  str(root / "www/metrics.gz")], stdout=subprocess.PIPE, text=True)
        nginx = None
        try:
            port = int(serve.stdout.readline() or sys.exit("bench_http did not start"))
            nginx, nginx_port = start_nginx(root)
            print(f"{options.queues} queues, {options.requests} requests each, in turn; milliseconds")
            print("| coding   |     bytes | ours p50  | nginx p50  | ratio | ours p99  | nginx p99  | ratio |")
            print("|----------|-----------|-----------|------------|-------|-----------|------------|-------|")
            ratios = [compare(Client(port), Client(nginx_port), gzip, options.requests) for gzip in (False, True)]
        finally:
            for child in (serve, nginx):
                if child is not None:
                    child.send_signal(signal.SIGTERM)
                    child.wait(10)
    return 1 if options.limit is not None and max(ratios) > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
