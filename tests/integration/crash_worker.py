"""The handler of the crash tests: writes down what it has done, where no crash of the daemon can undo it.

One line per message goes to the ledger of this life of the daemon, with one write() and before the answer: "NUMBER
WORD". What becomes of a message is a matter of its number, so that the test knows it beforehand."""
import json
import os
import resource
import signal
import subprocess
import sys
import time

REJECTED, FAILING, FLAKY = 7, 21, 33  # of each fifty
KINDS = ("hang", "crash", "exit", "leak", "print", "fork", "close", "babble")
EXITS = {"ack": 0, "reject": 65, "retry": 75}
KILOBYTE = b"x" * 1023 + b"\n"


def fate(number):
    """ack, reject, retry (never anything else), or flaky: retry the first time."""
    return {REJECTED: "reject", FAILING: "retry", FLAKY: "flaky"}.get(number % 50, "ack")


def mischief(number):
    """How a handler misbehaves the first time that it gets a message: one in five."""
    return KINDS[number // 5 % len(KINDS)] if number % 5 == 0 else None


def misbehave(kind):
    """Some come back, and go on as if nothing was."""
    if kind == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # so that only SIGKILL helps
        time.sleep(15)
        os._exit(1)
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "exit":
        os._exit(3)
    if kind == "leak":
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
        kept = []
        while True:
            kept.append(bytes(8 << 20))  # MemoryError ends it
    if kind == "print":
        for _ in range(3 << 10):
            os.write(2, KILOBYTE)
    if kind == "fork":  # its grandchild holds all streams open, and outlives it
        subprocess.Popen(["/bin/sleep", "15"])
        os._exit(1)
    if kind == "close":
        os.close(1)
        time.sleep(15)
    if kind == "babble":
        for _ in range(3 << 10):
            os.write(1, KILOBYTE)


def is_first_time(number):
    """Whoever asks first about a message: known beyond this process."""
    try:
        os.mkdir(f"{os.environ['LEDGER']}.{number}")
        return True
    except FileExistsError:
        return False


def work(ledger, number, misdeed=misbehave):
    """What is to be answered, which is written down already; None: nothing, it misbehaved for good."""
    kind = mischief(number) if os.environ["MISCHIEF"] == "yes" else None
    if kind and is_first_time(number):
        os.write(ledger, b"%d %s\n" % (number, kind.encode()))
        if misdeed(kind):
            return None
    result = fate(number)
    if result == "flaky":
        result = "retry" if is_first_time(number) else "ack"
    os.write(ledger, b"%d %s\n" % (number, result.encode()))
    return result


def main():
    path = f"{os.environ['LEDGER']}-{os.environ['LIFE']}"
    ledger = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if sys.argv[1:] == ["exec"]:
        sys.exit(EXITS[work(ledger, json.load(sys.stdin)["n"])])
    for line in sys.stdin:
        question = json.loads(line)
        result = work(ledger, json.loads(question["message"]["body"])["n"])
        os.write(1, json.dumps({"id": question["id"], "result": result, "reason": "as told"}).encode() + b"\n")


if __name__ == "__main__":
    main()
