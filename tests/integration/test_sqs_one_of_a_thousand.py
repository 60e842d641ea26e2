#!/usr/bin/python3
"""One queue of a thousand cannot be read: the others keep their values, and the one says why."""
import unittest

from fault_case import REASONS, WithProxy, series


class OneOfAThousand(WithProxy):
    poll_seconds = 3  # a thousand answers of the proxy take a second or two

    def test_the_others_keep_their_values_and_the_one_says_why(self):
        depths = self.make_queues(1000)
        self.proxy.remember = True
        daemon = self.watch()
        self.wait_page("all are read", daemon, lambda page: self.all_up(page, depths))
        target = sorted(depths)[501]
        others = set(depths) - {target}
        for fault, reason in REASONS.items():
            with self.subTest(fault=fault):
                before = self.failures(daemon.values())
                rule = self.proxy.add(fault, queue=target)

                def is_told(page):
                    self.check_values(page, depths)
                    return (page[series("queue_up", target)] == 0 and self.all_up(page, others)
                            and self.failures(page)[reason] > before[reason] and rule.hits > 0)
                try:
                    page = self.wait_page(f"{fault} is told as {reason}", daemon, is_told)
                finally:
                    self.proxy.clear()
                self.assertEqual(page['queue_source_up{source="aws"}'], 1)
        page = self.wait_page("the one is up again", daemon, lambda page: self.all_up(page, depths))
        self.check_values(page, depths)
        self.assertTrue(self.poll_ended_within(page, 5), "no poll hangs past its deadline")
        self.assertRegex(daemon.log(), f'failed=1 of=1000 .*queue {target}')


if __name__ == "__main__":
    unittest.main()
