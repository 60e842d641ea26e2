"""A server that is a child of the test: a free port, readiness with a deadline, ended by its own id."""
import ctypes
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
TEST_PYTHON = os.environ.get("QE_TEST_PYTHON") or str(ROOT / "build" / "venv" / "bin" / "python")
NODE_MODULES = os.environ.get("QE_NODE_MODULES") or str(ROOT / "build" / "npm" / "node_modules")
PATIENCE_SECONDS = 60  # a net under hangs: moto takes two seconds to start, on a busy machine ten
SKIPPED = 77  # CTest's SKIP_RETURN_CODE
_PR_SET_PDEATHSIG = 1


def end_program(what):
    """Ends this program because a server is missing: skipped, or failed where servers are required."""
    if os.environ.get("QE_REQUIRE_SERVERS") == "1":
        sys.exit(f"FAILED: {what}; it is required here (QE_REQUIRE_SERVERS=1)")
    print(f"skipped: {what}; packaging/quickstart/servers.sh makes it")
    sys.exit(SKIPPED)


def need_test_python():
    """Goes on under the interpreter that has boto3 and moto; ends the program where there is none."""
    if not os.access(TEST_PYTHON, os.X_OK):
        end_program(f"no test servers at {TEST_PYTHON}")
    if os.environ.get("QE_UNDER_TEST_PYTHON") != "1":
        os.environ["QE_UNDER_TEST_PYTHON"] = "1"
        os.execv(TEST_PYTHON, [TEST_PYTHON, "-B", *sys.argv])


_given_ports = set()


def free_port():
    """A port below the ephemeral range, so that no outgoing connection takes it meanwhile. Never the same twice: a server
    takes some seconds until it listens, and with several ports the second could be the first."""
    while True:
        port = random.randint(20000, 32000)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                _given_ports.add(port)
                return port
            except OSError:
                continue


def _end_with_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ChildServer:
    """Context manager; `command(port)` and `environment()` are the subclass's."""

    name = "server"

    def __init__(self):
        self.process = self.log_file = self.port = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self, port):
        raise NotImplementedError

    def environment(self):
        return {}

    def prepare(self):
        """What must be done once it answers."""

    def exported(self):
        """Environment of programs that run beside it."""
        return {}

    def start(self):
        for _ in range(5):
            self.port = free_port()
            self.log_file = tempfile.TemporaryFile()
            self.process = subprocess.Popen(
                self.command(self.port), stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file,
                env={**os.environ, **self.environment()}, preexec_fn=_end_with_parent)
            try:
                if self._wait_ready():
                    self.prepare()
                    return self
            except BaseException:
                self.stop()
                raise
            self.stop()
        raise AssertionError(f"{self.name} did not start five times")

    def _wait_ready(self):
        """False when it ended by itself: its port was taken meanwhile."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                print(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-2000:]}", file=sys.stderr)
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return True
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"{self.name} not ready within {PATIENCE_SECONDS} s:\n{self.log()[-2000:]}")

    def log(self):
        self.log_file.seek(0)
        return self.log_file.read().decode("utf-8", "replace")

    def stop(self):
        """Ends it if it runs; a second call is harmless."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()  # it keeps nothing, so there is nothing to wait for
            self.process.wait()
            self.process = None
            self.log_file.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def run_under(server, arguments):
    """`--exec COMMAND...`: the command with the server's address in its environment; its exit code."""
    if arguments[:1] != ["--exec"] or len(arguments) < 2:
        sys.exit(f"usage: {sys.argv[0]} --exec COMMAND...")
    with server:
        child = subprocess.Popen(arguments[1:], env={**os.environ, **server.exported()},
                                 preexec_fn=_end_with_parent)
        try:
            code = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if code != 0:
            print(f"--- the end of {server.name}'s log ---\n{server.log()[-4000:]}", file=sys.stderr)
    return code if code >= 0 else 128 - code
