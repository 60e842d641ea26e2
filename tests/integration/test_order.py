#!/usr/bin/python3
"""order_by on the embedded store: each group's messages are handled in the order they were sent, also after failures."""
import json
import unittest

from daemon import WithFolder
from order_case import InOrder

EMBEDDED = """
shutdown_timeout: 5s
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s}}
sources:
  - {{name: local, type: embedded, path: {folder}/queues.db, queues: [{{name: orders, visibility_timeout: 30s}}]}}
{consumers}
"""


class OnEmbedded(InOrder, WithFolder):
    source, vhost = "local", ""

    def send(self, messages):
        self.queuectl("dlq", "import", "local", "orders", stdin="".join(
            json.dumps({"body": body, "attributes": {"customer": group}}) + "\n" for group, body in messages))

    def check(self, workers):
        config = self.write_config(EMBEDDED.format(folder=self.folder, consumers=self.consumers("orders", workers)))
        self.check_order(self.daemon(config=config), "orders", self.send)

    def test_order_with_many_workers(self):
        self.check(8)

    def test_order_with_one_worker(self):
        self.check(1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
