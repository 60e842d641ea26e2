#!/usr/bin/python3
"""Handlers on a real RabbitMQ: what fails is in the DLQ with its reason, and a redrive repairs it; with no more permissions
than the README asks for."""
import re
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from daemon import ROOT
from handler_case import Repair
from rabbitmq_work_case import OnRabbit

USER = """    username: exporter
    password: secret
"""


class Repaired(OnRabbit, Repair):
    def setUp(self):
        super().setUp()
        said = re.search(r"set_permissions -p / exporter '(\S+)' '(\S+)' '(\S+)'", (ROOT / "README.md").read_text("utf-8"))
        self.rabbit.must("PUT", "/api/users/exporter", {"password": "secret", "tags": "monitoring"})
        self.rabbit.must("PUT", "/api/permissions/%2F/exporter", dict(zip(("configure", "write", "read"), said.groups())))

    def write_handler_config(self, extra):
        return super().write_handler_config(USER + extra)


if __name__ == "__main__":
    unittest.main(verbosity=2)
