"""A proxy between the daemon and a server that speaks AWS's JSON protocol, which breaks what it is told to.

    with MotoServer() as moto, FaultProxy(moto.url) as proxy:
        proxy.add("reset", queue="orders")                        every request about one queue
        proxy.add("throttled", operation="GetQueueAttributes", percent=20)
        proxy.clear()                                             a good proxy again

Also: `clock_shift_seconds` shifts the clock of the answers' Date headers, and refuses signatures of another
time as AWS does; keys in `expired_keys` are refused as AWS refuses an expired session; GET /credentials gives
`credentials`, as a container's endpoint does. Signatures stay what they are: the Host header is passed on.
With `remember`, what GetQueueAttributes answered about a queue is answered again, until another request names that
queue: moto takes some 10 ms for each, so that a thousand queues would be ten seconds per poll."""
import datetime
import email.utils
import http.client
import http.server
import json
import os
import random
import re
import socket
import struct
import threading
import time

SKEW_MAX_SECONDS = 15 * 60
SLOW_BYTE_SECONDS = 0.02
PATIENCE_SECONDS = 60
_HOP_BY_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


def aws_error(status, code, message, prefix="com.amazonaws.sqs", legacy=None):
    """(status, headers, body) of an error as AWS writes it."""
    return status, {"Content-Type": "application/x-amz-json-1.0",
                    "x-amzn-query-error": f"{legacy or code};Sender"}, json.dumps(
        {"__type": f"{prefix}#{code}", "message": message}).encode()


CORAL = "com.amazon.coral.service"
# Faults that are whole answers.
ANSWERS = {
    "throttled": aws_error(403, "RequestThrottled", "Request is throttled."),
    "throttling": aws_error(400, "ThrottlingException", "Rate exceeded", CORAL, "Throttling"),
    "denied": aws_error(403, "AccessDeniedException", "User is not authorized to perform this", CORAL, "AccessDenied"),
    "gone": aws_error(400, "QueueDoesNotExist", "The specified queue does not exist.",
                      legacy="AWS.SimpleQueueService.NonExistentQueue"),
    "error500": aws_error(500, "InternalFailure", "We encountered an internal error. Please try again.", CORAL),
    "error503": (503, {"Content-Type": "text/html"}, b"<html><body>503 Service Unavailable</body></html>"),
    "garbage": (200, {"Content-Type": "application/x-amz-json-1.0"}, b"\x00\xff{\"Attributes\": no JSON"),
    "wrong": (200, {"Content-Type": "application/x-amz-json-1.0"}, b"[1, {\"Attributes\": \"a list?\"}]"),
    "empty": (200, {"Content-Type": "application/x-amz-json-1.0"}, b"{}"),
    "large": (200, {"Content-Type": "application/x-amz-json-1.0"}, b" " * (80 << 20)),
}
# Faults that are something else: methods of the handler.
DEEDS = ("reset", "close", "not_http", "half", "half_headers", "slow", "never", "delay")
FAULTS = (*ANSWERS, *DEEDS)


class Rule:
    def __init__(self, fault, operation, queue, percent):
        assert fault in FAULTS, fault
        self.fault, self.operation, self.queue, self.percent = fault, operation, queue, percent
        self.hits = 0

    def fits(self, operation, queue, dice):
        return (self.operation in (None, operation) and self.queue in (None, queue)
                and dice.random() * 100 < self.percent)


class FaultProxy:
    def __init__(self, upstream, seed=1):
        self.upstream = upstream.removeprefix("http://")
        self.lock = threading.Lock()  # guards all below
        self.rules, self.dice = [], random.Random(seed)
        self.requests = {}  # operation -> how many
        self.clock_shift_seconds = 0
        self.remember, self.memory = False, {}  # queue -> (body, answer)
        self.delay_seconds = 0.5  # of the fault "delay"
        self.expired_keys, self.seen_keys = set(), set()
        self.credentials = None
        self.stopping = threading.Event()
        self.server = self.thread = None

    def add(self, fault, operation=None, queue=None, percent=100):
        """From now on; the first rule that fits a request counts."""
        rule = Rule(fault, operation, queue, percent)
        with self.lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        with self.lock:
            self.rules.clear()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def now(self):
        return time.time() + self.clock_shift_seconds

    def count(self, operation=None):
        with self.lock:
            return sum(self.requests.values()) if operation is None else self.requests.get(operation, 0)

    def choose(self, operation, queue):
        with self.lock:
            self.requests[operation] = self.requests.get(operation, 0) + 1
            for rule in self.rules:
                if rule.fits(operation, queue, self.dice):
                    rule.hits += 1
                    return rule.fault
        return None

    def refusal(self, headers):
        """What AWS's front door says to credentials and time of a request; None: come in."""
        authorization = headers.get("Authorization", "")
        key = re.search(r"Credential=([^/]+)/", authorization)
        with self.lock:
            if key is not None:
                self.seen_keys.add(key[1])
                if key[1] in self.expired_keys:
                    return aws_error(403, "ExpiredTokenException",
                                     "The security token included in the request is expired", CORAL, "ExpiredToken")
        signed = headers.get("X-Amz-Date")
        if signed is None or self.clock_shift_seconds == 0:
            return None
        when = datetime.datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        ours = datetime.datetime.fromtimestamp(self.now(), datetime.timezone.utc)
        if abs((ours - when).total_seconds()) <= SKEW_MAX_SECONDS:
            return None
        stamp = "%Y%m%dT%H%M%SZ"
        edge = ours - datetime.timedelta(seconds=SKEW_MAX_SECONDS)
        words = (f"Signature expired: {signed} is now earlier than {edge.strftime(stamp)}"
                 f" ({ours.strftime(stamp)} - 15 min.)") if when < ours else (
                 f"Signature not yet current: {signed} is still later than {ours.strftime(stamp)} + 15 min.")
        return aws_error(403, "InvalidSignatureException", words, CORAL, "SignatureDoesNotMatch")

    def __enter__(self):
        proxy = self

        class ProxyHandler(Handler):
            def setup(self):
                self.proxy, self.upstream = proxy, None
                super().setup()

        self.server = Server(("127.0.0.1", 0), ProxyHandler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that went away is no news here."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of the daemon, and one of its own to the server behind."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    timeout = PATIENCE_SECONDS * 5

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Silence: the daemon's log is what matters."""

    def finish(self):
        if self.upstream is not None:
            self.upstream.close()
        super().finish()

    def do_GET(self):  # pylint: disable=invalid-name
        if self.path != "/credentials":
            return self.answer(404, {}, b"")
        return self.answer(200, {"Content-Type": "application/json"}, json.dumps(self.proxy.credentials).encode())

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        queue = re.search(rb'"QueueUrl": ?"[^"]*/([^"/]+)"', body)
        queue = queue[1].decode() if queue else None
        fault = self.proxy.choose(operation, queue)
        refusal = self.proxy.refusal(self.headers)
        if fault in ANSWERS or (fault is None and refusal):
            return self.answer(*(ANSWERS.get(fault) or refusal))
        if fault in ("reset", "never", "close", "not_http"):
            return getattr(self, f"do_{fault}")()
        if fault == "delay":
            self.proxy.stopping.wait(self.proxy.delay_seconds)
        answer = self.recall(operation, queue, body) or self.forward(body)
        self.keep(operation, queue, body, answer)
        return getattr(self, f"do_{fault}")(*answer) if fault in DEEDS and fault != "delay" else self.answer(*answer)

    def recall(self, operation, queue, body):
        with self.proxy.lock:
            if operation != "GetQueueAttributes":
                self.proxy.memory.pop(queue, None)
            known, answer = self.proxy.memory.get(queue, (None, None))
        return answer if known == body else None

    def keep(self, operation, queue, body, answer):
        if self.proxy.remember and operation == "GetQueueAttributes" and answer[0] == 200:
            with self.proxy.lock:
                self.proxy.memory[queue] = (body, answer)

    def forward(self, body):
        for attempt in (1, 2):
            if self.upstream is None:
                self.upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=PATIENCE_SECONDS)
            try:
                self.upstream.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("connection", "accept-encoding"):
                        self.upstream.putheader(name, value)
                self.upstream.endheaders(body)
                answer = self.upstream.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()
            except (http.client.HTTPException, OSError):
                self.upstream.close()  # moto closes now and then
                self.upstream = None
                if attempt == 2:
                    raise
        raise AssertionError("not reached")

    def head(self, status, headers, length):
        self.send_response_only(status)
        self.send_header("Date", email.utils.formatdate(self.proxy.now(), usegmt=True))
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, status, headers, body):
        self.head(status, headers, len(body))
        self.wfile.write(body)

    # --- deeds ---

    def do_reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())  # past the polite shutdown() of the server class
        self.close_connection = True

    def do_close(self):
        self.close_connection = True

    def do_not_http(self):
        self.wfile.write(b"\x01\x02 this is no HTTP\r\n\r\n")
        self.close_connection = True

    def do_never(self):
        """Until the daemon gives up, or the test ends."""
        self.connection.settimeout(0.1)
        self.close_connection = True
        while not self.proxy.stopping.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue

    def do_half(self, status, headers, body):
        self.head(status, headers, len(body))
        self.wfile.write(body[:len(body) // 2])
        self.close_connection = True

    def do_half_headers(self, status, _headers, _body):
        self.wfile.write(f"HTTP/1.1 {status} OK\r\nContent-Le".encode())
        self.close_connection = True

    def do_slow(self, status, headers, body):
        """Headers at once, then byte by byte: longer than any poll."""
        self.head(status, headers, len(body) + 10000)
        self.close_connection = True
        for byte in body + b" " * 10000:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.proxy.stopping.wait(SLOW_BYTE_SECONDS):
                return
