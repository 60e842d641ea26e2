#!/usr/bin/python3
"""What the daemon says of a cluster: a node is lost, a leader changes, a member hangs."""
import os
import signal
import time
import unittest

from rabbitmq_case import WithRabbit, of_source, series

# pylint: disable=wrong-import-position
from rabbitmq_server import RabbitServer


class Nodes(WithRabbit):
    def test_queues_of_a_lost_node_say_so_and_the_rest_stays(self):
        first = self.rabbit
        second = RabbitServer(beside=first).start()
        self.addCleanup(second.stop)
        second.join(first)
        for name, node in (("stays", first.node), ("lost", second.node)):
            first.must("PUT", f"/api/queues/%2F/{name}", {"durable": True, "node": node})
            first.publish(name, 2, delivery_mode=2)
        few = "    include: [stays, lost]\n    statistics_max_load: 0\n"
        daemons = {method: self.watch(first.url, f"    method: {method}\n{few}", stale=6)
                   for method in ("statistics", "metrics")}  # it finds the metrics of both nodes by itself
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
        self.while_a_member_hangs(second, self.watch(
            first.url, f"{few}    metrics_urls: [\"{first.metrics_url}\", \"{second.metrics_url}\"]\n", poll=2,
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
