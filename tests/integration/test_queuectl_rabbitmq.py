#!/usr/bin/python3
"""queuectl looks at a real RabbitMQ: dead letters, and queues that send everything back after a while."""
import json
import time
import unittest

from rabbitmq_case import CONFIG, WithRabbit
from rabbitmq_server import quote

from daemon import wait_for
from tmux_case import Terminal, need_tmux

need_tmux()

# pylint: disable=wrong-import-position
from daemon import QUEUECTL


HANDLING = """
consumers:
  - {source: rabbit, queue: twins, handler: {type: discard}}
"""
# The bodies that begin with "bad" fail, and are tried again much later.
SOME_FAIL = """
consumers:
  - source: rabbit
    queue: mixed
    workers: 4
    retry: {max_receives: 10, initial: 5m, max: 5m}
    handler: {type: exec, command: [sh, -c, "case $(cat) in bad*) exit 75;; esac"]}
"""


class QueuectlRabbit(WithRabbit):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make = cls.rabbit.queue
        make("mail-dlq")
        make("mail", dead_letter_exchange="", dead_letter_routing_key="mail-dlq")
        make("jobs", dead_letter_exchange="", dead_letter_routing_key="jobs.retry")
        make("jobs.retry", dead_letter_exchange="", dead_letter_routing_key="jobs", message_ttl=3600000)
        for queue, count in (("mail", 5), ("mail-dlq", 3), ("jobs", 7), ("jobs.retry", 2)):
            cls.rabbit.publish(queue, count)

    def setUp(self):
        super().setUp()
        self.write_rabbit_config(self.rabbit.amqp_port)

    def write_rabbit_config(self, amqp_port, consumers=""):
        return self.write_config(CONFIG.format(url=self.rabbit.url, extra=f"    amqp_url: amqp://127.0.0.1:{amqp_port}\n",
                                               poll=5, discovery=5, stale=20) + consumers)

    def ready(self):
        rows = [json.loads(line) for line in self.queuectl("stats", "--json").stdout.splitlines()]
        return {row["queue"]: row.get("ready") for row in rows}

    def test_a_retry_queue_is_no_dead_letter_queue_and_no_problem(self):
        wait_for("the statistics are there", lambda: self.ready() == {"mail": 5, "mail-dlq": 3, "jobs": 7, "jobs.retry": 2})
        rows = {line[1:].split()[0]: line for line in self.queuectl("top", "--once").stdout.splitlines()
                if "mail" in line or "jobs" in line}
        self.assertEqual({queue: line[0] for queue, line in rows.items()},
                         {"mail": "!", "mail-dlq": "!", "jobs": " ", "jobs.retry": " "}, rows)
        self.assertEqual([queue for queue, line in rows.items() if "(dlq)" in line], ["mail-dlq"])
        links = [json.loads(line) for line in self.queuectl("dlq", "list", "--json").stdout.splitlines()]
        self.assertEqual([(link["queue"], link["dead_letter_queue"], link["messages"]) for link in links],
                         [("mail", "mail-dlq", 3)])

    def bury(self, count):
        """As most publishers' messages are: of one content, without id and time."""
        self.rabbit.queue("twins-dlq")
        self.rabbit.queue("twins", dead_letter_exchange="", dead_letter_routing_key="twins-dlq")
        for queue in ("twins", "twins-dlq"):
            self.addCleanup(self.rabbit.must, "DELETE", f"/api/queues/%2f/{queue}")
        self.rabbit.publish("twins", count)
        self.rabbit.must("POST", "/api/queues/%2f/twins/get", {
            "count": count, "ackmode": "reject_requeue_false", "encoding": "auto"})

    def test_canaries_are_not_mistaken_for_others_of_their_content(self):
        self.bury(4)
        self.rabbit.queue("lonely")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/queues/%2f/lonely")
        time.sleep(4)  # the broker tells whole seconds, of a clock that may be 2 s off
        unhandled = self.queuectl("dlq", "redrive", "rabbit", "twins-dlq", "--yes", "--canary", "1", "--canary-wait", "1s",
                                  "--to", "lonely", check=False)
        self.assertEqual(unhandled.returncode, 1)
        self.assertIn("1 canary still waits in lonely, which has no consumers: nobody has handled them: nothing more is "
                      "moved\n", unhandled.stdout)
        self.daemon(config=self.write_rabbit_config(self.rabbit.amqp_port, HANDLING))
        wait_for("the statistics show who consumes", lambda: next(
            row.get("consumers") for row in self.stats() if row["queue"] == "twins") == 1)
        done = self.queuectl("dlq", "redrive", "rabbit", "twins-dlq", "--yes", "--canary", "1", "--canary-wait", "1s")
        self.assertRegex(done.stdout, "none of 1 canaries came back within [0-9]+s: none was dead-lettered again\n"
                                      "as far as can be seen, all were handled\nmoved 2 from twins-dlq\n")
        self.rabbit.publish("twins-dlq", 2)  # of these nobody knows when they came
        done = self.queuectl("dlq", "redrive", "rabbit", "twins-dlq", "--yes", "--canary", "1", "--canary-wait", "1s",
                             check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("it may be one of the same content that was there before", done.stderr)

    def forget_delayed(self):
        """What is tried again later would come into the next test's queue of the same name."""
        for queue in self.rabbit.must("GET", "/api/queues/%2f?columns=name"):
            if queue["name"].startswith("qe.delay."):
                self.rabbit.must("DELETE", f"/api/queues/%2f/{quote(queue['name'])}")

    def try_canaries(self, *bodies, method="queues"):
        """One canary for each body, one more letter behind them."""
        self.rabbit.queue("mixed-dlq")
        self.rabbit.queue("mixed", dead_letter_exchange="", dead_letter_routing_key="mixed-dlq")
        for queue in ("mixed", "mixed-dlq"):
            self.addCleanup(self.rabbit.must, "DELETE", f"/api/queues/%2f/{queue}")
        self.addCleanup(self.forget_delayed)  # once the daemon has ended
        config = self.write_rabbit_config(self.rabbit.amqp_port, SOME_FAIL)
        config.write_text(config.read_text(encoding="utf-8").replace(
            "    amqp_url", f"    delay_method: {method}\n    amqp_url"), encoding="utf-8")
        self.daemon(config=config)
        for number, body in enumerate((*bodies, "good")):
            self.rabbit.must("POST", "/api/exchanges/%2f//publish", {
                "routing_key": "mixed-dlq", "payload": f"{body}{number}", "payload_encoding": "string", "properties": {}})
        wait_for("the statistics show who consumes, and what waits", lambda: any(
            (row["queue"], row.get("consumers")) == ("mixed", 1) for row in self.stats()))
        return self.queuectl("dlq", "redrive", "rabbit", "mixed-dlq", "--yes", "--to", "mixed", "--canary", str(len(bodies)),
                             "--canary-wait", "2s", check=False)

    def test_canaries_that_wait_for_their_next_try_keep_the_rest_where_it_is(self):
        for bodies, left in ((["bad"] * 4, 4), (["good", "bad", "good", "bad"], 2)):
            with self.subTest(bodies=bodies):
                done = self.try_canaries(*bodies)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertRegex(done.stdout, f"up to {left} of 4 canaries still wait, or are to be tried again, in mixed, which "
                                              "holds 0 messages, and 0 before them; delayed, for it or its neighbours, are "
                                              "[0-9]+, and [0-9]+ before: nothing more is moved\n")
                self.assertIn("longer --canary-wait", done.stderr)
                self.doCleanups()
                self.setUp()

    def test_canaries_that_are_handled_are_followed_by_the_rest(self):
        done = self.try_canaries(*["good"] * 4)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("none was dead-lettered again\nas far as can be seen, all were handled\nmoved 1 from", done.stdout)

    def test_where_delayed_ones_are_not_counted_it_stops_and_says_so(self):
        done = self.try_canaries(*["good"] * 2, method="plugin")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("whether canaries are to be tried again cannot be told: what waits in the delayed-message plugin is in no "
                      "count (delay_method): nothing more is moved\n", done.stdout)

    def test_what_has_no_id_is_said_to_have_none(self):
        self.bury(1)
        self.assertRegex(self.queuectl("dlq", "inspect", "rabbit", "twins-dlq", "--yes").stdout, r"^id \(no id\), rejected")
        self.assertRegex(self.queuectl("dlq", "redrive", "rabbit", "twins-dlq", "--yes", "--dry-run").stdout,
                         r"^\(no id\) to twins: rejected")

    def test_a_broker_that_is_not_there_is_said(self):
        self.write_rabbit_config(1)
        done = self.queuectl("dlq", "inspect", "rabbit", "mail-dlq", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("127.0.0.1 port 1: cannot connect: does a broker listen there?", done.stderr)

    def test_a_queue_of_another_vhost_is_named_with_it(self):
        self.rabbit.vhost("other")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/vhosts/other")
        self.rabbit.queue("crash", "other")
        done = self.queuectl("dlq", "inspect", "rabbit", "crash", "--yes", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('no queue "crash" in vhost "/", but one in vhost "other": say --vhost', done.stderr)
        self.queuectl("dlq", "inspect", "rabbit", "crash", "--yes", "--vhost", "other")
        for name, said in (("other/crash", 'no queue of that name in vhost "/", but "crash" in vhost "other": say --vhost'),
                           ("crush", 'no queue "crush" in vhost "/" (did you mean "crash" in vhost "other"? --vhost says'),
                           ("job", '(did you mean "jobs" in vhost "/"? --vhost says which vhost)'),
                           ("nothing-like-it", "`queuectl stats rabbit` shows those it has, --vhost says which vhost")):
            done = self.queuectl("purge", "rabbit", name, "--yes", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)

    def test_where_nothing_is_listed_the_brokers_word_comes_with_the_flag(self):
        self.write_config(CONFIG.format(url="http://127.0.0.1:1", extra=f"    amqp_url: amqp://127.0.0.1:{self.rabbit.amqp_port}\n",
                                        poll=5, discovery=5, stale=20))
        done = self.queuectl("receive", "rabbit", "nope", check=False)
        self.assertIn("no queue 'nope' in vhost '/'; --vhost says which vhost\n", done.stderr)
        self.assertIn("--vhost says", self.queuectl("send", "rabbit", "nope", "--body", "x", check=False).stderr)
        self.assertNotIn("--vhost", self.queuectl("receive", "rabbit", "nope", "--vhost", "/", check=False).stderr)

    def make_elsewhere(self):
        """Queues of the same names in two more virtual hosts."""
        for vhost in ("other", "\u00fc"):
            self.rabbit.vhost(vhost)
            self.addCleanup(self.rabbit.must, "DELETE", f"/api/vhosts/{quote(vhost)}")
            self.rabbit.queue("mail-dlq", vhost)
            self.rabbit.queue("mail", vhost, dead_letter_exchange="", dead_letter_routing_key="mail-dlq")

    def test_queues_of_one_name_in_several_vhosts_are_told_apart(self):
        plain = self.queuectl("stats", "rabbit").stdout.splitlines()
        self.assertTrue(plain[1].startswith("QUEUE "), plain)
        self.assertNotIn("VHOST", self.queuectl("dlq", "list").stdout)
        self.make_elsewhere()
        places = {(vhost, queue) for vhost in ("/", "other", "\u00fc") for queue in ("mail", "mail-dlq")}
        for words in (("stats", "rabbit"), ("stats",)):
            lines = self.queuectl(*words).stdout.splitlines()
            self.assertRegex(lines[1], "^VHOST +QUEUE +READY ")
            self.assertLessEqual(places, {tuple(line.split()[:2]) for line in lines})
        lines = self.queuectl("dlq", "list").stdout.splitlines()
        self.assertRegex(lines[0], "^SOURCE +VHOST +QUEUE +DEAD-LETTER QUEUE +MESSAGES ")
        links = {tuple(line.split()[:4]) for line in lines[1:]}
        self.assertEqual(links, {("rabbit", vhost, "mail", "mail-dlq") for vhost in ("/", "other", "\u00fc")})
        shown = {line[1:].split()[0] for line in self.queuectl("top", "--once").stdout.splitlines() if "mail" in line}
        self.assertEqual(shown, {"mail", "mail-dlq", "other/mail", "other/mail-dlq", "\u00fc/mail", "\u00fc/mail-dlq"})
        for found, name in (("^rabbit/mail$", "mail"), ("^rabbit/other/mail$", "other/mail")):
            lines = self.queuectl("top", "--once", "--filter", found).stdout.splitlines()
            self.assertEqual([line[1:].split()[0] for line in lines if "mail" in line and "only" not in line], [name])
        for words in (("stats", "--json"), ("dlq", "list", "--json")):
            rows = [json.loads(line) for line in self.queuectl(*words).stdout.splitlines()]
            self.assertEqual({row["vhost"] for row in rows}, {"/", "other", "\u00fc"})
        done = self.queuectl("purge", "rabbit", "mail", "--yes", "--vhost", "\u00fc")
        self.assertRegex(done.stdout, "^purged ([0-9]+ from )?\u00fc/mail\n$")
        done = self.queuectl("purge", "rabbit", "mail", "--yes", "--vhost", "none", check=False)
        self.assertRegex(done.stderr, 'in vhost "none", but one in vhost ("[^"]+"), ("[^"]+") and 1 other: say --vhost')

    def test_no_name_breaks_the_columns_or_drives_the_terminal(self):
        self.rabbit.vhost("a\tb")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/vhosts/" + quote("a\tb"))
        self.rabbit.queue("dlq\t\x1b[31m", "a\tb")
        self.rabbit.queue("red\t\x1b[31m", "a\tb", dead_letter_exchange="", dead_letter_routing_key="dlq\t\x1b[31m")
        safe = {"red\\x09\\x1b[31m", "dlq\\x09\\x1b[31m"}
        done = [self.queuectl("stats"), self.queuectl("dlq", "list"), self.queuectl("top", "--once"),
                self.queuectl("purge", "rabbit", "red\t\x1b[31m", "--yes", "--vhost", "a\tb"),
                self.queuectl("purge", "rabbit", "rad\t\x1b[31m", "--yes", "--vhost", "a\tb", check=False)]
        for out in [text for one in done for text in (one.stdout, one.stderr)]:
            self.assertNotRegex(out, "[\t\x1b]")
        self.assertLessEqual({("a\\x09b", queue) for queue in safe},
                             {tuple(line.split()[:2]) for line in done[0].stdout.splitlines()})
        self.assertIn("rabbit  a\\x09b  red\\x09\\x1b[31m  dlq\\x09\\x1b[31m  ", done[1].stdout)
        self.assertIn("a\\x09b/red\\x09\\x1b[31m ", done[2].stdout)
        self.assertIn("a\\x09b/red\\x09\\x1b[31m\n", done[3].stdout)
        self.assertIn('did you mean "red\\x09\\x1b[31m"', done[4].stderr)

    def test_rates_are_seen_on_the_screen(self):
        terminal = Terminal(self, columns=120)
        terminal.run(f"{QUEUECTL} --config.file={self.folder}/queue_exporter.yml top --interval=500ms --filter='^busy$'")
        terminal.until("q quit")
        self.rabbit.queue("busy")
        self.addCleanup(self.rabbit.must, "DELETE", "/api/queues/%2f/busy")
        terminal.until("busy")

        def comes_in(screen):
            self.rabbit.publish("busy", 20)
            line = next((line for line in screen if line[1:].startswith("busy ")), "")
            words = line.split()
            return len(words) > 4 and words[4] not in ("-", "0")
        terminal.until(comes_in)


if __name__ == "__main__":
    unittest.main()
