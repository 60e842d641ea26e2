"""A real RabbitMQ for a test: its own ports, data, cookie and port mapper (epmd), nothing of the system's.

The programs are Debian's package `rabbitmq-server` with its Erlang, unpacked or installed: where QE_RABBITMQ (a root
folder) says, under build/rabbitmq, which packaging/quickstart/rabbitmq.sh makes, or in the system.
"""
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

from child_server import _end_with_parent, end_program, free_port, run_under

ROOT = pathlib.Path(__file__).parents[2]
START_SECONDS = 90  # seven on a quiet machine
HOST = "127.0.0.1"
SAVES = "[ok = dets:sync(Table) || Table <- dets:all()]"
FAST = """
collect_statistics_interval = 1000
management.sample_retention_policies.global.minute = 1
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.detailed.10 = 1
"""


def programs():
    """The root folder of RabbitMQ's programs; None: there are none."""
    for root in (os.environ.get("QE_RABBITMQ"), ROOT / "build" / "rabbitmq", "/"):
        if root and os.access(pathlib.Path(root) / "usr/lib/rabbitmq/bin/rabbitmq-server", os.X_OK):
            return pathlib.Path(root)
    return None


def search_path():
    """The PATH on which Erlang's programs are those of programs()."""
    return f"{programs() / 'usr/bin'}:{os.environ.get('PATH', '')}"


def need_rabbitmq():
    """Ends the program where there is no RabbitMQ: skipped, or failed where servers are required."""
    if programs() is None or not shutil.which("epmd", path=search_path()):
        end_program("no RabbitMQ (packaging/quickstart/servers.sh unpacks one)")


def quote(name):
    return urllib.parse.quote(name, safe="")


class Epmd:
    """The port mapper of a cluster, in the foreground, so that it ends with us."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(
            [shutil.which("epmd", path=search_path()), "-port", str(self.port), "-address", HOST], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=_end_with_parent)

    def stop(self):
        self.process.kill()
        self.process.wait()


class RabbitServer:
    """Context manager: one node. `plugins` and `more` (lines of rabbitmq.conf) are the test's; a second node of a
    cluster is made `beside` the first; `is_fast`: statistics come every second, not every five; `settings`: more of
    rabbit's own, each with a comma before it."""

    foreign = None  # set before start(): a plugin (its .ez or folder) that RabbitMQ does not bring

    def __init__(self, plugins=("rabbitmq_management", "rabbitmq_prometheus"), more="", beside=None, is_fast=True, settings=""):
        self.plugins, self.more, self.beside, self.settings = plugins, more, beside, settings
        if is_fast and "rabbitmq_management" in plugins:
            self.more += FAST
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rabbit-"))
        self.epmd = beside.epmd if beside else Epmd()
        self.amqp_port, self.management_port, self.metrics_port, self.dist_port = (free_port() for _ in range(4))
        self.node = f"n{self.amqp_port}@localhost"
        self.process = None
        self._write_files()

    @property
    def url(self):
        return f"http://{HOST}:{self.management_port}"

    @property
    def metrics_url(self):
        return f"http://{HOST}:{self.metrics_port}"

    def _write_files(self):
        for name in ("home", "data", "log", "conf.d"):
            (self.folder / name).mkdir()
        cookie = self.folder / "home" / ".erlang.cookie"
        cookie.write_text("COOKIEOFTHETESTS")
        cookie.chmod(0o400)
        (self.folder / "enabled_plugins").write_text(f"[{','.join(self.plugins)}].\n")
        (self.folder / "advanced.config").write_text(f"[{{rabbit,[{{quorum_tick_interval,1000}}{self.settings}]}}].\n")
        lines = [f"listeners.tcp.1 = {HOST}:{self.amqp_port}", "loopback_users = none", "log.console = false",
                 "vm_memory_high_watermark.absolute = 2GB", "disk_free_limit.absolute = 50MB"]
        if "rabbitmq_management" in self.plugins:
            lines += [f"management.tcp.ip = {HOST}", f"management.tcp.port = {self.management_port}"]
        if "rabbitmq_prometheus" in self.plugins:
            lines += [f"prometheus.tcp.ip = {HOST}", f"prometheus.tcp.port = {self.metrics_port}"]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n" + self.more)

    def _environment(self):
        at = str(self.folder)
        return {**os.environ, "HOME": f"{at}/home", "PATH": search_path(), "RABBITMQ_NODENAME": self.node,
                "RABBITMQ_MNESIA_BASE": f"{at}/data", "RABBITMQ_LOG_BASE": f"{at}/log",
                "RABBITMQ_PID_FILE": f"{at}/pid", "RABBITMQ_CONFIG_FILE": f"{at}/rabbitmq.conf",
                "RABBITMQ_CONFIG_FILES": f"{at}/conf.d", "RABBITMQ_ADVANCED_CONFIG_FILE": f"{at}/advanced.config",
                "RABBITMQ_ENABLED_PLUGINS_FILE": f"{at}/enabled_plugins", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
                "RABBITMQ_DIST_PORT": str(self.dist_port), "ERL_EPMD_PORT": str(self.epmd.port),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
                "ERL_EPMD_ADDRESS": HOST, **self._plugin_folders()}

    def _plugin_folders(self):
        if not self.foreign:
            return {}
        own = next(programs().glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins"))
        link = self.folder / "plugins" / self.foreign.name
        if not link.is_symlink():
            link.parent.mkdir()
            link.symlink_to(self.foreign)
        return {"RABBITMQ_PLUGINS_DIR": f"{link.parent}:{own}"}

    def start(self):
        with open(self.folder / "log" / "stdout", "ab") as log:
            self.process = subprocess.Popen(
                [programs() / "usr/lib/rabbitmq/bin/rabbitmq-server"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=self._environment(), start_new_session=True, preexec_fn=_end_with_parent)
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"RabbitMQ does not start:\n{self.log()[-3000:]}")
            time.sleep(0.1)

    def _is_ready(self):
        try:
            if "rabbitmq_management" in self.plugins and self.api("GET", "/api/overview")[0] not in (200, 401):
                return False
            with socket.create_connection((HOST, self.amqp_port), timeout=1):
                return True
        except OSError:
            return False

    name = "RabbitMQ"

    def exported(self):
        """Environment of programs that run beside it."""
        return {"QE_RABBITMQ_URL": self.url, "QE_RABBITMQ_AMQP_URL": f"amqp://{HOST}:{self.amqp_port}"}

    def log(self):
        return (self.folder / "log" / "stdout").read_text(errors="replace")

    def ctl(self, *words, program="rabbitmqctl"):
        done = subprocess.run([programs() / "usr/lib/rabbitmq/bin" / program, *words], check=False, env=self._environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"{program} {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")

    def join(self, other):
        """Into the other's cluster."""
        self.ctl("stop_app")
        self.ctl("join_cluster", other.node)
        try:
            self.ctl("start_app")
        except RuntimeError as error:  # seen once on a busy machine: the node ran and its application did not start
            print(f"once more: {error}", flush=True)
            self.ctl("start_app")
        self.wait_ready()

    def api(self, method, path, body=None, user="guest", password="guest"):
        """(status, what the JSON says or None)"""
        connection = http.client.HTTPConnection(HOST, self.management_port, timeout=60)
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Authorization": f"Basic {token}", "Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text[:1] in (b"[", b"{") else None
        finally:
            connection.close()

    def must(self, method, path, body=None):
        status, said = self.api(method, path, body)
        if status not in (200, 201, 204):
            raise AssertionError(f"{method} {path}: {status} {said}")
        return said

    def vhost(self, name):
        self.must("PUT", f"/api/vhosts/{quote(name)}")

    def queue(self, name, vhost="/", kind="classic", **arguments):
        """Arguments without their x-, with _ for -."""
        said = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
        if kind != "classic":
            said["x-queue-type"] = kind
        self.must("PUT", f"/api/queues/{quote(vhost)}/{quote(name)}", {"durable": True, "arguments": said})

    def exchange(self, name, kind, vhost="/", **arguments):
        self.must("PUT", f"/api/exchanges/{quote(vhost)}/{quote(name)}", {
            "type": kind, "durable": True, "arguments": {key.replace("_", "-"): v for key, v in arguments.items()}})

    def bind(self, source, destination, key="", vhost="/", kind="q", arguments=None):
        """kind: "q" to a queue, "e" to an exchange."""
        self.must("POST", f"/api/bindings/{quote(vhost)}/e/{quote(source)}/{kind}/{quote(destination)}",
                  {"routing_key": key, "arguments": arguments or {}})

    def policy(self, name, pattern, definition, vhost="/", operator=False, **more):
        kind = "operator-policies" if operator else "policies"
        self.must("PUT", f"/api/{kind}/{quote(vhost)}/{quote(name)}",
                  {"pattern": pattern, "definition": definition, "apply-to": "queues", **more})

    def publish(self, key, count=1, vhost="/", **properties):
        """Straight to the queue of that name."""
        for _ in range(count):
            self.must("POST", f"/api/exchanges/{quote(vhost)}/amq.default/publish", {
                "properties": properties, "routing_key": key, "payload": "x", "payload_encoding": "string"})

    def signal(self, number):
        """To all of its processes: SIGSTOP, and it stands still."""
        os.killpg(self.process.pid, number)

    def kill(self):
        """At once, as when the power fails; start() brings it back with its data."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process = None

    def save_names(self):
        """For a kill(): what RabbitMQ itself forgets. The name of a quorum queue is saved about a second after its
        declaration (ra's directory, a dets file). Of one that is killed before, half is left, which never confirms."""
        self.ctl("eval", f"{SAVES}.")

    def crash(self):
        """As kill(), and names are saved right before."""
        try:
            self.ctl("eval", f"{SAVES}, os:cmd(\"kill -9 \" ++ os:getpid()).")
        except RuntimeError:
            pass  # it answers no more
        else:
            raise AssertionError("RabbitMQ has not been killed")
        self.kill()

    def stop(self):
        """Ends it and forgets its data; a second call is harmless."""
        self.kill()
        if not self.beside:
            self.epmd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


if __name__ == "__main__":
    need_rabbitmq()
    sys.exit(run_under(RabbitServer(), sys.argv[1:]))
