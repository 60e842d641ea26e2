"""A real terminal for tests of what draws on one: a tmux server of the test's own."""
import os
import shutil
import subprocess
import tempfile
import time

from child_server import end_program
from daemon import PATIENCE_SECONDS, wait_for


def need_tmux():
    """Ends the program where there is no tmux: skipped, or failed where servers are required."""
    if shutil.which("tmux") is None:
        end_program("no tmux")


class Terminal:
    """A shell in a window of so many columns and lines."""

    def __init__(self, test, columns=80, lines=24, env=None):
        self.test = test
        self.folder = tempfile.mkdtemp(prefix="qe-tmux-")
        test.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.socket = os.path.join(self.folder, "socket")
        test.addCleanup(self.tmux, "kill-server", check=False)
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "HISTFILE": "", **(env or {})}
        environment = {name: value for name, value in environment.items() if value is not None}
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines),
                  "env PS1='ready> ' bash --norc --noprofile", env=environment)
        self.until("ready>")

    def tmux(self, *words, check=True, env=None):
        done = subprocess.run(["tmux", "-f", "/dev/null", "-S", self.socket, *words], env=env, text=True,
                              capture_output=True, timeout=PATIENCE_SECONDS, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"tmux {words}: {done.stderr}")
        return done.stdout

    def keys(self, *keys):
        """As send-keys names them: "q", "Enter", "C-c", "Down"."""
        self.tmux("send-keys", *keys)

    def run(self, line):
        self.tmux("send-keys", "-l", line)
        self.keys("Enter")

    def resize(self, columns, lines):
        self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def screen(self):
        """Its lines, with what they look like left out."""
        return self.tmux("capture-pane", "-p").splitlines()

    def looks(self):
        """With the escape sequences of colours."""
        return self.tmux("capture-pane", "-p", "-e")

    def until(self, wanted, seconds=PATIENCE_SECONDS):
        """The first screen that has a text, or fulfils a predicate."""
        fits = wanted if callable(wanted) else lambda lines: any(wanted in line for line in lines)
        last = []

        def look():
            last[:] = [self.screen()]
            return last[0] if fits(last[0]) else None
        try:
            return wait_for(wanted, look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n" + "\n".join(last[0])) from None

    def children(self):
        """Process ids of what the shell runs."""
        pid = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def settings(self):
        """What stty says, now that the shell has the terminal."""
        path = os.path.join(self.folder, f"stty{time.monotonic_ns()}")
        self.run(f"stty -a > {path}.part; mv {path}.part {path}")
        wait_for("stty", lambda: os.path.exists(path))
        with open(path, encoding="ascii") as file:
            return file.read()
