#!/usr/bin/python3
"""What the daemon says when RabbitMQ is not well: a node of a cluster is lost, statistics or a plugin are off, the broker
restarts, and what only a proxy or a broken server does: late, cut and foreign answers."""
import http.server
import os
import signal
import threading
import time
import unittest

from rabbitmq_case import Watching, WithRabbit, of_source, series, wait_for

# pylint: disable=wrong-import-position
from child_server import free_port
from rabbitmq_server import RabbitServer


class Nodes(WithRabbit):
    def test_a_source_is_down_while_its_broker_is_and_comes_back(self):
        self.rabbit.queue("orders")
        self.rabbit.queue("work", kind="quorum")
        self.rabbit.publish("orders", 2, delivery_mode=2)
        self.rabbit.publish("work", 3)
        # It lists every 5 s: what it knows of queues is good for 15 s.
        daemon = self.watch(self.rabbit.url, discovery=5)
        depths = {series("queue_messages_ready", "orders"): 2, series("queue_messages_ready", "work"): 3}
        self.wait_values("depths", daemon, depths)
        self.rabbit.kill()
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

    def test_queues_of_a_lost_node_say_so_and_the_rest_stays(self):
        first = self.rabbit
        second = RabbitServer(beside=first).start()
        self.addCleanup(second.stop)
        second.join(first)
        for name, node in (("stays", first.node), ("lost", second.node)):
            first.must("PUT", f"/api/queues/%2F/{name}", {"durable": True, "node": node})
            first.publish(name, 2, delivery_mode=2)
        urls = f"    metrics_urls: [\"{first.metrics_url}\", \"{second.metrics_url}\"]\n    statistics_max_load: 0\n"
        daemons = {method: self.watch(first.url, f"    method: {method}\n    include: [stays, lost]\n{more}", stale=6)
                   for method, more in (("statistics", ""), ("metrics", urls))}
        for daemon in daemons.values():  # each queue once, whichever node tells of it
            self.wait_values("both nodes", daemon, {
                series("queue_messages_ready", "stays"): 2, series("queue_messages_ready", "lost"): 2,
                of_source("queue_source_node_up", node=first.node): 1,
                of_source("queue_source_node_up", node=second.node): 1,
                of_source("queue_exporter_queues", state="watched"): 2})
        self.while_the_leader_changes(second)
        second.kill()
        for method, daemon in daemons.items():
            self.wait_values(f"one node, by {method}", daemon, {
                series("queue_messages_ready", "stays"): 2, series("queue_up", "stays"): 1,
                series("queue_up", "lost"): 0, of_source("queue_source_up"): 1,
                of_source("queue_source_node_up", node=second.node): 0,
                of_source("queue_source_node_memory_alarm", node=second.node): None})
            self.assertIn(f"node {second.node} is down", daemon.ask("/").text)
        self.wait_values("the old count is gone", daemons["statistics"],
                         {series("queue_messages_ready", "lost"): None})
        second.start()
        for method, daemon in daemons.items():
            self.wait_values(f"both nodes again, by {method}", daemon, {
                series("queue_messages_ready", "lost"): 2, series("queue_up", "lost"): 1,
                of_source("queue_source_node_up", node=second.node): 1})
            daemon.stop()
        self.while_a_member_hangs(second, self.watch(first.url, f"    include: [stays, lost]\n{urls}", poll=2,
                                                     discovery=600, stale=8))

    def while_the_leader_changes(self, second):
        """A new leader says 0 until its first tick."""
        first, ready = self.rabbit, series("queue_messages_ready", "moves")
        first.ctl("eval", "application:set_env(rabbit, quorum_tick_interval, 5000).")  # as by default: of queues from now on
        first.must("PUT", "/api/queues/%2F/moves", {"durable": True, "node": first.node,
                                                    "arguments": {"x-queue-type": "quorum"}})
        first.publish("moves", 5)
        daemons = [self.watch(first.url, f"    method: {method}\n    include: [moves]\n    statistics_max_load: 0\n",
                              discovery=60, stale=40) for method in ("totals", "statistics")]
        for daemon in daemons:
            self.wait_values("before", daemon, {ready: 5})
        broker, seen = set(), set()
        for node in (second.node, first.node):
            here = first.must("GET", "/api/queues/%2F/moves")["leader"]
            first.ctl("eval", f"ra:transfer_leadership({{'%2F_moves','{here}'}},{{'%2F_moves','{node}'}}).")
            ends = time.monotonic() + 7
            while time.monotonic() < ends:
                broker |= {queue.get("messages_ready") for queue in first.must(
                    "GET", "/api/queues?disable_stats=true&enable_queue_totals=true") if queue["name"] == "moves"}
                seen |= {daemon.value(ready) for daemon in daemons}
                time.sleep(0.2)
            self.assertEqual(first.must("GET", "/api/queues/%2F/moves")["leader"], node)
        self.assertIn(0, broker, "the broker says so, else this proves nothing")
        self.assertEqual(seen, {5})
        for daemon in daemons:
            daemon.stop()

    def while_a_member_hangs(self, second, daemon):
        """The API of the healthy node hangs too then, for a minute; its own metrics are answered at once."""
        self.wait_values("both nodes, by themselves", daemon, {
            series("queue_messages_ready", "stays"): 2, series("queue_messages_ready", "lost"): 2,
            of_source("queue_source_method_info", method="metrics"): 1})
        os.killpg(second.process.pid, signal.SIGSTOP)
        try:
            stays = {series("queue_messages_ready", "stays"): 2, series("queue_up", "stays"): 1,
                     of_source("queue_source_up"): 1}
            self.wait_values("one hangs", daemon, {**stays, series("queue_up", "lost"): 0})
            self.wait_values("its old count is gone", daemon, {**stays, series("queue_messages_ready", "lost"): None})
            polls, ends = of_source("queue_exporter_polls_total"), time.monotonic() + 8
            before, wrong = daemon.value(polls), set()
            while time.monotonic() < ends:
                page = daemon.values()
                wrong |= {name for name, value in stays.items() if page.get(name) != value}
                time.sleep(0.3)
            self.assertEqual(wrong, set(), "the healthy node's queue stays")
            self.assertGreaterEqual(daemon.value(polls) - before, 2, "each poll ends with its time")
            self.assertRegex(daemon.log(), f'reason=timeout error="[^"]*lost[^"]*:{second.metrics_port}: no answer')
        finally:
            os.killpg(second.process.pid, signal.SIGCONT)


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


class Strangers(Watching):
    def serve(self, **how):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), type("Handler", (Fake,), how))
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

    def test_each_has_its_reason_and_nothing_hangs(self):
        rows = (("late", {"seconds": 20}, "timeout", "no answer"),
                ("cut", {"body": b'[{"name":"a","vhost":"/"}]' * 9, "cut": 30}, "network", "127.0.0.1"),
                ("half", {"body": b'[{"name":"a","vho'}, "protocol", "/api/"),
                ("proxy", {"body": b"<html>Welcome</html>"}, "protocol", "not with JSON"),
                ("gateway", {"status": 502, "body": b"<html>Bad Gateway</html>"}, "network", "502"),
                ("other", {"status": 404, "body": b"not here"}, "not_found", "rabbitmq_management"))
        daemons = {name: self.watch(self.serve(**how), poll=1) for name, how, _, _ in rows}  # all at once
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
