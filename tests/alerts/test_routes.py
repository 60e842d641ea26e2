#!/usr/bin/python3
"""alertmanager.example.yml: accepted by amtool, every alert where it belongs, causes silence consequences."""
import re
import subprocess
import unittest

import yaml

import cases
import generate

EXAMPLE = cases.ALERTS / "alertmanager.example.yml"
CONFIG = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
SOURCE = generate.load()
SEVERITY = {row["alert"]: row["severity"] for group in SOURCE["groups"] for row in group["rules"] if "alert" in row}
RECEIVER = {"critical": "page", "warning": "ticket", "info": "digest"}
MATCHER = re.compile(r'^(\w+)(=~|!~|!=|=)"(.*)"$')
TESTS = cases.load_all()
QUEUE = {"job": "queue-exporter", "source": "s", "queue": "orders"}


def amtool(*words):
    done = subprocess.run(["amtool", *words], text=True, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


def matches(matchers, labels):
    """As Alertmanager has it: regular expressions are anchored, a label that is missing is empty."""
    for text in matchers:
        name, operator, value = MATCHER.match(text).groups()
        have = labels.get(name, "")
        hit = re.fullmatch(value, have) is not None if "~" in operator else have == value
        if hit == operator.startswith("!"):
            return False
    return True


def is_silenced(target, cause):
    return any(matches(rule["source_matchers"], cause) and matches(rule["target_matchers"], target)
               and all(target.get(name, "") == cause.get(name, "") for name in rule["equal"])
               for rule in CONFIG["inhibit_rules"])


def alert(name, **labels):
    return {"alertname": name, "severity": SEVERITY[name], **QUEUE, **labels}


class Routes(unittest.TestCase):
    def test_amtool_accepts_the_file(self):
        code, said = amtool("check-config", str(EXAMPLE))
        self.assertEqual(code, 0, said)

    def test_every_alert_goes_where_its_severity_says(self):
        for name, severity in SEVERITY.items():
            code, said = amtool("config", "routes", "test", f"--config.file={EXAMPLE}",
                                f"--verify.receivers={RECEIVER[severity]}", f"alertname={name}", f"severity={severity}")
            self.assertEqual(code, 0, f"{name}: {said}")

    def test_a_wrong_receiver_would_be_told(self):
        code, _ = amtool("config", "routes", "test", f"--config.file={EXAMPLE}", "--verify.receivers=page",
                         "severity=info")
        self.assertNotEqual(code, 0)

    def test_growth_pages_again_soon_and_the_reminder_comes_once_a_day(self):
        routes = CONFIG["route"]["routes"]
        growing = next(route for route in routes if matches(route["matchers"], alert("QueueDeadLettersGrowing")))
        waiting = next(route for route in routes if matches(route["matchers"], alert("QueueDeadLetterQueueNotEmpty")))
        self.assertEqual((growing["repeat_interval"], waiting["repeat_interval"]), ("30m", "24h"))
        self.assertEqual(CONFIG["route"]["group_by"], ["alertname", "cluster", "namespace", "job", "source"])


class Inhibition(unittest.TestCase):
    def test_without_an_exporter_everything_else_is_silent_and_that_is_not(self):
        cause = alert("QueueExporterDown", source="", queue="")
        for name in SEVERITY:
            self.assertEqual(is_silenced(alert(name), cause), name != "QueueExporterDown", name)
        self.assertFalse(is_silenced(alert("QueueMessagesTooOld", job="other"), cause))

    def test_without_its_source_every_alert_of_a_queue_is_silent(self):
        for cause in (alert("QueueSourceDown", queue=""), alert("QueueDataStale", queue="")):
            for name in SEVERITY:
                if "queue" in TESTS[name].get("labels", ""):
                    self.assertTrue(is_silenced(alert(name), cause), f"{cause['alertname']}, {name}")
                    self.assertFalse(is_silenced(alert(name, source="other"), cause), name)
            for name in ("QueueSourceDown", "QueueExporterDown", "QueueExporterReplicaDown", "QueueExporterReloadFailed"):
                self.assertFalse(is_silenced(alert(name), cause), f"{cause['alertname']}, {name}")

    def test_a_cause_silences_its_symptoms_on_the_same_queue_only(self):
        for cause, symptom in (("QueueConsumerStuck", "QueueBacklogGrowing"), ("QueueNoConsumers", "QueueDrainTooLong"),
                               ("QueueConsumerCircuitOpen", "QueueDrainTooLong"),
                               ("QueueMessagesTooOld", "QueueMessagesOftenTooOld"),
                               ("QueueDeadLettersGrowing", "QueueDeadLetterQueueNotEmpty"),
                               ("QueueConsumerErrorsFast", "QueueConsumerErrorsSlow"),
                               ("QueueBrokerNodeDown", "QueueUnreadable"),
                               ("QueueExporterReplicaDown", "QueueSourceUnreachableFromOne")):
            self.assertTrue(is_silenced(alert(symptom), alert(cause)), (cause, symptom))
            self.assertFalse(is_silenced(alert(cause), alert(symptom)), (cause, symptom))
            if cause not in ("QueueExporterReplicaDown", "QueueBrokerNodeDown"):
                self.assertFalse(is_silenced(alert(symptom, queue="other"), alert(cause)), (cause, symptom))
                self.assertFalse(is_silenced(alert(symptom, vhost="other"), alert(cause)), (cause, symptom))

    def test_no_cause_silences_anything_of_another_cluster_or_namespace(self):
        """Exporters of two clusters or teams often have the same job name."""
        silenced = 0
        for cause in SEVERITY:
            for target in SEVERITY:
                for label in ("cluster", "namespace"):
                    here = alert(cause, source="", queue="", **{label: "a"})
                    silenced += is_silenced(alert(target, source="", queue="", **{label: "a"}), here)
                    self.assertFalse(is_silenced(alert(target, source="", queue="", **{label: "b"}), here),
                                     f"{cause} in {label} a, {target} in b")
        self.assertGreater(silenced, 50)

    def test_no_page_is_silenced_but_by_what_makes_it_blind(self):
        blinding = {"QueueExporterDown", "QueueSourceDown", "QueueDataStale"}
        for cause in SEVERITY:
            for target, severity in SEVERITY.items():
                if severity == "critical" and is_silenced(alert(target), alert(cause)):
                    self.assertIn(cause, blinding, target)


if __name__ == "__main__":
    cases.need("amtool")
    unittest.main()
