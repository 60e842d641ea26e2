#!/usr/bin/python3
"""A node of a cluster goes away while the consumer works through another one: a queue that lives elsewhere too moves on, one
that lives only there comes back with it, and nothing is lost."""
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from daemon import wait_for
from rabbitmq_flow_case import Flow
from rabbitmq_server import RabbitServer


class Cluster(Flow):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.others = []
        for _ in range(2):
            other = RabbitServer(plugins=("rabbitmq_management",), beside=cls.rabbit).start()
            cls.addClassCleanup(other.stop)
            other.join(cls.rabbit)
            cls.others.append(other)

    def test_a_node_that_leads_the_queues_is_stopped(self):
        node = self.others[0]
        node.queue("there")  # a classic queue lives where it is declared
        node.queue("everywhere", kind="quorum")
        for name in ("there", "everywhere"):
            wait_for("it leads", lambda name=name: self.rabbit.must("GET", f"/api/queues/%2F/{name}").get("node") == node.node)
        daemon, (there, everywhere) = self.begin("there", "everywhere")
        for publisher in (there, everywhere):
            self.wait_more(publisher, 100)
        node.crash()
        self.wait_more(everywhere, 100)
        wait_for("the other one is said to be away", lambda: "queue=there" in daemon.log())
        before = len(self.handled("there"))
        node.start()
        self.wait_more(there, 100)
        self.assertGreater(len(self.handled("there")), before)
        self.finish(daemon, there, everywhere, interrupted=1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
