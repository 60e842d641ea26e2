"""What the tools promise of a dead-letter queue on every broker: here, of a redrive that moves the messages itself."""
import re
import signal
import subprocess
import time

from daemon import PATIENCE_SECONDS, QUEUECTL, wait_for

COUNT, RATE = 200, 6  # every second of them is to be moved


class Tools:
    """For a test case of a driver, which says: `source`, make_pair() -> (queue, DLQ), write_handler_config(extra),
    send_all(queue, bodies), ready(queue) -> messages that anybody may take, now."""

    def setUp(self):
        super().setUp()
        self.queue, self.dlq = self.make_pair()
        self.write_handler_config("")

    def test_redrive_tells_how_far_it_is_every_ten_seconds_and_stops_at_ctrl_c_with_nothing_in_hand(self):
        self.send_all(self.dlq, ["go", "stay"] * (COUNT // 2))
        wait_for("the broker counts them", lambda: [
            row.get("ready") for row in self.stats() if row["queue"] == self.dlq] == [COUNT])
        begun = time.monotonic()
        with subprocess.Popen([QUEUECTL, f"--config.file={self.folder}/queue_exporter.yml", "dlq", "redrive", self.source,
                               self.dlq, "--yes", "--body-match", "^go", "--rate", str(RATE)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            while not (line := process.stderr.readline()).startswith("moved"):
                self.assertNotEqual(line, "", "it has ended and told nothing")
            took = time.monotonic() - begun
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertGreaterEqual(took, 9.9)
        told = re.fullmatch(r"moved (\d+) of about (\d+), [1-6] per second, [0-9ms]+ left, (\d+) stay\n", line)
        self.assertTrue(told and int(told[2]) + int(told[3]) == COUNT, line)
        self.assertEqual(process.returncode, 1)
        self.assertIn("stopped before the end", errors)
        self.assertNotRegex(errors, "(?m)^moved", "one line in ten seconds")
        moved = int(re.match(rf"moved (\d+) from {self.dlq}\n", out)[1])
        self.assertGreaterEqual(moved, int(told[1]))
        self.assertLess(moved, COUNT // 2)
        self.assertIn("that do not match\n", out)
        self.assertEqual((self.ready(self.queue), self.ready(self.dlq)), (moved, COUNT - moved))

    def test_purge_empties_dead_letter_queues_only(self):
        self.send_all(self.dlq, ["a", "b", "c"])
        self.send_all(self.queue, ["d"])
        purge = ("dlq", "purge", self.source)
        done = self.queuectl(*purge, self.dlq, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"say --yes; `queuectl dlq export {self.source} {self.dlq}` keeps a copy", done.stderr)
        done = self.queuectl(*purge, self.queue, "--yes", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"no queue of source {self.source} is known to dead-letter into {self.queue}", done.stderr)
        self.assertEqual((self.ready(self.dlq), self.ready(self.queue)), (3, 1))
        done = self.queuectl(*purge, self.dlq, "--yes")
        self.assertRegex(done.stdout, rf"^purged (3 from )?{self.dlq}\n$")  # SQS does not tell how many
        self.assertEqual((self.ready(self.dlq), self.ready(self.queue)), (0, 1))
