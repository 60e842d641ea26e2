#!/usr/bin/python3
"""The reference consumer on the embedded store, killed again and again: see crash_case.py."""
import unittest

from crash_case import CrashCase, Embedded, Misbehaving


class Crash(Misbehaving, CrashCase):
    broker = Embedded

    def test_no_message_is_lost_when_the_daemon_is_killed(self):
        self.survive()

    def test_what_is_recorded_as_handled_is_not_handled_again(self):
        self.survive("effectively_once")


if __name__ == "__main__":
    unittest.main(verbosity=1)
