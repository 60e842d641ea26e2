#!/usr/bin/python3
"""Every endpoint: what it answers, to which methods, before and after a bad reload."""
import contextlib
import socket
import unittest

from daemon import CONSUMER, PATIENCE_SECONDS, WithFolder


class Endpoints(WithFolder):
    def test_the_landing_page_links_and_names_every_source(self):
        page = self.daemon().ask("/")
        self.assertEqual(page.status, 200)
        self.assertTrue(page.headers["content-type"].lower().startswith("text/html; charset=utf-8"))
        for word in ("/metrics", "/config", "/-/healthy", "/-/ready", "local", "queue_exporter"):
            self.assertIn(word, page.text)
        self.assertRegex(page.text, r"\d+\.\d+\.\d+")

    def test_healthy_and_ready_say_so(self):
        daemon = self.daemon()
        for path in ("/-/healthy", "/-/ready"):
            self.assertEqual(daemon.ask(path).status, 200, path)
            self.assertTrue(daemon.ask(path).headers["content-type"].startswith("text/plain"))

    def test_head_answers_as_get_without_a_body(self):
        daemon = self.daemon()
        for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/config"):
            with self.subTest(path):
                head, get = daemon.ask(path, "HEAD"), daemon.ask(path)
                self.assertEqual((head.status, head.body), (200, b""))
                self.assertEqual(head.headers["content-type"], get.headers["content-type"])
                self.assertGreater(int(head.headers["content-length"]), 0)

    def test_unknown_paths_are_404(self):
        daemon = self.daemon()
        for path in ("/nope", "/metrics/", "/-/", "//", "/metricsx"):
            with self.subTest(path):
                reply = daemon.ask(path)
                self.assertEqual(reply.status, 404)
                self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
                self.assertEqual(reply.headers["x-content-type-options"], "nosniff")

    def test_wrong_methods_are_405_and_say_which_are_right(self):
        daemon = self.daemon("--web.enable-lifecycle")
        for path, method, right in (("/metrics", "POST", {"GET", "HEAD"}), ("/", "DELETE", {"GET", "HEAD"}),
                                    ("/config", "PUT", {"GET", "HEAD"}), ("/-/healthy", "POST", {"GET", "HEAD"}),
                                    ("/-/reload", "GET", {"POST", "PUT"}), ("/-/reload", "HEAD", {"POST", "PUT"})):
            with self.subTest(f"{method} {path}"):
                reply = daemon.ask(path, method)
                self.assertEqual(reply.status, 405)
                self.assertLessEqual(right, {word.strip() for word in reply.headers["allow"].split(",")})
                self.assertEqual(reply.headers["x-content-type-options"], "nosniff")

    def test_reload_is_forbidden_unless_enabled(self):
        reply = self.daemon().ask("/-/reload", "POST")
        self.assertEqual(reply.status, 403)

    def test_reload_applies_a_good_file_and_refuses_a_bad_one(self):
        daemon = self.daemon("--web.enable-lifecycle")
        workers = 'queue_consumer_workers{source="local",queue="orders"}'
        self.assertIsNone(daemon.value(workers))
        self.write_config(extra=CONSUMER)
        for method in ("POST", "PUT"):
            self.assertEqual(daemon.ask("/-/reload", method).status, 200)
        daemon.wait_value(workers, 2)
        self.assertEqual(daemon.value("queue_exporter_config_last_reload_successful"), 1)

        self.write_config(extra=CONSUMER + "bogus: 1\n")
        reply = daemon.ask("/-/reload", "POST")
        self.assertEqual(reply.status, 500)
        self.assertIn("bogus", reply.text)
        self.assertEqual(daemon.value("queue_exporter_config_last_reload_successful"), 0)
        self.assertEqual(daemon.value(workers), 2)
        self.assertNotIn("bogus", daemon.ask("/config").text)

        self.write_config()
        self.assertEqual(daemon.ask("/-/reload", "POST").status, 200)
        self.assertEqual(daemon.value("queue_exporter_config_last_reload_successful"), 1)
        daemon.wait_value(workers, None)

    def test_config_shows_the_effective_settings(self):
        page = self.daemon().ask("/config")
        self.assertEqual(page.status, 200)
        for word in ("poll_interval: 1s", "discovery_interval: 5m", "max_receives: 3", "orders-dlq"):
            self.assertIn(word, page.text)

    def test_an_environment_value_is_expanded(self):
        config = self.write_config(f"sources:\n  - name: ${{QE_TEST_NAME}}\n    type: embedded\n"
                                   f"    path: ${{QE_TEST_NONE:-{self.folder}/queues.db}}\n")
        daemon = self.daemon(config=config, env={"QE_TEST_NAME": "from-env"})
        self.assertEqual(daemon.value('queue_source_up{source="from-env"}'), 1)

    def test_hostile_requests_get_an_answer_and_harm_nobody(self):
        daemon = self.daemon()
        for raw in (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: " + b";q=,/" * 1000 + b"\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE_SECONDS) as client:
                with contextlib.suppress(OSError): # it may hang up on such a client
                    client.sendall(raw)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
        self.assertEqual(daemon.status_of("/-/healthy"), 200)

    def test_requests_are_counted_by_handler_and_code(self):
        daemon = self.daemon()
        daemon.ask("/nope")
        counts = {series: value for series, value in daemon.values().items()
                  if series.startswith("queue_exporter_http_requests_total")}
        self.assertTrue(any('code="404"' in series and value >= 1 for series, value in counts.items()), counts)


if __name__ == "__main__":
    unittest.main()
