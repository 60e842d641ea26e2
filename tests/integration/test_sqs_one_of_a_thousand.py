#!/usr/bin/python3
"""One queue of a thousand cannot be read, in every way there is: the others keep their values, and the one says why."""
import unittest

from fault_case import REASONS, WithProxy, series

ALONE = ("throttled", "throttling", "denied", "reset", "slow")


class OneOfAThousand(WithProxy):
    poll_seconds = 8  # a thousand answers of the proxy take a second or two, and four where others compute

    def hold_against(self, daemon, depths, targets):
        """{queue: fault}: those are down, for these reasons, and no other is."""
        others = set(depths) - set(targets)
        before = self.failures(daemon.values())
        rules = [self.proxy.add(fault, queue=queue) for queue, fault in targets.items()]
        reasons = {REASONS[fault] for fault in targets.values()}

        def is_told(page):
            self.check_values(page, depths)
            after = self.failures(page)
            return (all(page[series("queue_up", queue)] == 0 for queue in targets) and self.all_up(page, others)
                    and all(after[reason] > before[reason] for reason in reasons) and all(rule.hits for rule in rules))
        try:
            page = self.wait_page(f"told: {targets}", daemon, is_told)
        finally:
            self.proxy.clear()
        self.assertEqual(page['queue_source_up{source="aws"}'], 1)

    def test_the_others_keep_their_values_and_the_one_says_why(self):
        depths = self.make_queues(1000)
        self.proxy.remember = True
        daemon = self.watch()
        self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        names = sorted(depths)
        target = names[505]
        self.assertEqual(depths[target], 1)
        for fault in ALONE:
            with self.subTest(fault=fault):
                self.hold_against(daemon, depths, {target: fault})
        self.assertRegex(daemon.log(), f'failed=1 of=1000 .*queue {target}')
        # And all at once, each on a queue of its own.
        self.hold_against(daemon, depths, {names[60 * i]: fault for i, fault in enumerate(REASONS)})
        page = self.wait_page("all are up again", daemon, lambda page: self.all_up(page, depths))
        self.check_values(page, depths)
        self.assertTrue(self.poll_ended_within(page, 10), "no poll hangs past its deadline")


if __name__ == "__main__":
    unittest.main()
