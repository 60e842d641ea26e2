#!/usr/bin/python3
"""Virtual hosts of any name, a broker's own delivery limit beside delayed retries, a full disk, and a broker behind TLS
that stands still."""
import json
import subprocess
import time
import unittest

from child_server import free_port, need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from daemon import QUEUECTL
from rabbitmq_case import wait_for
from rabbitmq_server import quote
from rabbitmq_work_case import CONFIG, Working

NAMES = ("/", "a/b", "ü ?%2F")
FAILING = """
consumers:
  - source: rabbit
    queue: {queue}
    vhost: "{vhost}"
    workers: 1
    handler: {{type: exec, command: [/bin/sh, -c, "echo $QUEUE_RECEIVES >>{folder}/tries;
      echo $QUEUE_MESSAGE_ID $QUEUE_RECEIVES >>{folder}/of_each; echo poison >&2; exit 75"]}}
    retry: {{initial: {pause}, max: {pause}{more}}}
"""
DEAD_LETTERED = 'queue_consumer_messages_dead_lettered_total{source="rabbit",vhost="/",queue="limited",reason="max_receives"}'


class Places(Working):
    @classmethod
    def setUpClass(cls):
        cls.tls_port = free_port()
        cls.keys = subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip()
        cls.addClassCleanup(subprocess.run, ["rm", "-r", cls.keys], check=False)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker", "-days", "2",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{cls.keys}/key.pem", "-out",
                        f"{cls.keys}/cert.pem"], check=True, capture_output=True)
        cls.more = f"""
listeners.ssl.1 = 127.0.0.1:{cls.tls_port}
ssl_options.cacertfile = {cls.keys}/cert.pem
ssl_options.certfile = {cls.keys}/cert.pem
ssl_options.keyfile = {cls.keys}/key.pem
"""
        super().setUpClass()

    def ready(self, vhost, queue):
        return self.rabbit.must("GET", f"/api/queues/{quote(vhost)}/{queue}").get("messages_ready")

    def tries(self):
        at = self.folder / "tries"
        return at.read_text().split() if at.exists() else []

    def test_a_virtual_host_of_any_name_is_worked_in(self):
        for vhost in NAMES:
            with self.subTest(vhost):
                (self.folder / "tries").unlink(missing_ok=True)
                if vhost != "/":
                    self.rabbit.vhost(vhost)
                    self.rabbit.must("PUT", f"/api/permissions/{quote(vhost)}/guest",
                                     {"configure": ".*", "write": ".*", "read": ".*"})
                self.rabbit.queue("odd-dlq", vhost=vhost)
                self.rabbit.queue("odd", vhost=vhost, dead_letter_exchange="", dead_letter_routing_key="odd-dlq")
                config = self.configure(extra=FAILING.format(queue="odd", vhost=vhost, folder=self.folder,
                                                             pause="100ms", more=", max_receives: 2"))
                self.queuectl("send", "rabbit", "odd", "--vhost", vhost, "--body", "in " + vhost)
                daemon = self.daemon(config=config)
                wait_for("retried by a delay, and dead-lettered", lambda: self.ready(vhost, "odd-dlq") == 1)
                self.assertEqual(self.tries(), ["1", "2"])
                got = json.loads(self.queuectl("receive", "rabbit", "odd-dlq", "--vhost", vhost, "--json", "--ack").stdout)
                self.assertEqual(got["body"], "in " + vhost)
                self.assertIn("max_receives", got["attributes"]["dead-letter-reason"])
                self.end(daemon)

    def work_on_limited(self, count, pause, counted=False):
        self.rabbit.queue("limited-dlq")
        self.rabbit.queue("limited", kind="quorum", delivery_limit=2, dead_letter_exchange="",
                          dead_letter_routing_key="limited-dlq")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/queues/%2F/limited")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/queues/%2F/limited-dlq")
        daemon = self.daemon(config=self.configure(extra=FAILING.format(
            queue="limited", vhost="/", folder=self.folder, pause=pause, more="")))
        for i in range(count):
            self.queuectl("send", "rabbit", "limited", "--body", str(i))
        wait_for("dead-lettered", lambda: self.ready("/", "limited-dlq") == count)
        if counted:
            daemon.wait_value(DEAD_LETTERED, count)
        self.end(daemon)
        of_each = {}
        for line in (self.folder / "of_each").read_text().splitlines():
            of_each.setdefault(line.split()[0], []).append(int(line.split()[1]))
        self.assertEqual(len(of_each), count)
        for tries in of_each.values():  # a delivery that is given back unhandled counts, too
            self.assertEqual(tries, sorted(set(tries)))
            self.assertTrue(all(receives <= 2 for receives in tries[:-1]), tries)

    def test_a_delivery_limit_of_the_broker_counts_delayed_retries_too(self):
        """Each retry with a delay is a copy, of which the broker knows no earlier delivery."""
        self.work_on_limited(3, "100ms", counted=True)
        self.assertEqual(self.depth("limited") + self.depth("qe.delay.100ms"), 0)
        letters = self.queuectl("receive", "rabbit", "limited-dlq", "--json", "--ack", "--max", "3").stdout.splitlines()
        self.assertEqual(len(letters), 3)
        for letter in letters:
            told = json.loads(letter)["attributes"]
            self.assertEqual(told["dead-letter-reason"], "max_receives")
            self.assertIn("poison", told["dead-letter-first-error"])
            self.assertIn("poison", told["dead-letter-last-error"])
            self.assertIn("dead-letter-first-seen", told)

    def test_a_delivery_limit_of_the_broker_counts_copies_that_go_back_without_a_delay(self):
        """Half of such delays are none: what goes back in place is counted by the broker, from its last copy on."""
        self.work_on_limited(10, "1ms")

    def test_a_full_disk_stops_who_sends_and_loses_nothing(self):
        self.configure()
        self.rabbit.queue("disk")
        sender = subprocess.Popen(
            [QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "send", "rabbit", "disk", "--body", "x",
             "--count", "0", "--rate", "50", "--timeout", "2s"], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (sender.kill(), sender.wait()))
        wait_for("it sends", lambda: self.depth("disk") > 0)
        self.rabbit.ctl("set_disk_free_limit", "1000000GB")
        try:
            begun = time.monotonic()
            words = sender.communicate(timeout=30)[1]
            self.assertLess(time.monotonic() - begun, 15)
            self.assertEqual(sender.returncode, 1)
            self.assertRegex(words, "disk.*resource alarm")
            daemon = self.daemon(config=self.configure(extra=(
                "consumers:\n  - {source: rabbit, queue: disk, handler: {type: discard}}")))
            wait_for("what is there is handled all the same", lambda: self.depth("disk") == 0)
            self.end(daemon)
        finally:
            self.rabbit.ctl("set_disk_free_limit", "50MB")
        wait_for("sent", lambda: self.queuectl("send", "rabbit", "disk", "--body", "y", check=False).returncode == 0)

    def test_a_broker_that_stands_still_behind_tls_holds_nobody_up(self):
        self.write_config(CONFIG.format(management=self.rabbit.url, discovery=3, amqp=f"amqps://127.0.0.1:{self.tls_port}",
                                        extra=f"    tls: {{ca_file: {self.keys}/cert.pem}}"))
        self.rabbit.queue("still")
        self.stand_still("still")
        wait_for("it works again", lambda: "received" in self.queuectl(
            "receive", "rabbit", "still", "--timeout", "5s", check=False).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
