#!/usr/bin/python3
"""What queuectl gives to the shell and to man: they come from the tables that parse its command line."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

from daemon import EXPORTER, PATIENCE_SECONDS, QUEUECTL, WithFolder


# How each shell is started, and what makes it complete: where to look is its own business.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none'; "
             "bind 'set show-all-if-ambiguous on'; source <(queuectl completion bash)\n"),
    "zsh": (["zsh", "-f", "-i"], "PS1='ready> '; unsetopt beep prompt_sp zle_bracketed_paste; autoload -Uz compinit; "
            "compinit -u -D; source <(queuectl completion zsh)\n"),
}


class Shell:
    """An interactive shell on a terminal of its own, with queuectl's completion."""

    def __init__(self, test, name="bash"):
        command, setup = SHELLS[name]
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.chdir(test.folder)
            os.execve(shutil.which(name), command,
                      {"PATH": f"{os.path.dirname(QUEUECTL)}:/usr/bin:/bin", "PS1": "ready> ", "TERM": "dumb",
                       "COLUMNS": "200", "INPUTRC": "/dev/null", "HISTFILE": "", "LC_ALL": "C.UTF-8",
                       "HOME": str(test.folder), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")})
        test.addCleanup(os.waitpid, pid, 0)
        test.addCleanup(os.close, self.terminal)
        test.addCleanup(os.kill, pid, 9)
        self.until("ready> ")
        self.type(setup)
        self.until("\nready> ")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def until(self, text):
        got, deadline = "", time.monotonic() + PATIENCE_SECONDS
        while text not in got:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.terminal], [], [], left)[0]:
                raise AssertionError(f"{text!r} did not come: {got!r}")
            got += os.read(self.terminal, 4096).decode("utf-8", "replace").replace("\r", "")
        return got


class QueuectlShell(WithFolder):
    def test_zsh_completes_commands_flags_and_files(self):
        if shutil.which("zsh") is None:
            self.skipTest("there is no zsh here")
        shell = Shell(self, "zsh")
        (self.folder / "body.json").write_text("x")
        for typed, wanted in (("queuectl sen", "queuectl send"),
                              ("queuectl to", "queuectl top"),
                              ("queuectl dlq redr", "queuectl dlq redrive"),
                              ("queuectl dlq redrive local orders-dlq --dry", "--dry-run"),
                              ("queuectl --config.file body.json dlq insp", "dlq inspect"),
                              ("queuectl send local orders --file bo", "--file body.json")):
            with self.subTest(typed):
                shell.type(typed + "\t")
                shell.until(wanted)
                shell.type("\x15")

    def test_fish_completes_commands_flags_and_files(self):
        if shutil.which("fish") is None:
            self.skipTest("there is no fish here")
        (self.folder / "body.json").write_text("x")
        script = self.folder / "queuectl.fish"
        script.write_text(self.queuectl("completion", "fish").stdout, encoding="utf-8")
        for typed, wanted in (("queuectl sen", "send"),
                              ("queuectl to", "top"),
                              ("queuectl dlq redr", "redrive"),
                              ("queuectl dlq redrive local orders-dlq --dry", "--dry-run"),
                              ("queuectl --config.file=body.json dlq insp", "inspect"),
                              ("queuectl send local orders --file bo", "body.json")):
            with self.subTest(typed):
                done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C'{typed}'"], text=True,
                                      capture_output=True, check=True, cwd=self.folder,
                                      env={**os.environ, "HOME": str(self.folder)})
                self.assertEqual([line.split("\t")[0] for line in done.stdout.splitlines()], [wanted], done.stderr)

    def test_bash_completes_commands_flags_and_files(self):
        shell = Shell(self)
        (self.folder / "body.json").write_text("x")
        for typed, wanted in (("queuectl sen", "queuectl send "),
                              ("queuectl dl", "queuectl dlq "),
                              ("queuectl dlq redr", "queuectl dlq redrive "),
                              ("queuectl dlq redrive local orders-dlq --dry", "--dry-run "),
                              ("queuectl --config.file=body.json dlq insp", "dlq inspect "),
                              ("queuectl --config.file body.json dlq insp", "dlq inspect "),
                              ("queuectl send local orders --file bo", "--file body.json "),
                              ("queuectl send local orders --file=bo", "--file=body.json "),
                              ("queuectl dlq redrive --body-m", "--body-match=")):
            with self.subTest(typed):
                shell.type(typed + "\t")
                shell.until(wanted)
                shell.type("\x15")  # away with the line
        shell.type("queuectl dlq \t\t")
        said = shell.until("redrive")
        self.assertIn("inspect", said)
        self.assertNotIn("--", said)

    def test_the_scripts_name_every_command_and_flag(self):
        helps = self.queuectl("--help").stdout
        commands = re.findall(r"^  ((?:dlq )?[a-z]+) +(?:\[|SOURCE|bash|TOPIC|  )", helps, re.M)
        self.assertLessEqual({"send", "stats", "dlq list", "dlq redrive", "man"}, set(commands))
        scripts = {shell: self.queuectl("completion", shell).stdout for shell in ("bash", "zsh", "fish")}
        page = self.queuectl("man").stdout.replace("\\-", "-")
        for command in commands:
            flags = re.findall(r"^  --([a-z.-]+)", self.queuectl(*command.split(), "--help").stdout, re.M)
            for flag in flags:
                for shell in ("bash", "zsh"):
                    line = next(line for line in scripts[shell].splitlines() if line.startswith(f"    '{command}')"))
                    self.assertRegex(line, rf"--{re.escape(flag)}[= :]")
                self.assertRegex(scripts["fish"], rf" -l {re.escape(flag)} ")
                self.assertIn(f"--{flag}", page)
            self.assertIn(f'.SS "{command}', page)

    def test_every_shell_that_is_here_parses_its_script(self):
        for shell, flags in (("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])):
            path = self.folder / shell
            path.write_text(self.queuectl("completion", shell).stdout, encoding="utf-8")
            if shutil.which(shell) is None:
                print(f"not tried: there is no {shell} here")
                continue
            done = subprocess.run([shell, *flags, path], text=True, capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_man_shows_both_pages_without_a_complaint(self):
        for page, text in (("queuectl", "--canary-wait=DURATION"), ("queue_exporter", "--web.listen-address=ADDRESS")):
            path = self.folder / f"{page}.1"
            path.write_text(self.queuectl("man", page).stdout, encoding="utf-8")
            for tool in (["man", "--warnings", "-E", "UTF-8", "-l", path], ["mandoc", "-T", "lint", "-W", "warning", path]):
                if shutil.which(tool[0]) is None:
                    print(f"not tried: there is no {tool[0]} here")
                    continue
                done = subprocess.run(tool, text=True, capture_output=True, check=False,
                                      env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
                self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout[-500:])
                if tool[0] == "man":
                    self.assertIn(text, re.sub(".\b", "", done.stdout))

    def test_neither_needs_a_configuration(self):
        for words in (("completion", "bash"), ("man",)):
            done = self.queuectl(*words, config=self.folder / "nowhere.yml")
            self.assertIn("queuectl", done.stdout)
        for words, text in ((("completion", "tcsh"), "bash, zsh or fish"), (("man", "ls"), "queuectl or queue_exporter")):
            done = self.queuectl(*words, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(text, done.stderr)

    def test_the_daemon_s_page_has_its_flags(self):
        helps = subprocess.run([EXPORTER, "--help"], text=True, capture_output=True, check=True).stdout
        page = self.queuectl("man", "queue_exporter").stdout.replace("\\-", "-")
        flags = re.findall(r"^  --([a-z.-]+)", helps, re.M)
        self.assertGreater(len(flags), 5)
        for flag in flags:
            self.assertIn(f"--{flag}", page)


if __name__ == "__main__":
    pathlib.Path(QUEUECTL).resolve(strict=True)
    unittest.main()
