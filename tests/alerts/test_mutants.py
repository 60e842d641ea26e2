#!/usr/bin/python3
"""The tests of the rules can fail: of the rules' one-mistake copies, they notice nearly all."""
import os
import pathlib
import unittest

import yaml

import cases
import mutants

LISTED = yaml.safe_load(pathlib.Path(__file__).with_name("survivors.yml").read_text(encoding="utf-8"))
WANTED_SHARE = 0.9


class Mutants(unittest.TestCase):
    def test_nine_of_ten_mistakes_are_noticed_and_the_others_are_listed_with_a_reason(self):
        everyone = os.environ.get("QE_MUTANTS") == "all"
        every, tried, left = mutants.survivors(listed=LISTED, every=everyone)
        survive = len(left) + len(set(LISTED) & set(tried))
        share = 1 - survive / len(tried)
        print(f"{len(tried)} of {len(every)} mutants tried (QE_MUTANTS=all tries all), {share:.1%} noticed; "
              f"{survive} survive, {len(left)} of them not listed")
        self.assertEqual(left, [], "not noticed: write a test, or the reason into survivors.yml")
        self.assertEqual(set(LISTED) - set(every), set(), "listed, but no mutant")
        self.assertTrue(all(len(reason.split()) > 4 for reason in LISTED.values()))
        self.assertGreater(len(tried), 100)
        self.assertGreaterEqual(share, WANTED_SHARE)


if __name__ == "__main__":
    cases.need("promtool")
    unittest.main()
