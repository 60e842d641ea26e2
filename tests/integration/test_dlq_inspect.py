#!/usr/bin/python3
"""queuectl dlq inspect on a store of our own: what is shown of dead letters, and that nothing is touched."""
import json
import unittest

from daemon import WithFolder

CONFIG = """
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - name: orders
        dead_letter: {{queue: orders-dlq, max_receives: 3}}
      - name: orders-dlq
"""


class DlqInspect(WithFolder):
    def setUp(self):
        super().setUp()
        self.config = self.write_config(CONFIG.format(folder=self.folder))

    def send(self, body, reason=None, *words):
        facts = ["--attribute", f"dead-letter-reason={reason}", "--attribute", "dead-letter-source=orders",
                 "--attribute", "dead-letter-receives=3"] if reason else []
        self.queuectl("send", "local", "orders-dlq", "--body", body, *facts, *words)

    def inspect(self, *words, check=True):
        return self.queuectl("dlq", "inspect", "local", "orders-dlq", *words, check=check)

    def rows(self, *words):
        return [json.loads(line) for line in self.inspect("--json", *words).stdout.splitlines()]

    def test_each_message_says_why_it_is_there_and_the_reasons_are_counted(self):
        self.send('{"id":7,"items":[1,2]}', "permanent: no such customer", "--attribute", "tenant=a")
        for _ in range(2):
            self.send("plain text", "max_receives")
        self.send("by hand")
        said = self.inspect().stdout
        self.assertRegex(said, r"id 1, permanent: no such customer, 3 attempts, here for \S+, from orders, 22 bytes\n")
        self.assertIn('  tenant = a\n', said)
        self.assertIn('{\n  "id": 7,', said)
        self.assertIn("\nplain text\n\n", said)
        self.assertTrue(said.endswith("MESSAGES  REASON\n       2  max_receives\n       1  none\n       1  permanent\n"),
                        said)

    def test_as_json_with_everything_known(self):
        self.send("b", "permanent: why: not", "--group", "g")
        [row] = self.rows()
        self.assertEqual((row["reason"], row["detail"], row["attempts"], row["dead_letter_source"], row["body"],
                          row["group"]), ("permanent", "why: not", 3, "orders", "b", "g"))
        self.assertTrue(0 <= row["age_seconds"] < 60)

    def test_nothing_is_touched(self):
        self.send("b", "permanent")
        for _ in range(5):
            self.inspect()
        row = next(row for row in self.stats() if row["queue"] == "orders-dlq")
        self.assertEqual((row["ready"], row["in_flight"], row["delivered_total"]), (1, 0, 0))

    def test_long_bodies_are_cut_unless_all_is_wanted(self):
        self.send("x" * 5000)
        self.send("\n".join(str(number) for number in range(50)))
        said = self.inspect().stdout
        self.assertIn("x" * 1000 + "\n... 4000 bytes more: --full shows them\n", said)
        self.assertIn("\n11\n... ", said)
        self.assertNotIn("\n12\n", said)
        self.assertIn("x" * 5000, self.inspect("--full").stdout)
        self.assertIn("\n49\n", self.inspect("--full").stdout)

    def test_filters(self):
        self.send("error 500", "permanent: x", "--attribute", "tenant=a")
        self.send("ERROR 404", "timeout", "--attribute", "tenant=b")
        self.send("fine")
        for words, bodies in ((("--reason", "permanent"), ["error 500"]),
                              (("--reason", "permanent: x"), ["error 500"]),
                              (("--reason", "permanent", "--reason", "none"), ["error 500", "fine"]),
                              (("--attribute", "tenant=b"), ["ERROR 404"]),
                              (("--attribute", "tenant=b", "--reason", "permanent"), []),
                              (("--body-match", "[0-9]{3}$"), ["error 500", "ERROR 404"]),
                              (("--body-match", "(?i)error"), ["error 500", "ERROR 404"]),
                              (("--older-than", "1h"), []),
                              (("--younger-than", "1h", "--reason", "none"), ["fine"])):
            with self.subTest(words):
                self.assertEqual([row["body"] for row in self.rows(*words)], bodies)
        self.assertIn("       1  timeout\nof 3 messages\n", self.inspect("--max", "0", "--reason", "timeout").stdout)

    def test_only_so_many_are_printed_and_looked_at(self):
        for _ in range(5):
            self.send("b", "x")
        self.assertEqual(len(self.rows("--max", "3")), 3)
        said = self.inspect("--max", "0", "--look", "4").stdout
        self.assertEqual(said, "MESSAGES  REASON\n       4  x\nlooked at 4 messages; there may be more: --look N\n")

    def test_of_too_many_reasons_the_rest_is_counted_together(self):
        lines = [json.dumps({"body": "b", "attributes": {"dead-letter-reason": f"r{number:04}"}}) for number in range(1003)]
        self.queuectl("dlq", "import", "local", "orders-dlq", stdin="\n".join([*lines, lines[0], lines[-1]]))
        said = self.inspect("--max", "0", "--look", "2000").stdout.splitlines()
        self.assertEqual((said[1], said[2], said[-1]), ("       2  r0000", "       1  r0001", "       4  other reasons"))
        self.assertEqual(sum(int(line.split()[0]) for line in said[1:]), 1005)

    def test_a_pattern_that_takes_too_long_ends_it(self):
        self.send("a" * 200 + "c")
        done = self.inspect("--body-match", "(a+)+b|(a*)*d", check=False)
        if done.returncode:  # PCRE2 may see through it
            self.assertIn("takes too long", done.stderr)

    def test_what_is_wrong_is_said(self):
        done = self.inspect(check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("no message can be seen in orders-dlq", done.stderr)
        for words, text in ((("--body-match", "(")," regular expression is wrong at character"),
                            (("--older-than", "x"), "--older-than"), (("--attribute", "x"), "not name=value"),
                            (("--look", "0"), "at least 1")):
            done = self.inspect(*words, check=False)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
