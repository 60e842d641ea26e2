#!/usr/bin/python3
"""Connections that end: a subscription is made anew, who waits for a reply is told, a command that answers keeps its own,
and a broker's silence is noticed."""
import re
import signal
import subprocess
import threading
import time
import unittest

from child_server import need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from daemon import QUEUECTL
from rabbitmq_case import wait_for
from rabbitmq_server import quote
from rabbitmq_work_case import Working


class Again(Working):
    more = "heartbeat = 2\n"

    def start(self, *words):
        """queuectl in the background; what it says goes to the files "out" and "err"."""
        with open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
            process = subprocess.Popen([QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", *words],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def said(self, name):
        return (self.folder / name).read_text()

    def cut_off(self):
        """As an operator would; an own connection is closed."""
        ours = wait_for("it is listed", lambda: [
            one["name"] for one in self.rabbit.must("GET", "/api/connections")
            if one.get("client_properties", {}).get("connection_name", "").startswith("queue-exporter rabbit consumer")])
        for name in ours:
            self.rabbit.api("DELETE", f"/api/connections/{quote(name)}")

    def bindings(self, exchange):
        return [one["routing_key"] for one in self.rabbit.must("GET", f"/api/exchanges/%2F/{exchange}/bindings/source")]

    def test_a_subscription_is_made_anew(self):
        self.configure()
        self.rabbit.exchange("news", "topic")
        process = self.start("subscribe", "rabbit", "news", "--key", "eu.#", "--max", "2")
        wait_for("subscribed", lambda: self.bindings("news") == ["eu.#"])
        self.queuectl("publish", "rabbit", "news", "--key", "eu.a", "--body", "before")
        wait_for("it got it", lambda: "before" in self.said("out"))
        self.cut_off()
        wait_for("it says so", lambda: "is missed" in self.said("err"))
        wait_for("subscribed again", lambda: self.bindings("news") == ["eu.#"] and "works again" in self.said("err"))
        self.queuectl("publish", "rabbit", "news", "--key", "us.a", "--body", "not this")
        self.queuectl("publish", "rabbit", "news", "--key", "eu.b", "--body", "after")
        self.assertEqual(process.wait(20), 0, self.said("err"))
        self.assertIn("after", self.said("out"))
        self.assertNotIn("not this", self.said("out"))
        self.assertIn("CONNECTION_FORCED", self.said("err"))
        wait_for("its queue is gone", lambda: not self.bindings("news"))

    def test_who_waits_for_a_reply_is_told_that_none_can_come(self):
        self.configure()
        self.rabbit.queue("asked")
        process = self.start("request", "rabbit", "asked", "--body", "x", "--timeout", "60s")
        wait_for("asked", lambda: self.depth("asked") == 1)
        begun = time.monotonic()
        self.cut_off()
        self.assertEqual(process.wait(20), 1)
        self.assertIn("replies to what was requested before cannot come any more", self.said("err"))
        self.assertLess(time.monotonic() - begun, 20)

    def test_a_command_that_takes_long_keeps_its_connection(self):
        """Longer than the broker waits for a heartbeat: the request is answered once."""
        self.configure()
        self.rabbit.queue("long")
        answering = threading.Thread(target=lambda: self.start(
            "reply", "rabbit", "long", "--exec", f"echo begun >>{self.folder}/begun; sleep 9; echo 42", "--max", "1").wait(60))
        answering.start()
        said = self.queuectl("request", "rabbit", "long", "--body", "x", "--timeout", "25s").stdout
        answering.join()
        self.assertEqual(said.strip(), "42")
        self.assertEqual(self.depth("long"), 0)
        self.assertEqual((self.folder / "begun").read_text().split(), ["begun"])
        self.assertNotIn("missed heartbeats", self.rabbit.log())

    def test_a_broker_that_falls_silent_is_noticed_and_asked_again(self):
        """Its connection stays open, and nothing comes."""
        self.rabbit.queue("silent")
        (self.folder / "handled").touch()
        daemon = self.daemon(config=self.configure(f"""
consumers:
  - source: rabbit
    queue: silent
    handler: {{type: exec, command: [/bin/sh, -c, "cat >>{self.folder}/handled"]}}
"""))
        self.connect().basic_publish("", "silent", "before")
        wait_for("it works", lambda: self.said("handled") == "before")
        self.rabbit.signal(signal.SIGSTOP)
        try:
            wait_for("the silence is told", lambda: re.search("queue=silent .*heartbeat", daemon.log()))
        finally:
            self.rabbit.signal(signal.SIGCONT)
        self.connect().basic_publish("", "silent", "after")
        wait_for("it works again", lambda: self.said("handled") == "beforeafter", 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
