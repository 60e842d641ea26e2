#!/usr/bin/python3
"""Command lines and exit codes: 0 ended as asked, 1 runtime failure, 2 usage or configuration."""
import socket
import subprocess
import unittest

from daemon import EXPORTER, PATIENCE_SECONDS, QUEUECTL, WithFolder


def run(*words):
    return subprocess.run(list(words), text=True, capture_output=True, stdin=subprocess.DEVNULL,
                          timeout=PATIENCE_SECONDS, check=False)


class Flags(WithFolder):
    def test_version_goes_to_stdout(self):
        for program in (EXPORTER, QUEUECTL):
            done = run(program, "--version")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"version \d+\.\d+\.\d+")

    def test_help_names_every_flag(self):
        done = run(EXPORTER, "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for flag in ("config.file", "config.check", "web.listen-address", "web.telemetry-path",
                     "web.enable-lifecycle", "log.level", "log.format", "version", "help"):
            self.assertIn(f"--{flag}", done.stdout)
        self.assertEqual(run(QUEUECTL, "--help").returncode, 0)

    def test_wrong_usage_exits_2_and_names_the_word(self):
        for words in (["--web.lisen-address=:1"], ["--log.level=loud"], ["--log.format", "xml"], ["stray"],
                      ["--config.file"], ["--web.telemetry-path=metrics"],
                      ["--web.telemetry-path=/config"], ["--web.listen-address", "nowhere"], ["--config.c"]):
            with self.subTest(words):
                done = run(EXPORTER, *words)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(words[0].split("=")[0], done.stderr)
        for words in ([], ["sing"], ["send"], ["stats", "--loud"]):
            with self.subTest(["queuectl", *words]):
                self.assertEqual(run(QUEUECTL, f"--config.file={self.write_config()}", *words).returncode, 2)

    def test_a_near_miss_is_suggested(self):
        self.assertIn("--web.listen-address", run(EXPORTER, "--web.lisen-address=:1").stderr)

    def test_a_missing_configuration_exits_2_and_names_the_file(self):
        done = run(EXPORTER, f"--config.file={self.folder}/nowhere.yml")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nowhere.yml", done.stderr)

    def test_a_bad_configuration_exits_2_with_every_error_at_its_place(self):
        config = self.write_config("sources:\n"
                                   "  - name: local\n"
                                   "    type: embedded\n"
                                   f"    path: {self.folder}/queues.db\n"
                                   "    pol_interval: 30s\n"
                                   "    poll_timeout: soon\n"
                                   "consumers:\n"
                                   "  - {source: local, queue: orders, workers: -1}\n")
        for words in ([], ["--config.check"]):
            done = run(EXPORTER, f"--config.file={config}", *words)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"{config}:5:5: ", done.stderr)
            self.assertIn('did you mean "poll_interval"', done.stderr)
            self.assertRegex(done.stderr, rf"(?m)^{config}:6:\d+: .*poll_timeout")
            self.assertRegex(done.stderr, rf"(?m)^{config}:8:\d+: .*workers")

    def test_a_good_configuration_passes_the_check(self):
        for words in ([f"--config.file={self.write_config()}"], ["--config.file", str(self.write_config())]):
            self.assertEqual(run(EXPORTER, *words, "--config.check").returncode, 0)
        self.assertFalse((self.folder / "queues.db").exists(), "a check must not touch the store")

    def test_a_port_in_use_exits_1_and_names_the_address(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"
            done = run(EXPORTER, f"--config.file={self.write_config()}", f"--web.listen-address={address}")
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_several_addresses_and_ipv6_are_listened_on(self):
        daemon = self.daemon("--web.listen-address=[::1]:0", "--web.listen-address=127.0.0.1:0")
        self.assertEqual(daemon.status_of("/-/healthy"), 200)
        ports = set()
        with open("/proc/net/tcp6", encoding="ascii") as table:
            inodes = self.sockets_of(daemon)
            for row in list(table)[1:]:
                fields = row.split()
                if fields[3] == "0A" and fields[9] in inodes:
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
        self.assertEqual(len(ports), 1, "one IPv6 listener")
        with socket.create_connection(("::1", ports.pop()), timeout=PATIENCE_SECONDS) as client:
            client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn(b"200", client.recv(100))

    @staticmethod
    def sockets_of(daemon):
        import os
        folder = f"/proc/{daemon.process.pid}/fd"
        links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
        return {link[8:-1] for link in links if link.startswith("socket:[")}

    def test_the_log_is_logfmt_or_json_on_stderr(self):
        import json
        daemon = self.daemon("--log.format=json")
        for line in daemon.log().splitlines():
            self.assertIn("level", json.loads(line))
        daemon = self.daemon("--log.format=logfmt")
        self.assertRegex(daemon.log(), r"(?m)\blevel=info\b")
        daemon = self.daemon("--log.level=error")
        self.assertEqual(daemon.log(), "")

    def test_another_telemetry_path_is_served_and_linked(self):
        daemon = self.daemon("--web.telemetry-path", "/m")
        self.assertIn("queue_source_up", daemon.ask("/m").text)
        self.assertEqual(daemon.status_of("/metrics"), 404)
        self.assertIn('href="/m"', daemon.ask("/").text)


if __name__ == "__main__":
    unittest.main()
