"""What a consumer promises on every broker, apart from handlers (handler_case.py) and order (order_case.py)."""
import collections
import http.server
import json
import re
import signal
import sys
import threading
import time

from daemon import wait_for
from handler_case import of, write_program

# Writes down what it does with each message: when, what, and the message's name, the first word of its body. $1: the folder,
# in which `hold` keeps it from an answer, and `down` makes all fail; $2: what it writes for a message that is done; $3: how
# long each takes, in seconds.
WORKER = """
import json, os, signal, sys, time
folder, done, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
out = os.open(folder + "/said", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def say(word, what):
    os.write(out, f"{time.monotonic():.3f} {word} {what}\\n".encode())

def is_there(name):
    return os.path.exists(folder + "/" + name)

def handle(call):
    name = call["message"]["body"].split()[0]
    say("begun", name)
    say("id", name + "=" + call["message"]["id"])
    if name.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(pause)
    while is_there("hold"):
        time.sleep(0.02)
    if is_there("down") or (name.startswith("twice") and not is_there(name)):
        open(folder + "/" + name, "w").close()
        say("failed", name)
        return {"id": call["id"], "result": "retry"}
    if name.startswith("bad"):
        say("refused", name)
        return {"id": call["id"], "result": "reject", "reason": "bad_address: no such street"}
    say(done, name)
    return {"id": call["id"], "result": "ack", "reply": name.upper()}

for line in sys.stdin:
    calls = json.loads(line)
    if isinstance(calls, list):
        say("batch", len(calls))
        print(json.dumps([handle(call) for call in reversed(calls)]), flush=True)
    else:
        print(json.dumps(handle(calls)), flush=True)
"""
CONSUMER = """
consumers:
  - source: {source}
    queue: {queue}
    vhost: "{vhost}"
    workers: {workers}
    reasons: [bad_address]
    handler: {{type: {handler}}}
{keys}
"""


class WithConsumer:
    """For a test case of a driver, which says: `source`, `vhost`, make_pair() -> (queue, DLQ), write_handler_config(extra),
    send_all(queue, bodies), left(queue) -> messages; for replies also
    `request_names_its_queue`, make_reply_queue() -> queue,
    ask(queue, body, reply_to, correlation_id), replies(queue) -> [(body, correlation id)]."""

    def setUp(self):
        super().setUp()
        self.queue, self.dlq = self.make_pair()
        (self.folder / "worker.py").write_text(WORKER, encoding="utf-8")

    def coprocess(self, done="done", pause=0.0):
        words = [sys.executable, "-S", str(self.folder / "worker.py"), str(self.folder), done, str(pause)]
        return f"coprocess, command: {json.dumps(words)}"

    def configure_consumer(self, *keys, workers=4, handler=None, retry="retry: {initial: 10ms, max: 20ms}"):
        return self.write_handler_config(CONSUMER.format(
            source=self.source, queue=self.queue, vhost=self.vhost, workers=workers, handler=handler or self.coprocess(),
            keys="".join(f"    {key}\n" for key in (*keys, retry))))

    def consume(self, *keys, **more):
        return self.daemon(config=self.configure_consumer(*keys, **more))

    def value(self, daemon, family, **labels):
        return of(daemon, f"queue_consumer_{family}", self.source, self.queue, vhost=self.vhost, **labels)

    def said(self, *words):
        """[(when, name)] of the lines with one of these words."""
        path = self.folder / "said"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [(float(when), name) for when, word, name in (line.split(" ", 2) for line in lines) if word in words]

    def names(self, *words):
        return [name for _, name in self.said(*words)]

    def wait_done(self, names, *words):
        wait_for("all are handled", lambda: set(self.names(*words or ("done",))) >= set(names), 60)

    def wait_nothing_left(self):
        wait_for("nothing is left", lambda: self.left(self.queue) == 0)

    def check_once(self, names):
        self.assertEqual([name for name, count in collections.Counter(names).items() if count > 1], [], "none twice")


class Limits(WithConsumer):
    """How much, and how fast."""

    def test_rate_limit_is_kept_and_used(self):
        rate, names = 20, [f"m{number}" for number in range(80)]
        nominal = (len(names) - 1) / rate
        self.send_all(self.queue, names)
        started = time.monotonic()
        self.consume(f"rate_limit: {rate}")
        self.wait_done(names)
        times = [when for when, _ in self.said("begun")]
        self.assertGreaterEqual(times[-1] - started, nominal - 1, "one second's worth may be there at once")
        self.assertLess(times[-1] - times[0], 2 * nominal, "it is used")

    def test_max_in_hand_bounds_what_workers_get(self):
        size, fit = 40_000, 3
        names = [f"m{number}" for number in range(30)]
        padding = " " + "x" * size
        self.send_all(self.queue, [name + padding for name in names])
        daemon = self.consume("max_in_hand: 128KiB", workers=8, handler=self.coprocess(pause=0.02))
        self.wait_done(names)  # it has seen how large they are
        (self.folder / "hold").touch()
        more = [f"n{number}" for number in range(12)]
        self.send_all(self.queue, [name + padding for name in more])
        wait_for("as many as fit are in hand", lambda: self.value(daemon, "workers_busy") == fit)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            self.assertEqual(self.value(daemon, "messages_in_progress"), fit)
        (self.folder / "hold").unlink()
        self.wait_done(more)
        self.send_all(self.queue, ["large " + "x" * 200_000])
        self.wait_done(["large"])  # alone
        self.wait_nothing_left()

    def circuit(self, daemon):
        """The state that holds, on one page; the series of all are there."""
        states = {re.search('state="(.*?)"', name)[1]: value for name, value in daemon.values().items()
                  if name.startswith("queue_consumer_circuit_state{")}
        self.assertEqual(set(states), {"closed", "open", "half_open"})
        self.assertEqual(sorted(states.values()), [0, 0, 1], states)
        return next(state for state, value in states.items() if value)

    def test_circuit_stops_receiving_while_handling_fails_and_a_probe_closes_it(self):
        pause, names = 1.0, [f"m{number}" for number in range(40)]
        (self.folder / "down").touch()
        daemon = self.consume("circuit_breaker: {failures: 5, pause: 1s}", handler=self.coprocess(pause=0.05))
        self.assertEqual(self.circuit(daemon), "closed")
        self.send_all(self.queue, names)
        wait_for("it opens", lambda: self.circuit(daemon) == "open")

        def pauses():
            times = [when for when, _ in self.said("begun")]
            return [later - earlier for earlier, later in zip(times, times[1:])]
        wait_for("it probes", lambda: sum(gap > 0.9 * pause for gap in pauses()) >= 3)
        gaps = pauses()
        first = next(index for index, gap in enumerate(gaps) if gap > 0.9 * pause)
        self.assertGreater(min(gaps[first:]), 0.9 * pause, "one message for each pause")
        self.assertLess(first, len(names), "what was in hand when it opened is handled, the rest waits")
        (self.folder / "hold").touch()
        wait_for("a probe is in work", lambda: self.circuit(daemon) == "half_open"
                 and self.value(daemon, "workers_busy") == 1)
        time.sleep(0.3)
        self.assertEqual((self.circuit(daemon), self.value(daemon, "messages_in_progress")), ("half_open", 1))
        (self.folder / "down").unlink()
        (self.folder / "hold").unlink()
        wait_for("it is closed", lambda: self.circuit(daemon) == "closed")
        self.wait_done(names)
        self.wait_nothing_left()
        log = daemon.log()
        self.assertIn("circuit open: handling fails", log)
        self.assertIn("circuit closed: handling works again", log)


class Settling(WithConsumer):
    """What becomes of a message."""

    def test_a_batch_has_a_result_per_message(self):
        names = [f"bad{number}" if number == 7 else f"twice{number}" if number == 3 else f"m{number}" for number in range(20)]
        self.send_all(self.queue, names)
        daemon = self.consume("batch: {size: 5, wait: 300ms}", workers=1)
        self.wait_done(set(names) - {"bad7"})
        wait_for("the letter", lambda: self.left(self.dlq) == 1)
        self.wait_nothing_left()
        self.check_once(self.names("done", "refused"))
        self.assertEqual((set(self.names("failed")), set(self.names("refused"))), ({"twice3"}, {"bad7"}))
        self.assertEqual(self.value(daemon, "messages_dead_lettered_total", reason="bad_address"), 1)
        sizes = [int(size) for size in self.names("batch")]
        self.assertLessEqual(max(sizes), 5)
        self.assertLess(len(sizes), len(names) / 2, f"together: {sizes}")

    @staticmethod
    def kill(daemon):
        daemon.process.kill()
        daemon.process.wait()
        daemon.process = None

    def test_at_most_once_loses_what_is_cut_short_and_says_so(self):
        daemon = self.consume("delivery: at_most_once", workers=1, retry="")
        self.assertIn("acknowledged before it is handled", daemon.log())
        self.send_all(self.queue, ["kill1", "after"])
        self.wait_done(["after"])
        self.assertRegex(daemon.log(), "is lost .*at_most_once")
        (self.folder / "hold").touch()
        self.send_all(self.queue, ["cut"])
        wait_for("it is begun", lambda: "cut" in self.names("begun"))
        wait_for("it is acknowledged already", lambda: self.left(self.queue) == 0)
        self.kill(daemon)
        self.wait_nothing_left()
        (self.folder / "hold").unlink()
        self.consume("delivery: at_most_once", workers=1, retry="")
        self.send_all(self.queue, ["last"])
        self.wait_done(["last"])
        self.wait_nothing_left()
        begun = self.names("begun")
        self.assertEqual((begun.count("kill1"), begun.count("cut")), (1, 1), "never twice")
        wait_for("nor is it dead-lettered", lambda: self.left(self.dlq) == 0)

    def test_a_reply_goes_where_it_is_asked_for_and_says_to_what(self):
        replies = self.make_reply_queue()
        self.consume()
        self.send_all(self.queue, ["nobody-asks"])
        self.ask(self.queue, "hello", replies, "c-17")
        self.ask(self.queue, "again", replies, None)
        got = []
        wait_for("the replies", lambda: got.extend(self.replies(replies)) or len(got) >= 2)
        self.wait_done(["nobody-asks"])
        self.wait_nothing_left()
        got += self.replies(replies)
        [nameless] = [line.split("=", 1)[1] for line in self.names("id") if line.startswith("again=")]
        self.assertEqual(sorted(got), sorted([("HELLO", "c-17"), ("AGAIN", nameless)]))
        done = self.queuectl("request", self.source, self.queue, "--body", "hello", "--timeout", "20s",
                             *(("--reply-to", replies) if self.request_names_its_queue else ()))
        self.assertEqual(done.stdout.strip(), "HELLO")

    def hold_with_some_unbegun(self, daemon, workers):
        """All workers are kept from an answer, and some messages wait for them."""
        def try_to():
            (self.folder / "hold").touch()
            time.sleep(0.3)  # what is done is settled
            if self.value(daemon, "workers_busy") == workers < self.value(daemon, "messages_in_progress"):
                return True
            (self.folder / "hold").unlink()
            self.wait_begun(25)
            return False
        self.wait_begun(25)
        wait_for("some wait for a worker", try_to)

    def wait_begun(self, count):
        """So many more: a handler that was kept from an answer looks slow, for which nothing is fetched ahead, until then."""
        before = len(self.said("begun"))
        wait_for("it works", lambda: len(self.said("begun")) >= before + count)

    def test_a_reload_changes_workers_and_handler_and_drops_nothing(self):
        names = [f"m{number}" for number in range(500)]
        words = ("first", "second", "third", "fourth")
        self.send_all(self.queue, names)
        append = write_program(self.folder, "append", '#!/bin/sh\nread -r name\necho "0 fourth $name" >>"$1/said"\n')
        handlers = [self.coprocess(word, 0.03) for word in words[:3]] + [f"exec, command: [{append}, {self.folder}]"]
        daemon, workers = self.consume(workers=2, handler=handlers[0]), 2
        for word, handler, next_workers in zip(words, handlers[1:], (6, 2, 4)):
            wait_for("it works", lambda: self.names(word))
            self.hold_with_some_unbegun(daemon, workers)
            released = self.value(daemon, "messages_released_total")
            workers = next_workers
            self.configure_consumer(workers=workers, handler=handler)
            daemon.signal(signal.SIGHUP)
            wait_for("what is not begun goes back", lambda: self.value(daemon, "messages_released_total") > released)
            (self.folder / "hold").unlink()
            wait_for("the old one is gone", lambda: self.value(daemon, "workers") == workers)
        wait_for("all are handled", lambda: set(self.names(*words)) == set(names), 60)
        self.wait_nothing_left()
        self.check_once(self.names(*words))
        wait_for("none is dead-lettered", lambda: self.left(self.dlq) == 0)
        for word in words:
            self.assertGreater(len(self.names(word)), 0, word)


class Answers(http.server.BaseHTTPRequestHandler):
    """As the body says, the first time; well the second time."""

    protocol_version = "HTTP/1.1"  # keeps the connection

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = self.server.asked
        asked.append((time.monotonic(), body, dict(self.headers), self.client_address))
        is_first = [name for _, name, *_ in asked].count(body) == 1
        if body == "cut" and is_first:
            self.close_connection = True
            return
        self.send_response({"bad": 422, "busy": 503, "many": 429, "broken": 500}.get(body, 200)
                           if is_first or body == "bad" else 200)
        if body == "bad":
            self.send_header("X-Queue-Reason", "bad_address: no such street")
        if body in ("busy", "many"):
            self.send_header("Retry-After", "2")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class OverHttp(WithConsumer):
    def start_server(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def test_http_posts_each_with_its_facts_and_heeds_the_answer(self):
        server = self.start_server()
        daemon = self.consume(handler=f"http, url: 'http://127.0.0.1:{server.server_port}/orders', timeout: 20s")
        good = [f"m{number}" for number in range(30)]
        again = ["busy", "many", "broken", "cut"]
        self.send_all(self.queue, [*again, "bad", *good])

        def times(body):
            return [when for when, name, *_ in server.asked if name == body]
        wait_for("all are asked", lambda: all(times(body) for body in good) and all(len(times(body)) == 2 for body in again))
        wait_for("the letter", lambda: self.left(self.dlq) == 1)
        self.wait_nothing_left()
        self.check_once([name for _, name, *_ in server.asked if name not in again])
        for body in ("busy", "many"):
            first, second = times(body)
            self.assertGreaterEqual(second - first, 1.9, f"{body} asked for 2 s")
        self.assertEqual(self.value(daemon, "messages_dead_lettered_total", reason="bad_address"), 1)
        # On a connection that was used before, what is cut off is sent again at once, and is no failure.
        self.assertIn(self.value(daemon, "messages_failed_total", reason="handler_error"), (len(again) - 1, len(again)))
        for _, _, headers, _ in server.asked:
            self.assertEqual((headers["X-Queue-Source"], headers["X-Queue-Name"]), (self.source, self.queue))
            self.assertTrue(headers["X-Queue-Message-Id"])
        self.assertLessEqual(len({connection for *_, connection in server.asked}), 4 + len(again), "they are kept")
