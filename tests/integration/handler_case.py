"""What every driver's handlers promise together: a failing handler fills the DLQ with reasons, and a redrive repairs it."""
import os
import pathlib
import re
import sys

from daemon import wait_for

# Does what the body says; `fixed` in the folder repairs it. $1: the folder, which learns who was handled.
WORK = """#!/bin/sh
read -r body
case $body in
bad*) test -e "$1/fixed" || { echo "bad_address: no such street in $body" >&2; exit 65; } ;;
down*) test -e "$1/fixed" || { echo "downstream: it answers 502" >&2; exit 75; } ;;
esac
echo "$body $QUEUE_MESSAGE_ID" >>"$1/done"
"""

CONSUMER = """
consumers:
  - source: {source}
    queue: {queue}
    vhost: "{vhost}"
    workers: 4
    reasons: [bad_address, downstream]
    retry: {{initial: 10ms, max: 20ms, max_receives: 2}}
    handler: {{type: exec, command: [{command}, {folder}], timeout: 20s}}
"""


def write_program(folder, name, text):
    path = pathlib.Path(folder) / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def python_program(folder, name, text):
    return write_program(folder, name, f"#!{sys.executable} -S\n{text}")


def children_of(pid):
    """Ids of the processes whose parent is `pid`, zombies included."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry))
    return found


def of(daemon, family, source, queue, **labels):
    """A consumer's value, whatever the order of its labels; an empty one is none."""
    wanted = {"source": source, "queue": queue, **{name: value for name, value in labels.items() if value}}
    for series, value in daemon.values().items():
        name, _, rest = series.partition("{")
        if name == family and dict(re.findall(r'(\w+)="([^"]*)"', rest)) == wanted:
            return value
    return None


class Repair:
    """For a test case of a driver, which says: `source`, `vhost`, make_pair() -> (queue, DLQ), write_handler_config(extra),
    send_all(queue, bodies), left(queue) -> messages."""

    source, vhost = None, ""

    def handled(self):
        path = self.folder / "done"
        return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def test_a_handler_that_fails_is_repaired_from_its_dlq(self):
        queue, dlq = self.make_pair()
        work = write_program(self.folder, "work", WORK)
        config = self.write_handler_config(CONSUMER.format(source=self.source, queue=queue, vhost=self.vhost,
                                                           command=work, folder=self.folder))
        daemon = self.daemon(config=config)
        bodies = [f"good{n}" for n in range(12)] + [f"bad{n}" for n in range(5)] + [f"down{n}" for n in range(3)]
        self.send_all(queue, bodies)

        def count(what, reason):
            return of(daemon, f"queue_consumer_messages_{what}_total", self.source, queue, vhost=self.vhost, reason=reason)
        self.assertEqual(count("dead_lettered", "downstream"), 0, "there from the start")
        wait_for("all have been tried", lambda: (count("dead_lettered", "bad_address"), count("dead_lettered", "max_receives"))
                 == (5, 3) and self.left(queue) == 0)
        self.assertEqual(count("failed", "downstream"), 6)
        where = (self.source, dlq, *(("--vhost", self.vhost) if self.vhost else ()))
        said = self.queuectl("dlq", "inspect", *where, "--yes").stdout
        self.assertRegex(said, r"(?m)^ +5  bad_address$")
        self.assertRegex(said, r"(?m)^ +3  max_receives$")
        self.assertIn("bad_address: no such street in bad", said)
        redrive = ("dlq", "redrive", *where, "--yes", "--canary", "2", "--canary-wait")
        done = self.queuectl(*redrive, "20s", check=False)
        self.assertEqual(done.returncode, 1, "nothing is repaired yet")
        self.assertIn("canaries came back", done.stdout)
        wait_for("the canaries are back", lambda: self.left(dlq) == 8)
        (self.folder / "fixed").touch()
        done = self.queuectl(*redrive, "2s")
        wait_for("all are handled", lambda: set(self.handled()) == set(bodies))
        wait_for("nothing is left", lambda: (self.left(queue), self.left(dlq)) == (0, 0))
