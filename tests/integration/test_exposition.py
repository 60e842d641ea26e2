#!/usr/bin/python3
"""The page of the running demo, read by strict parsers in both formats."""
import subprocess
import unittest

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from daemon import DEMO, OPENMETRICS, TEXT, WithFolder, metadata
from exposition import faults, gunzip_one_member, samples

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_ACCEPT = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
TRIES = 10  # a poll may fall between two scrapes that are compared


class TheCheckItself(unittest.TestCase):
    def test_it_complains(self):
        for page, complaint in (
                ("# TYPE a gauge\na 1\na 1\n", "duplicate series"),
                ('# TYPE a gauge\na{x="1",y="2"} 1\na{y="2",x="1"} 2\n', "duplicate series"),
                ('# TYPE a gauge\na{x="1",x="1"} 1\n', "duplicate label"),
                ("# TYPE a gauge\n# TYPE b gauge\na 1\nb 1\na 2\n", "not in one group"),
                ("b 1\n", "no TYPE"),
                ('# TYPE a histogram\na_bucket{le="1"} 1\na_bucket{le="+Inf"} 1\n', "not written as a float"),
                ('# TYPE a histogram\na_bucket{le="2.0"} 1\na_bucket{le="1.0"} 1\n', "out of order"),
                ('# TYPE a histogram\na_bucket{le="2.0"} 1\n', "no +Inf"),
                ("# TYPE a gauge\na 1", "line ends")):
            self.assertTrue(any(complaint in fault for fault in faults(page)), page)
        for page in ("a 1 1700000000\n", 'a{x="1"y="2"} 1\n', "a\n"):
            self.assertRaises(AssertionError, samples, page)
        self.assertRaises(AssertionError, gunzip_one_member, b"")


class Exposition(WithFolder):
    def setUp(self):
        super().setUp()
        self.running = self.daemon(config=DEMO, env={"QE_DEMO_DIR": str(self.folder)})
        env = {"QE_DEMO_DIR": str(self.folder)}
        for queue, count, more in (("orders", 50, []), ("payments", 60, []),
                                   ("imports", 3, ["--attribute", "simulate=reject"])):
            self.with_env(env, "send", "local", queue, "--body", "x", "--count", str(count), *more)
        self.running.wait_value('queue_consumer_messages_processed_total{source="local",queue="orders"}', 50)
        self.running.wait_value('queue_messages_ready{source="local",queue="imports-dlq"}', 3)

    def with_env(self, env, *words):
        import os
        before = dict(os.environ)
        os.environ.update(env)
        try:
            return self.queuectl(*words, config=DEMO)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def page(self, accept, **headers):
        reply = self.running.ask("/metrics", Accept=accept, **headers)
        self.assertEqual(reply.status, 200)
        return reply

    def test_both_formats_are_negotiated_and_named_exactly(self):
        for accept, wanted in ((TEXT, TEXT_TYPE), (OPENMETRICS, OPENMETRICS_TYPE), ("*/*", TEXT_TYPE), ("", TEXT_TYPE),
                               ("application/json", TEXT_TYPE), (PROMETHEUS_ACCEPT, OPENMETRICS_TYPE),
                               (OPENMETRICS + ";q=0.1," + TEXT + ";q=0.9", TEXT_TYPE),
                               (OPENMETRICS + ";q=0", TEXT_TYPE)):
            with self.subTest(accept):
                reply = self.page(accept)
                self.assertEqual(reply.headers["content-type"], wanted)
                self.assertEqual(reply.headers["vary"], "Accept, Accept-Encoding")
                self.assertEqual(reply.text.endswith("# EOF\n"), wanted == OPENMETRICS_TYPE)

    def test_strict_parsers_read_both_pages(self):
        openmetrics = {family.name: family for family in read_openmetrics(self.page(OPENMETRICS).text)}
        text = {family.name: family for family in read_text(self.page(TEXT).text)}
        self.assertGreater(len(openmetrics), 40)
        self.assertEqual(set(openmetrics), set(text))
        for name, family in openmetrics.items():
            self.assertEqual((family.type, family.documentation), (text[name].type, text[name].documentation), name)
            self.assertTrue(family.unit == "" or name.endswith("_" + family.unit), name)

    def test_promtool_finds_nothing(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.page(TEXT).body, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, b""))

    def test_our_own_check_finds_nothing(self):
        for accept in (TEXT, OPENMETRICS):
            self.assertEqual(faults(self.page(accept).text), [])

    def test_both_formats_hold_the_same_samples_in_the_same_order(self):
        for left in reversed(range(TRIES)):
            before, other, after = (samples(self.page(accept).text) for accept in (TEXT, OPENMETRICS, TEXT))
            keys = [[row[:2] for row in rows] for rows in (before, other, after)]
            if keys[0] != keys[2] and left:
                continue # a queue's series came or went between the two scrapes
            self.assertEqual(keys[0], keys[1])
            strayed = [(b, o, a) for b, o, a in zip(before, other, after)
                       if not min(b[2], a[2]) <= o[2] <= max(b[2], a[2]) and not b[0].startswith("process_")]
            if not strayed:
                return
        self.assertEqual(strayed, [])

    def test_gzip_is_one_member_with_the_same_page(self):
        for accept in (TEXT, OPENMETRICS):
            packed = self.page(accept, Accept_Encoding="gzip")
            self.assertEqual(packed.headers["content-encoding"], "gzip")
            for left in reversed(range(TRIES)):
                plain = [row[:2] for row in samples(self.page(accept).text)]
                page = gunzip_one_member(self.page(accept, Accept_Encoding="gzip").body).decode()
                if plain == [row[:2] for row in samples(page)]:
                    break
                self.assertTrue(left, "identity and gzip differ")
            self.assertEqual(faults(page), [])

    def test_gzip_is_not_forced_on_those_who_refuse_it(self):
        for accepted in ("gzip;q=0", "identity", "br", ""):
            self.assertNotIn("content-encoding", self.page(TEXT, Accept_Encoding=accepted).headers, accepted)

    def test_the_demo_shows_what_it_promises(self):
        page = self.page(TEXT).text
        values = self.running.values()
        for series, wanted in (
                ('queue_source_up{source="local"}', 1),
                ('queue_dead_letter_info{source="local",queue="orders",dead_letter_queue="orders-dlq"}', 1),
                ('queue_dead_letter_max_receives{source="local",queue="orders"}', 5),
                ('queue_is_dead_letter_queue{source="local",queue="orders-dlq"}', 1),
                ('queue_is_dead_letter_queue{source="local",queue="orders"}', 0),
                ('queue_dead_letter_messages{source="local",queue="imports",dead_letter_queue="imports-dlq"}', 3),
                ('queue_consumer_messages_received_total{source="local",queue="orders"}', 50)):
            self.assertEqual(values.get(series), wanted, series)
        self.assertEqual(metadata(page, "TYPE")["queue_consumer_handling_duration_seconds"], "histogram")
        for family in ("queue_exporter_build_info", "process_resident_memory_bytes", "queue_exporter_polls_total",
                       "queue_oldest_message_age_seconds", "queue_objective_oldest_message_age_seconds"):
            self.assertIn(f"# TYPE {family} ", page)

    def test_every_known_reason_is_there_from_the_start_with_0(self):
        values = self.running.values()
        for reason in ("timeout", "throttled", "auth", "not_found", "network", "protocol", "limit", "unsupported"):
            series = f'queue_exporter_poll_failures_total{{source="local",reason="{reason}"}}'
            self.assertEqual(values.get(series), 0, series)


if __name__ == "__main__":
    unittest.main()
