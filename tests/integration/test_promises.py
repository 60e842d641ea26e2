#!/usr/bin/python3
"""What the consumer promises on every broker: on the embedded store."""
import json
import unittest

from consumer_case import Limits, OverHttp, Settling
from embedded_case import OnEmbedded


class Promises(Limits, Settling, OverHttp, OnEmbedded):
    max_receives = 100
    request_names_its_queue = False

    @staticmethod
    def make_reply_queue():
        return "replies"

    def ask(self, queue, body, reply_to, correlation_id):
        self.send_lines(queue, [{"body": body, "reply_to": reply_to,
                                 **({"correlation_id": correlation_id} if correlation_id else {})}])

    def replies(self, queue):
        rows = self.queuectl("receive", "local", queue, "--ack", "--max", "10", "--json", "--timeout", "1s", check=False).stdout
        return [(row["body"], row["correlation_id"]) for row in map(json.loads, rows.splitlines())]


if __name__ == "__main__":
    unittest.main(verbosity=2)
