#!/usr/bin/python3
"""RabbitMQ over TLS: only a server that proves its name is talked to, its management API and metrics are watched through it
too, and whoever is refused is told the place, the reason and what to look at."""
import pathlib
import subprocess
import tempfile
import unittest

from child_server import free_port, need_test_python

need_test_python()

# pylint: disable=wrong-import-position
from rabbitmq_case import of_source, series, wait_for
from rabbitmq_work_case import CONFIG, Working


class Tls(Working):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="qe-tls-")
        cls.addClassCleanup(folder.cleanup)
        cls.at = pathlib.Path(folder.name)
        cls.port, cls.api_port, cls.own_metrics_port = (free_port() for _ in range(3))
        cls.make_ca("ca")
        cls.make_ca("other")
        cls.make("server", "ca", "-addext", "subjectAltName=IP:127.0.0.1,DNS:elsewhere.example")
        cls.make("client", "ca")
        cls.make("stranger", "other")
        mine = [f"cacertfile = {cls.at}/ca.pem", f"certfile = {cls.at}/server.pem", f"keyfile = {cls.at}/server.key"]
        cls.more = "\n".join([
            f"listeners.ssl.1 = 127.0.0.1:{cls.port}", "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = true", *(f"ssl_options.{line}" for line in mine),
            "management.ssl.ip = 127.0.0.1", f"management.ssl.port = {cls.api_port}",
            *(f"management.ssl.{line}" for line in mine),
            "prometheus.ssl.ip = 127.0.0.1", f"prometheus.ssl.port = {cls.own_metrics_port}",
            *(f"prometheus.ssl.{line}" for line in mine), ""])
        super().setUpClass()
        cls.rabbit.queue("secret")

    @classmethod
    def openssl(cls, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=cls.at)

    @classmethod
    def make_ca(cls, name):
        cls.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2", "-keyout",
                    f"{name}.key", "-out", f"{name}.pem")

    @classmethod
    def make(cls, name, authority, *more):
        """A key and its certificate."""
        cls.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                    f"{name}.csr", *more)
        cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                    "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.pem")

    def tls(self, ca="ca", own=None):
        shown = f", cert_file: {self.at}/{own}.pem, key_file: {self.at}/{own}.key" if own else ""
        return f"{{ca_file: {self.at}/{ca}.pem{shown}}}"

    # --- AMQP ---

    def try_with(self, tls, address=None):
        self.write_config(CONFIG.format(management=self.rabbit.url, discovery=3, amqp=address or f"amqps://127.0.0.1:{self.port}",
                                        extra=f"    tls: {tls}"))
        return self.queuectl("send", "rabbit", "secret", "--body", "x", "--timeout", "5s", check=False)

    def test_only_a_server_that_proves_its_name_is_talked_to(self):
        before = self.depth("secret")
        done = self.try_with(self.tls(own="client"))
        self.assertEqual(done.returncode, 0, done.stderr)  # by its address
        for tls, host, says in ((self.tls(own="client"), "localhost", "certificate is not trusted, or is another host's"),
                                (self.tls("other", "client"), "127.0.0.1", "certificate is not trusted"),
                                (f"{{cert_file: {self.at}/client.pem, key_file: {self.at}/client.key}}", "127.0.0.1",
                                 "certificate is not trusted"),  # the system's CAs know nothing of it
                                (self.tls("nothing", "client"), "127.0.0.1", "nothing.pem")):
            done = self.try_with(tls, f"amqps://{host}:{self.port}")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(says, done.stderr)
        self.assertEqual(self.depth("secret"), before + 1)

    def expect_refusal(self, tls, address, says):
        done = self.try_with(tls, address)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f"127.0.0.1 port {address.rpartition(':')[2]}: {says}")

    def test_a_server_that_refuses_our_certificate_is_named_with_what_to_look_at(self):
        for own in (None, "stranger"):  # with TLS 1.3 its last words may be lost
            for _ in range(3):
                self.expect_refusal(self.tls(own=own), f"amqps://127.0.0.1:{self.port}",
                                    ".*certificate.*see tls.cert_file and tls.key_file")

    def test_so_is_one_of_tls_1_2_or_older(self):
        for more, own, says in ((("-tls1_2", "-Verify", "1", "-verify_return_error"), None, "may want a certificate of ours: see "
                                 "tls.cert_file and tls.key_file"),
                                (("-tls1_2", "-Verify", "1", "-verify_return_error"), "stranger", "refuses our certificate: see "
                                 "tls.cert_file and tls.key_file .*unknown ca"),
                                (("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), None, "knows no TLS 1.2 or newer")):
            with self.subTest(more=more, own=own):
                port = free_port()
                with subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "server.pem", "-key",
                                       "server.key", "-CAfile", "ca.pem", *more], cwd=self.at, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
                    try:
                        wait_for("it listens", lambda server=server: server.stdout.readline().startswith("ACCEPT"))
                        self.expect_refusal(self.tls(own=own), f"amqps://127.0.0.1:{port}", ".*" + says)
                    finally:
                        server.kill()

    def test_a_port_for_the_one_that_is_spoken_to_as_the_other(self):
        self.expect_refusal(self.tls(own="client"), f"amqps://127.0.0.1:{self.rabbit.amqp_port}",
                            "what answers there speaks no TLS: is it the port for amqp://")
        self.expect_refusal(self.tls(own="client"), f"amqp://127.0.0.1:{self.port}",
                            "connected, but .*: if this is a port for TLS, write amqps://")
        self.expect_refusal(self.tls(own="client"), f"amqp://127.0.0.1:{self.rabbit.management_port}",
                            "connected, but the login is not answered in time: does a broker listen there")

    # --- watching ---

    def test_the_api_and_the_metrics_are_watched_over_https(self):
        self.rabbit.queue("watched")
        self.rabbit.publish("watched", 2)
        for method, more in (("statistics", ""), ("metrics", f"    metrics_urls: [\"https://127.0.0.1:{self.own_metrics_port}\"]\n")):
            daemon = self.watch(f"https://127.0.0.1:{self.api_port}", f"    method: {method}\n{more}    tls: {self.tls()}\n")
            self.wait_values(f"depths by {method}", daemon, {
                series("queue_messages_ready", "watched"): 2, of_source("queue_source_up"): 1,
                of_source("queue_source_method_info", method=method): 1})
            daemon.stop()

    def test_what_is_wrong_with_https_has_its_reason(self):
        api = f"https://127.0.0.1:{self.api_port}"
        rows = (("another CA", api, self.tls("other"), "certificate"),
                ("the system's", api, "{}", "certificate"),
                ("no such file", api, self.tls("nothing"), "nothing.pem"),
                ("another name", api.replace("127.0.0.1", "localhost"), self.tls(), "certificate"),
                ("no TLS there", self.rabbit.url.replace("http:", "https:"), self.tls(), "wrong version number"))
        daemons = {name: self.watch(url, f"    tls: {tls}\n") for name, url, tls, _ in rows}  # all at once
        for name, url, _, says in rows:
            with self.subTest(name):
                place = url.removeprefix("https://")
                wait_for(f"{name} is said", lambda name=name, place=place, says=says: any(
                    place in line and says in line for line in daemons[name].log().splitlines()))
                self.assertEqual(daemons[name].value(of_source("queue_source_up")), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
