#!/usr/bin/python3
"""The daemon watches a real RabbitMQ: dead-letter links of every shape, a thousand queues of all kinds, three ways of
reading, ages, alarms, and what a refused user is told."""
import json
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
import pika

from rabbitmq_case import CONFIG, SharingRabbit, of_source, series, wait_for
from rabbitmq_server import quote

VHOSTS = ("/", "a/b", "ü")
ODD_NAME = 'we"ird\\n {x="1"} %2F \U0001f407'  # RabbitMQ's own metrics escape nothing of it
ODD_LABEL = ODD_NAME.replace("\\", "\\\\").replace('"', '\\"')
# Dead-letter settings of a queue -> the queues that it dead-letters into; None: dead letters are lost.
SHAPES = {
    "default": ({"dead_letter_exchange": "", "dead_letter_routing_key": "one"}, ["one"]),
    "direct": ({"dead_letter_exchange": "x.direct", "dead_letter_routing_key": "k2"}, ["two"]),
    "own.key": ({"dead_letter_exchange": "x.direct"}, ["one"]),
    "fanout": ({"dead_letter_exchange": "x.fanout"}, ["one", "two"]),
    "topic": ({"dead_letter_exchange": "x.topic", "dead_letter_routing_key": "dead.a.b"}, ["one"]),
    "headers": ({"dead_letter_exchange": "x.headers", "dead_letter_routing_key": "k"}, ["two"]),
    "through": ({"dead_letter_exchange": "x.first", "dead_letter_routing_key": "k"}, ["one", "two"]),
    "alternate": ({"dead_letter_exchange": "x.alternate", "dead_letter_routing_key": "k"}, ["one", "two"]),
    "lost.key": ({"dead_letter_exchange": "x.direct", "dead_letter_routing_key": "none"}, None),
    "lost.exchange": ({"dead_letter_exchange": "x.missing", "dead_letter_routing_key": "k"}, None),
    "lost.queue": ({"dead_letter_exchange": "", "dead_letter_routing_key": "nobody"}, None),
    "p.policy": ({}, ["two"]),
    "p.mixed": ({"dead_letter_exchange": "x.direct"}, ["two"]),
    "to.default": ({"dead_letter_exchange": "x.to.default", "dead_letter_routing_key": "one"}, None),
    "without": ({}, []),
}


class Links(SharingRabbit):
    def make(self, vhost):
        rabbit = self.rabbit
        rabbit.vhost(vhost)
        rabbit.must("PUT", f"/api/permissions/{quote(vhost)}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        for name, kind, more in (("x.direct", "direct", {}), ("x.fanout", "fanout", {}), ("x.topic", "topic", {}),
                                 ("x.headers", "headers", {}), ("x.first", "topic", {}),
                                 ("x.alternate", "direct", {"alternate_exchange": "x.fanout"}),
                                 ("x.to.default", "direct", {"alternate_exchange": ""})):
            rabbit.exchange(name, kind, vhost, **more)
        for name in ("one", "two"):
            rabbit.queue(name, vhost)
        for name, (arguments, _) in SHAPES.items():
            rabbit.queue(name, vhost, **arguments)
        rabbit.bind("x.direct", "one", "own.key", vhost)
        rabbit.bind("x.direct", "two", "k2", vhost)
        rabbit.bind("x.fanout", "one", "", vhost)
        rabbit.bind("x.fanout", "two", "", vhost)
        rabbit.bind("x.topic", "one", "dead.#", vhost)
        rabbit.bind("x.topic", "two", "live.*", vhost)
        rabbit.bind("x.headers", "two", "", vhost, arguments={"a": "1", "x-match": "any"})
        rabbit.bind("x.first", "x.fanout", "#", vhost, kind="e")
        rabbit.policy("dead", "^p\\.", {"dead-letter-exchange": "x.direct", "dead-letter-routing-key": "k2",
                                        "max-length": 100, "message-ttl": 60000}, vhost, priority=3)
        rabbit.policy("limits", "^p\\.", {"max-length": 50}, vhost, operator=True)
        for i in range(2):  # the broker has its way to choose between equals
            rabbit.policy(f"equal.{i}", "^without$", {"max-length": 70 + i}, vhost, priority=1)

    def wait_policy(self, queue, vhost):
        return wait_for("the broker's choice", lambda: self.rabbit.must(
            "GET", f"/api/queues/{quote(vhost)}/{quote(queue)}").get("policy"))

    def test_every_shape_leads_where_the_broker_sends_dead_letters(self):
        wanted = {}
        for vhost in VHOSTS:
            self.make(vhost)
            for name, (_, targets) in SHAPES.items():
                for target in ("one", "two"):
                    wanted[series("queue_dead_letter_info", name, vhost, dead_letter_queue=target,
                                  dead_letter_vhost=vhost)] = 1 if targets and target in targets else None
                wanted[series("queue_config_warning", name, vhost, check="dead_letter_unroutable")] = (
                    1 if targets is None else None)
                wanted[series("queue_config_warning", name, vhost, check="no_dead_letter_queue")] = (
                    1 if targets == [] else None)
            wanted[series("queue_is_dead_letter_queue", "one", vhost)] = 1
            wanted[series("queue_max_length_messages", "p.policy", vhost)] = 50
            chosen = self.wait_policy("without", vhost)
            wanted[series("queue_max_length_messages", "without", vhost)] = 70 + int(chosen[-1])
        daemon = self.watch(self.rabbit.url)
        self.wait_values("all links", daemon, wanted)
        # And the broker agrees: what is rejected comes out there.
        for vhost in VHOSTS:
            for name in ("direct", "own.key", "topic", "p.mixed"):
                self.rabbit.publish(name, 1, vhost)
                self.rabbit.must("POST", f"/api/queues/{quote(vhost)}/{quote(name)}/get", {
                    "count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"})
            self.wait_values(f"dead letters in {vhost}", daemon, {
                series("queue_messages_ready", "one", vhost): 2, series("queue_messages_ready", "two", vhost): 2,
                series("queue_dead_letter_messages", "direct", vhost, dead_letter_queue="two",
                       dead_letter_vhost=vhost): 2})
            self.rabbit.publish("to.default", 1, vhost)
            self.rabbit.must("POST", f"/api/queues/{quote(vhost)}/to.default/get", {
                "count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"})
            self.wait_values(f"lost in {vhost}", daemon, {
                series("queue_messages_ready", "to.default", vhost): 0, series("queue_messages_ready", "one", vhost): 2})
        # What is rejected waits a minute and comes back: neither is a dead-letter queue.
        self.rabbit.queue("work", dead_letter_exchange="", dead_letter_routing_key="work.retry")
        self.rabbit.queue("work.retry", dead_letter_exchange="", dead_letter_routing_key="work", message_ttl=60000)
        self.wait_values("a retry loop", daemon, {
            series("queue_dead_letter_info", "work", dead_letter_queue="work.retry", dead_letter_vhost="/"): 1,
            series("queue_dead_letter_info", "work.retry", dead_letter_queue="work", dead_letter_vhost="/"): 1,
            series("queue_is_dead_letter_queue", "work"): 0, series("queue_is_dead_letter_queue", "work.retry"): 0,
            series("queue_is_delay_queue", "work"): None, series("queue_is_delay_queue", "work.retry"): 1,
            series("queue_dead_letter_messages", "work", dead_letter_queue="work.retry", dead_letter_vhost="/"): None})
        # Someone mends a queue that loses its dead letters.
        self.rabbit.queue("nobody")
        self.wait_values("mended", daemon, {
            series("queue_config_warning", "lost.queue", check="dead_letter_unroutable"): None,
            series("queue_dead_letter_info", "lost.queue", dead_letter_queue="nobody", dead_letter_vhost="/"): 1})


class Ways(SharingRabbit):
    """Classic, quorum and stream queues, read in each way."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rabbit.queue("classic", max_length=1000)
        cls.rabbit.queue("quorum", kind="quorum", delivery_limit=4)
        cls.rabbit.queue("stream", kind="stream")
        cls.rabbit.queue("empty")
        cls.rabbit.queue(ODD_NAME)
        cls.rabbit.publish(ODD_NAME, 6)
        now = int(time.time())
        cls.published = now - 100
        cls.rabbit.publish("classic", 3, timestamp=cls.published)
        cls.rabbit.publish("quorum", 4)
        cls.rabbit.publish("stream", 5)

    def wanted(self, **streams):
        return {series("queue_messages_ready", ODD_LABEL): 6,
                series("queue_messages_ready", "classic"): 3, series("queue_messages_in_flight", "classic"): 0,
                series("queue_messages_ready", "quorum"): 4, series("queue_messages_ready", "empty"): 0,
                series("queue_oldest_message_age_seconds", "empty", method="broker"): 0,
                series("queue_max_length_messages", "classic"): 1000,
                series("queue_dead_letter_max_receives", "quorum"): 5,
                series("queue_info", "stream", backend="rabbitmq", kind="stream"): 1,
                series("queue_info", "quorum", backend="rabbitmq", kind="quorum"): 1,
                series("queue_messages_ready", "stream"): streams["stream"]}

    def check_age(self, page):
        age = page[series("queue_oldest_message_age_seconds", "classic", method="head_timestamp")]
        self.assertAlmostEqual(age, time.time() - self.published, delta=15)

    def test_statistics_show_everything(self):
        daemon = self.watch(self.rabbit.url, "    method: statistics\n")
        page = self.wait_values("depths", daemon, {
            **self.wanted(stream=5), series("queue_consumers", "classic"): 0,
            series("queue_size_bytes", "classic"): 3, series("queue_messages_published_total", "quorum"): 4,
            series("queue_messages_delivered_total", "quorum"): 0,
            series("queue_dead_letter_pending_messages", "quorum"): 0,
            series("queue_messages_published_total", "empty"): None,
            of_source("queue_source_method_info", method="statistics"): 1})
        self.check_age(page)
        self.assertIn("read by statistics", daemon.ask("/").text)
        self.assertRegex(daemon.log(), 'msg="the way in which queues are read".*method=statistics')

    def test_totals_show_depths_and_nothing_dear(self):
        daemon = self.watch(self.rabbit.url, "    method: totals\n    statistics_max_load: 0\n")
        page = self.wait_values("depths", daemon, {
            **self.wanted(stream=None), series("queue_consumers", "classic"): None,
            series("queue_messages_published_total", "quorum"): None,
            of_source("queue_source_method_info", method="totals"): 1})
        self.assertFalse([name for name in page if "head_timestamp" in name])
        self.assertEqual(page[of_source("queue_exporter_api_requests_total", operation="queue_statistics")], 0)

    def test_metrics_show_depths_consumers_sizes_and_ages(self):
        daemon = self.watch(self.rabbit.url, "    method: metrics\n    statistics_max_load: 0.1\n")
        page = self.wait_values("depths", daemon, {
            **self.wanted(stream=5), series("queue_consumers", "classic"): 0,
            series("queue_size_bytes", "classic"): 3, of_source("queue_source_method_info", method="metrics"): 1})
        self.check_age(page)
        self.assertGreater(page[of_source("queue_exporter_api_requests_total", operation="node_metrics")], 0)
        self.assertEqual(page[of_source("queue_exporter_api_requests_total", operation="queue_totals")], 0)

    def test_what_a_consumer_holds_acks_and_gives_back_is_counted(self):
        """pika takes 5 of 10 at a time, acks two, and gives one back, which comes again."""
        depths = {"queue_messages_ready": 3, "queue_messages_in_flight": 5}
        consumers = {"queue_consumers": 1}
        counters = {"queue_messages_published_total": 10, "queue_messages_delivered_total": 8,
                    "queue_messages_acknowledged_total": 2, "queue_messages_redelivered_total": 1}
        sizes = {"queue_size_bytes": 64}
        everything = {**depths, **consumers, **counters, **sizes}
        ways = (("statistics", "", everything), ("totals", "", everything), ("metrics", "", everything),
                ("totals", "statistics_max_load: 0", depths), ("metrics", "statistics_max_load: 0", {**depths, **consumers}))
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.rabbit.amqp_port, heartbeat=0))
        self.addCleanup(connection.close)
        # With a limit, a quorum queue puts what is given back at its place.
        queues = {"worked": {}, "worked by quorum": {"kind": "quorum", "delivery_limit": 9}}
        for queue, more in queues.items():
            self.rabbit.queue(queue, **more)
            channel = connection.channel()
            channel.confirm_delivery()
            for _ in range(10):
                channel.basic_publish("", queue, b"12345678")
            got = []
            channel.basic_qos(prefetch_count=5)
            channel.basic_consume(queue, lambda _, method, *rest, got=got: got.append(method))

            def wait_got(count, got=got):
                wait_for(f"{count} delivered", lambda: connection.process_data_events(0.1) or len(got) >= count)
            wait_got(5)
            for method in got[:2]:
                channel.basic_ack(method.delivery_tag)
            wait_got(7)
            channel.basic_nack(got[2].delivery_tag, requeue=True)
            wait_got(8)
            self.assertEqual([method.redelivered for method in got], 7 * [False] + [True])
        for method, load, known in ways:
            with self.subTest(f"{method} {load}"):
                daemon = self.watch(self.rabbit.url, f"    method: {method}\n    {load}\n    include: [worked.*]\n")
                self.wait_values(f"by {method} {load}", daemon, {
                    series(family, queue): known.get(family) for family in everything for queue in queues})
                daemon.stop()

    def test_metrics_that_are_not_there_are_made_up_for(self):
        daemon = self.watch(self.rabbit.url, "    metrics_urls: [\"http://127.0.0.1:1\"]\n"
                            "    statistics_max_load: 0\n")
        self.wait_values("depths", daemon, {**self.wanted(stream=None),
                                            of_source("queue_source_method_info", method="totals"): 1})
        self.assertIn("127.0.0.1:1", daemon.log())

    def test_ages_without_timestamps_are_estimated_and_never_above_the_real_one(self):
        rabbit = self.rabbit
        rabbit.queue("aged", kind="quorum")
        rabbit.queue("burst")
        rabbit.queue("fed", kind="quorum")
        rabbit.queue("feeder", dead_letter_exchange="", dead_letter_routing_key="fed", message_ttl=1)
        daemon = self.watch(rabbit.url, "    method: statistics\n")
        # One connection for all: its counters are taken now and then, not when it ends.
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", rabbit.amqp_port, heartbeat=0))
        self.addCleanup(connection.close)
        channel = connection.channel()
        channel.confirm_delivery()

        def publish(queue, count):
            for _ in range(count):
                channel.basic_publish("", queue, b"x")
        for queue in ("aged", "burst"):
            publish(queue, 10)
            for _ in range(10):
                channel.basic_get(queue, auto_ack=True)
        self.wait_values("counted, none left", daemon, {
            series(family, queue): value for queue in ("aged", "burst") for family, value in (
                ("queue_messages_published_total", 10), ("queue_messages_ready", 0))})
        begin = {"aged": time.time()}
        publish("aged", 2)
        publish("fed", 3)
        publish("feeder", 3)
        names = {queue: series("queue_oldest_message_age_seconds", queue, method="estimate")
                 for queue in ("aged", "burst", "fed")}
        last = {}
        deadline = time.time() + 90
        while min(last.get(queue) or 0 for queue in ("aged", "burst")) < 2:
            page, now = daemon.values(), time.time()
            last = {queue: page.get(name) for queue, name in names.items()}
            for queue in ("aged", "burst"):
                self.assertLessEqual(last[queue] or 0, now - begin.get(queue, now), f"{queue} is not older than it is")
            self.assertIsNone(last["fed"], "dead letters are not counted")
            self.assertLess(now, deadline, last)
            if now > begin["aged"] + 4 and "burst" not in begin:
                begin["burst"] = time.time()
                publish("burst", 50)
            connection.process_data_events(0.2)
        rabbit.must("DELETE", "/api/queues/%2F/aged/contents")
        self.wait_values("purged", daemon, {names["aged"]: None, series(
            "queue_oldest_message_age_seconds", "aged", method="broker"): 0})

    def test_messages_that_wait_for_their_dead_letter_queue_are_shown(self):
        rabbit = self.rabbit
        rabbit.queue("careful", kind="quorum", dead_letter_exchange="nowhere", dead_letter_strategy="at-least-once",
                     overflow="reject-publish")
        rabbit.publish("careful", 2)
        rabbit.must("POST", "/api/queues/%2F/careful/get", {"count": 1, "ackmode": "reject_requeue_false",
                                                            "encoding": "auto"})
        self.wait_values("one waits", self.watch(rabbit.url, "    method: statistics\n"), {
            series("queue_dead_letter_pending_messages", "careful"): 1, series("queue_messages_ready", "careful"): 1,
            series("queue_config_warning", "careful", check="dead_letter_unroutable"): 1})
        # When both wait, nothing is ready, nothing in flight, and the queue is not empty.
        rabbit.must("POST", "/api/queues/%2F/careful/get", {"count": 1, "ackmode": "reject_requeue_false",
                                                            "encoding": "auto"})
        for method in ("totals", "metrics", "statistics"):
            daemon = self.watch(rabbit.url, f"    method: {method}\n    statistics_max_load: 0\n    include: [careful, empty]\n")
            page = self.wait_values(f"by {method}", daemon, {
                series("queue_messages_ready", "careful"): 0, series("queue_messages_in_flight", "careful"): 0,
                series("queue_oldest_message_age_seconds", "empty", method="broker"): 0})
            self.assertIsNone(page.get(series("queue_oldest_message_age_seconds", "careful", method="broker")))

    def test_nodes_and_their_alarms_are_shown(self):
        daemon = self.watch(self.rabbit.url)
        node = self.rabbit.node
        self.wait_values("a node that is well", daemon, {
            of_source("queue_source_node_up", node=node): 1,
            of_source("queue_source_node_memory_alarm", node=node): 0,
            of_source("queue_source_node_disk_alarm", node=node): 0,
            of_source("queue_source_node_partitions", node=node): 0})
        self.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            daemon.wait_value(of_source("queue_source_node_memory_alarm", node=node), 1)
        finally:
            self.rabbit.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
        daemon.wait_value(of_source("queue_source_node_memory_alarm", node=node), 0)

    def test_a_queue_appears_and_disappears(self):
        daemon = self.watch(self.rabbit.url, poll=1, discovery=2)
        self.rabbit.queue("brief", kind="quorum")
        daemon.wait_value(series("queue_messages_ready", "brief"), 0)
        self.rabbit.must("DELETE", "/api/queues/%2F/brief")
        self.wait_page("gone", daemon, lambda page: [name for name in page if '"brief"' in name])

    def test_a_refused_user_is_told_why(self):
        rabbit = self.rabbit
        rabbit.must("PUT", "/api/users/blind", {"password": "blind", "tags": "monitoring"})
        rows = (("    password: wrong\n", "auth", "Login failed"),
                ("    username: blind\n    password: blind\n", "auth", "give user blind a permission row"),
                ("    vhosts: [nowhere]\n", "not_found", "nowhere"),
                (None, "protocol", f"127.0.0.1:{rabbit.amqp_port}"))  # the port of AMQP, which speaks no HTTP
        for extra, reason, says in rows:
            with self.subTest(extra):
                daemon = self.watch(rabbit.url if extra else f"http://127.0.0.1:{rabbit.amqp_port}", extra or "")
                daemon.wait_value(of_source("queue_exporter_poll_failures_total", reason=reason), lambda n: n and n > 0)
                self.assertEqual(daemon.value(of_source("queue_source_up")), 0)
                self.assertIn(says, daemon.log())
                self.assertIn(says, daemon.ask("/").text)

    def test_a_user_with_rights_on_one_vhost_sees_that_and_says_so(self):
        rabbit = self.rabbit
        rabbit.must("PUT", "/api/users/half", {"password": "half", "tags": "monitoring"})
        rabbit.must("PUT", "/api/permissions/%2F/half", {"configure": "^$", "write": "^$", "read": "^$"})
        for name in ("closed", "locked"):
            rabbit.vhost(name)
        daemon = self.watch(rabbit.url, "    username: half\n    password: half\n")
        self.wait_values("what it may see", daemon, {series("queue_messages_ready", "classic"): 3})
        self.assertRegex(daemon.log(), "virtual host [^:]*closed[^:]*, locked[^:]*: no permission: give user half a permission row")

    def test_a_vhost_that_the_api_has_no_way_to_is_named_and_the_rest_is_watched(self):
        self.rabbit.ctl("add_vhost", "..")
        self.addCleanup(self.rabbit.ctl, "delete_vhost", "..")
        daemon = self.watch(self.rabbit.url)
        self.wait_values("the rest", daemon, {series("queue_messages_ready", "classic"): 3, of_source("queue_source_up"): 1})
        self.assertIn("virtual host ..: the management API cannot be asked", daemon.log())
        self.assertIn("virtual host ..: the management API cannot be asked", daemon.ask("/").text)


class WideBroker(SharingRabbit):
    """A thousand queues of all kinds, with links, in three virtual hosts. The last one, since they cost the others time."""

    VHOSTS = ("k/%", "k ü", "k")

    COUNT = 500  # and as many dead-letter queues

    def definitions(self):
        """(what the broker is to hold, {(vhost, queue): facts})"""
        queues, exchanges, bindings, facts = [], [], [], {}
        for vhost in self.VHOSTS:
            exchanges.append({"name": "dlx", "vhost": vhost, "type": "direct", "durable": True, "auto_delete": False,
                              "internal": False, "arguments": {}})
        for i in range(self.COUNT):
            vhost = self.VHOSTS[i % 3]
            kind = "quorum" if i % 10 == 4 else "stream" if i % 50 == 9 else "classic"
            name, dead = f"work {i}", f"dead/{i}"
            arguments = {"x-queue-type": kind}
            if kind != "stream":
                arguments |= {"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": f"k{i}"}
                bindings.append({"source": "dlx", "vhost": vhost, "destination": dead, "destination_type": "queue",
                                 "routing_key": f"k{i}", "arguments": {}})
            for queue, said in ((name, arguments), (dead, {"x-queue-type": "classic"})):
                queues.append({"name": queue, "vhost": vhost, "durable": True, "auto_delete": False,
                               "arguments": said})
            facts[vhost, name] = {"kind": kind, "dead": None if kind == "stream" else dead, "ready": i % 3}
            facts[vhost, dead] = {"kind": "classic", "dead": None, "ready": (i + 1) % 2}
        return {"queues": queues, "exchanges": exchanges, "bindings": bindings, "permissions": [
            {"user": "guest", "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"} for vhost in self.VHOSTS],
                "vhosts": [{"name": vhost} for vhost in self.VHOSTS]}, facts

    def test_all_of_them_are_right(self):
        definitions, facts = self.definitions()
        self.rabbit.must("POST", "/api/definitions", definitions)
        wanted = {}
        for (vhost, name), fact in facts.items():
            self.rabbit.publish(name, fact["ready"], vhost)
            wanted |= {series("queue_messages_ready", name, vhost): fact["ready"],
                       series("queue_up", name, vhost): 1,
                       series("queue_info", name, vhost, backend="rabbitmq", kind=fact["kind"]): 1}
            if fact["dead"]:
                wanted[series("queue_dead_letter_info", name, vhost, dead_letter_queue=fact["dead"],
                              dead_letter_vhost=vhost)] = 1
                wanted[series("queue_dead_letter_messages", name, vhost, dead_letter_queue=fact["dead"],
                              dead_letter_vhost=vhost)] = facts[vhost, fact["dead"]]["ready"]
                wanted[series("queue_is_dead_letter_queue", fact["dead"], vhost)] = 1
        vhosts = f"    vhosts: {json.dumps(self.VHOSTS)}\n"
        unknown = {series("queue_messages_ready", name, vhost): None for (vhost, name), fact in facts.items()
                   if fact["kind"] == "stream"}
        # Totals are the last to be believed after the election of leaders: what follows has no more to wait for.
        for method, more, differing in (("totals", "    statistics_max_load: 0\n", unknown), ("metrics", "", {}),
                                        ("statistics", "", {})):
            daemon = self.watch(self.rabbit.url, f"    method: {method}\n{more}{vhosts}", poll=10, discovery=60)
            page = self.wait_values(f"all queues by {method}", daemon, {**wanted, **differing}, 90)
            self.assertEqual(page[of_source("queue_exporter_queues", state="watched")], 2 * self.COUNT)
            self.assertEqual(sum(name.startswith("queue_dead_letter_info") for name in page),
                             sum(fact["dead"] is not None for fact in facts.values()))
            daemon.stop()
        self.work_on_some(vhosts, facts)

    def work_on_some(self, vhosts, facts):
        """queuectl and a consumer, beside all the others."""
        classic, quorum = (self.VHOSTS[2], "work 2"), (self.VHOSTS[1], "work 4")
        self.assertEqual([facts[one]["kind"] for one in (classic, quorum)], ["classic", "quorum"])
        extra = f"{vhosts}    method: statistics\n    amqp_url: amqp://127.0.0.1:{self.rabbit.amqp_port}\n"
        self.write_config(CONFIG.format(url=self.rabbit.url, extra=extra, poll=10, discovery=60, stale=20))
        depths = {one: fact["ready"] for one, fact in facts.items()}

        def shown():
            return {(row["vhost"], row["queue"]): row.get("ready") for row in self.stats()}
        wait_for("queuectl shows them all", lambda: shown() == depths, 60)
        for vhost, name in (classic, quorum):
            self.queuectl("send", "rabbit", name, "--vhost", vhost, "--body", "a new one")
            wanted, got = ["x"] * depths[vhost, name] + ["a new one"], []
            receive = ("receive", "rabbit", name, "--vhost", vhost, "--ack", "--json", "--wait", "5s")

            def take(receive=receive, got=got, wanted=wanted):  # what is there at once, not all that will be
                got.extend(json.loads(line)["body"] for line in self.queuectl(*receive).stdout.splitlines())
                return len(got) >= len(wanted)
            wait_for("all are received", take)
            self.assertEqual(got, wanted)
            self.queuectl("send", "rabbit", name, "--vhost", vhost, "--body", "left", "--count", "20")
            depths[vhost, name] = 20
        wait_for("queuectl shows what it did", lambda: shown() == depths, 60)
        consumers = "consumers:\n" + "".join(
            f"  - {{source: rabbit, vhost: {json.dumps(vhost)}, queue: {name}, handler: {{type: discard}}}}\n"
            for vhost, name in (classic, quorum))
        daemon = self.watch(self.rabbit.url, extra + consumers, poll=10, discovery=60)
        self.wait_values("two are emptied", daemon, {
            series(family, name, vhost): value for vhost, name in (classic, quorum) for family, value in (
                ("queue_consumer_messages_processed_total", 20), ("queue_messages_ready", 0),
                ("queue_messages_in_flight", 0))}, 90)
        daemon.stop()
        depths |= {classic: 0, quorum: 0}
        wait_for("and no other", lambda: shown() == depths, 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
