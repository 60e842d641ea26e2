#!/usr/bin/python3
"""What the daemon says when RabbitMQ is not well: the broker is killed, statistics or a plugin are off, and what only a
proxy or a broken server does: late, cut and foreign answers. A cluster's node: test_rabbitmq_nodes.py."""
import http.client
import http.server
import threading
import time
import unittest

from rabbitmq_case import Watching, WithRabbit, of_source, series, wait_for

# pylint: disable=wrong-import-position
from child_server import free_port


class Killed(WithRabbit):
    def test_a_source_is_down_while_its_broker_is_and_comes_back(self):
        self.rabbit.queue("orders")
        self.rabbit.queue("work", kind="quorum")
        self.rabbit.publish("orders", 2, delivery_mode=2)
        self.rabbit.publish("work", 3)
        # It lists every 5 s: what it knows of queues is good for 15 s.
        daemon = self.watch(self.rabbit.url, discovery=5)
        depths = {series("queue_messages_ready", "orders"): 2, series("queue_messages_ready", "work"): 3}
        self.wait_values("depths", daemon, depths)
        self.rabbit.crash()
        self.wait_values("down", daemon, {of_source("queue_source_up"): 0, series("queue_up", "orders"): 0})
        self.assertGreater(daemon.value(of_source("queue_exporter_poll_failures_total", reason="network")), 0)
        wrong = []
        stop = threading.Event()

        def look():  # a broker that has just begun tells nothing, or 0: none of it may be shown
            while not stop.wait(0.2):
                page = daemon.values()
                wrong.extend(name for name, value in depths.items() if page.get(name, value) != value)
        thread = threading.Thread(target=look)
        thread.start()
        try:
            self.rabbit.start()
            self.wait_values("up again", daemon, {**depths, of_source("queue_source_up"): 1})
        finally:
            stop.set()
            thread.join()
        self.assertEqual(wrong, [], "numbers that the broker never had")
        # The API's plugin is switched off: what can be read without it stays, but what is new would not be seen.
        self.addCleanup(self.rabbit.wait_ready)
        self.addCleanup(self.rabbit.ctl, "enable", "rabbitmq_management", program="rabbitmq-plugins")
        self.rabbit.ctl("disable", "rabbitmq_management", program="rabbitmq-plugins")
        wait_for("the nodes' metrics are read", lambda: "method=metrics" in daemon.log())
        failed = of_source("queue_exporter_poll_failures_total", reason="network")
        before = daemon.value(failed)
        daemon.wait_value(failed, lambda n: n > before)
        self.wait_values("read, not listed", daemon, {
            **depths, series("queue_up", "orders"): 1, of_source("queue_source_up"): 1,
            of_source("queue_source_method_info", method="metrics"): 1})
        self.assertRegex(daemon.log(), 'error="list: ')
        self.wait_values("not listed for long", daemon, {
            **depths, series("queue_up", "orders"): 1, of_source("queue_source_up"): 0})
        self.assertIn(f"127.0.0.1:{self.rabbit.management_port}", daemon.log())
        other = self.watch(self.rabbit.url)  # which knows no queue yet
        other.wait_value(of_source("queue_exporter_poll_failures_total", reason="network"), lambda n: n and n > 0)
        self.assertEqual(other.value(of_source("queue_source_up")), 0)
        self.assertIn(str(self.rabbit.management_port), other.log())


class StatisticsOff(WithRabbit):
    more = "management_agent.disable_metrics_collector = true\n"

    def test_depths_are_shown_all_the_same(self):
        self.rabbit.queue("orders")
        self.rabbit.publish("orders", 2)
        daemon = self.watch(self.rabbit.url, "    method: totals\n")
        self.wait_values("totals", daemon, {series("queue_messages_ready", "orders"): 2,
                                            of_source("queue_source_up"): 1})
        self.assertEqual(daemon.value(of_source("queue_exporter_api_requests_total",
                                                operation="queue_statistics")), 0)
        daemon.stop()
        daemon = self.watch(self.rabbit.url)
        self.wait_values("by itself", daemon, {series("queue_messages_ready", "orders"): 2,
                                               of_source("queue_source_up"): 1})
        self.assertIsNone(daemon.value(series("queue_messages_published_total", "orders")))
        self.assertRegex(daemon.log(), "queues are read, but not all.*statistics are off")
        daemon.stop()
        daemon = self.watch(self.rabbit.url, "    method: statistics\n")
        daemon.wait_value(of_source("queue_exporter_poll_failures_total", reason="unsupported"), lambda n: n and n > 0)
        self.assertIn("choose method auto", daemon.log())


class Fake(http.server.BaseHTTPRequestHandler):
    """Answers everything alike: `body`, after `seconds`, of which only `cut` bytes when that is set."""

    status, body, seconds, cut = 200, b"[]", 0, None

    def do_GET(self):  # pylint: disable=invalid-name
        self.fake()

    def fake(self):
        self.server.stopping.wait(self.seconds)
        try:
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body[:self.cut])
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class Between(Fake):
    """Hands on what is asked of `upstream`, until `breaks` (a path's beginning) is set; of that it answers as a Fake."""

    upstream, breaks = None, None

    def do_GET(self):
        if self.breaks and self.path.startswith(self.breaks):
            self.fake()
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            connection.request("GET", self.path, headers={"Authorization": self.headers["Authorization"]})
            reply = connection.getresponse()
            body = reply.read()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass
        finally:
            connection.close()


class Serving(Watching):
    def answer_with(self, handler=Fake, **how):
        """A server of our own; `how` sets the handler's class: what it answers, from now on."""
        self.handler = type("Handler", (handler,), how)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), self.handler)
        server.daemon_threads = True
        server.stopping = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()

        def stop():
            server.stopping.set()
            server.shutdown()
            server.server_close()
            thread.join()
        self.addCleanup(stop)
        return f"http://127.0.0.1:{server.server_address[1]}"


class Broken(Serving, WithRabbit):
    def test_an_answer_that_breaks_while_it_watches_has_its_reason(self):
        """The last values stay until they are stale, and are there again with the next good answer."""
        self.rabbit.queue("orders")
        self.rabbit.publish("orders", 2)
        daemon = self.watch(self.answer_with(Between, upstream=self.rabbit.management_port),
                            "    method: totals\n    statistics_max_load: 0\n", discovery=600, stale=4)
        ready, up = series("queue_messages_ready", "orders"), of_source("queue_source_up")
        rows = (("late", {"seconds": 20}, "timeout"),
                ("cut", {"body": b'[{"name":"orders","vhost":"/","messages_ready":7}]', "cut": 30}, "network"),
                ("half", {"body": b'[{"name":"orders","vhost":"/","messages_ready":7}'}, "protocol"),
                ("proxy", {"body": b"<html>Welcome</html>"}, "protocol"),
                ("gateway", {"status": 502, "body": b"<html>Bad Gateway</html>"}, "network"))
        for name, how, reason in rows:
            with self.subTest(name):
                self.wait_values("all is well", daemon, {ready: 2, up: 1})
                failures = of_source("queue_exporter_poll_failures_total", reason=reason)
                before = daemon.value(failures) or 0
                for key, value in {"seconds": 0, "cut": None, "status": 200, **how}.items():
                    setattr(self.handler, key, value)
                self.handler.breaks = "/api/queues"
                daemon.wait_value(failures, lambda n, before=before: n and n > before)
                self.assertIn(daemon.value(ready), (2, None), "never what a broken answer says")
                self.wait_values("it is stale", daemon, {ready: None, up: 0})
                self.handler.breaks = None
        self.wait_values("all is well again", daemon, {ready: 2, up: 1})


class Strangers(Serving):
    def test_each_has_its_reason_and_nothing_hangs(self):
        rows = (("late", {"seconds": 20}, "timeout", "no answer"),
                ("cut", {"body": b'[{"name":"a","vhost":"/"}]' * 9, "cut": 30}, "network", "127.0.0.1"),
                ("half", {"body": b'[{"name":"a","vho'}, "protocol", "/api/"),
                ("proxy", {"body": b"<html>Welcome</html>"}, "protocol", "not with JSON"),
                ("gateway", {"status": 502, "body": b"<html>Bad Gateway</html>"}, "network", "502"),
                ("other", {"status": 404, "body": b"not here"}, "not_found", "rabbitmq_management"))
        daemons = {name: self.watch(self.answer_with(**how), poll=1) for name, how, _, _ in rows}  # all at once
        for name, _, reason, says in rows:
            with self.subTest(name):
                daemon = daemons[name]
                daemon.wait_value(of_source("queue_exporter_poll_failures_total", reason=reason),
                                  lambda n: n and n >= 2)
                self.assertEqual(daemon.value(of_source("queue_source_up")), 0)
                self.assertIn(says, daemon.log())
                self.assertEqual(daemon.status_of("/-/healthy"), 200)
                begin = time.monotonic()
                self.assertEqual(daemon.stop(), 0)
                self.assertLess(time.monotonic() - begin, 5, "it ends at once, whatever it waits for")

    def test_an_address_where_nobody_is_is_named(self):
        port = free_port()
        daemon = self.watch(f"http://127.0.0.1:{port}")
        wait_for("the reason", lambda: str(port) in daemon.log())
        self.assertEqual(daemon.value(of_source("queue_source_up")), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
