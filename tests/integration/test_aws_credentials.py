#!/usr/bin/python3
"""Every way to come by AWS credentials, end to end: the daemon finds them, and moto verifies what it signs."""
import collections
import datetime
import http.server
import json
import os
import stat
import subprocess
import threading
import time
import unittest

from sqs_case import WithMoto

# pylint: disable=wrong-import-position
from daemon import QUEUECTL, wait_for
from moto_server import ACCOUNT, EVERYTHING, REGION, MotoServer

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: 2s, poll_timeout: 2s, stale_after: 60s}}
sources:
  - name: aws
    type: sqs
    oldest_age: {{method: none}}
    cadence: {{adaptive: false}}
{extra}
"""
UP = 'queue_source_up{source="aws"}'
READY = 'queue_messages_ready{source="aws",queue="watched"}'
EXPIRY = 'queue_exporter_credentials_expiry_timestamp_seconds{source="aws"}'
FAILURES = 'queue_exporter_credentials_refresh_failures_total{source="aws"}'
POLLS = 'queue_exporter_polls_total{source="aws"}'
POLL_FAILURES = 'queue_exporter_poll_failures_total{{source="aws",reason="{}"}}'


def rfc3339(seconds_from_now):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


class Agent:
    """Hands out credentials as a container's agent and as instance metadata do; `give` makes them."""

    def __init__(self, give):
        self.give, self.token, self.answers = give, None, collections.Counter()
        self.refusing = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def reply_to(self, method, path, headers):
        """(status, body), and counts which."""
        metadata_token = headers.get("x-aws-ec2-metadata-token")
        if self.refusing.is_set():
            return "refused", 503, ""
        if path == "/container":
            return ("container", 200, json.dumps(self.give())) if headers.get("Authorization") == self.token else (
                "unauthorized", 403, json.dumps({"code": "AccessDenied", "message": "not this token"}))
        if (method, path) == ("PUT", "/latest/api/token"):
            return "session", 200, "the-session"
        if metadata_token != "the-session":
            return "unauthorized", 401, ""
        if path == "/latest/meta-data/placement/region":
            return "region", 200, REGION
        if path == "/latest/meta-data/iam/security-credentials/":
            return "role", 200, "the-role\n"
        if path == "/latest/meta-data/iam/security-credentials/the-role":
            return "metadata", 200, json.dumps({"Code": "Success", **self.give()})
        return "unknown", 404, ""

    def handler(self):
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def reply(self):
                kind, status, body = agent.reply_to(self.command, self.path, self.headers)
                agent.answers[kind] += 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_PUT = reply  # pylint: disable=invalid-name

            def log_message(self, *words):  # pylint: disable=arguments-differ
                pass

        return Handler


class Credentials(WithMoto):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        iam = cls.moto.boto3("iam")
        cls.role_arn = iam.create_role(
            RoleName="monitor", AssumeRolePolicyDocument=json.dumps(EVERYTHING))["Role"]["Arn"]
        iam.put_role_policy(RoleName="monitor", PolicyName="all", PolicyDocument=json.dumps(EVERYTHING))
        url = cls.sqs.create_queue(QueueName="watched")["QueueUrl"]
        for body in "abc":
            cls.sqs.send_message(QueueUrl=url, MessageBody=body)

    def environment(self, **more):
        """Nothing of this machine's own identity, and every service at moto."""
        return {**{name: "" for name in os.environ if name.startswith("AWS_")}, "HOME": str(self.folder),
                "AWS_REGION": REGION, "AWS_ENDPOINT_URL": self.moto.url, "AWS_EC2_METADATA_DISABLED": "true", **more}

    def watch(self, extra="", **environment):
        config = self.write_config(CONFIG.format(extra=extra))
        return self.daemon(config=config, env=self.environment(**environment))

    def assert_watches(self, daemon):
        daemon.wait_value(READY, 3)
        self.assertEqual(daemon.value(UP), 1)
        self.assert_no_secret(daemon.log())

    def assert_no_secret(self, text):
        self.assertNotIn(self.moto.secret_access_key, text)

    def write_aws(self, name, text):
        folder = self.folder / ".aws"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    def base_keys(self):
        return f"aws_access_key_id = {self.moto.access_key_id}\naws_secret_access_key = {self.moto.secret_access_key}\n"

    def session(self, seconds=3600):
        """Credentials that moto takes, as an agent gives them, with an end of our own."""
        taken = self.moto.boto3("sts").assume_role(RoleArn=self.role_arn, RoleSessionName="agent")["Credentials"]
        return {"AccessKeyId": taken["AccessKeyId"], "SecretAccessKey": taken["SecretAccessKey"],
                "Token": taken["SessionToken"], "Expiration": rfc3339(seconds)}

    def agent(self, give=None):
        agent = Agent(give or self.session)
        self.addCleanup(agent.stop)
        return agent

    def test_environment(self):
        daemon = self.watch(AWS_ACCESS_KEY_ID=self.moto.access_key_id + "\n",
                            AWS_SECRET_ACCESS_KEY=self.moto.secret_access_key)
        self.assert_watches(daemon)
        self.assertIsNone(daemon.value(EXPIRY), "these never expire")

    def test_a_wrong_secret_is_seen_by_the_server(self):
        daemon = self.watch(AWS_ACCESS_KEY_ID=self.moto.access_key_id, AWS_SECRET_ACCESS_KEY="wrong")
        daemon.wait_value(POLL_FAILURES.format("auth"), lambda value: value and value > 0)
        self.assertEqual(daemon.value(UP), 0)
        self.assertIn("SignatureDoesNotMatch", daemon.log())

    def test_profile_in_the_credentials_file(self):
        self.write_aws("credentials", "[other]\n" + self.base_keys())
        self.write_aws("config", f"[profile other]\nregion = {REGION}\n")
        self.assert_watches(self.watch(AWS_PROFILE="other", AWS_REGION=""))

    def test_role_of_a_profile_on_another_profiles_keys(self):
        self.write_aws("credentials", "[base]\n" + self.base_keys())
        self.write_aws("config", f"[default]\nrole_arn = {self.role_arn}\nsource_profile = base\n"
                                 "external_id = us+them\nrole_session_name = the-daemon\nduration_seconds = 900\n")
        daemon = self.watch()
        self.assert_watches(daemon)
        self.assertAlmostEqual(daemon.value(EXPIRY), time.time() + 900, delta=60)

    def test_role_of_the_configuration_on_keys_of_the_environment(self):
        daemon = self.watch(f'    assume_role: {{arn: "{self.role_arn}", external_id: us+them}}',
                            AWS_ACCESS_KEY_ID=self.moto.access_key_id,
                            AWS_SECRET_ACCESS_KEY=self.moto.secret_access_key)
        self.assert_watches(daemon)
        self.assertAlmostEqual(daemon.value(EXPIRY), time.time() + 3600, delta=60)

    def test_services_section_names_the_endpoint(self):
        self.write_aws("config", f"[default]\nservices = here\n{self.base_keys()}"
                                 f"[services here]\nsqs =\n  endpoint_url = {self.moto.url}\n")
        self.assert_watches(self.watch(AWS_ENDPOINT_URL=""))

    def test_web_identity(self):
        """STS takes this call unsigned, moto only from whom it does not verify: a server of its own."""
        token = self.folder / "token"
        token.write_text("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl\n", encoding="utf-8")
        with MotoServer(verify=False) as sts:
            daemon = self.watch(AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ENDPOINT_URL=sts.url,
                                AWS_ROLE_ARN=f"arn:aws:iam::{ACCOUNT}:role/monitor")
            sts.boto3("sqs").create_queue(QueueName="watched")
            daemon.wait_value(UP, 1)
            self.assertAlmostEqual(daemon.value(EXPIRY), time.time() + 3600, delta=60)
            self.assertNotIn("eyJhbGci", daemon.log())

    def test_container_with_a_token_file_that_changes(self):
        agent = self.agent(lambda: self.session(4))
        agent.token = "first-token"
        token = self.folder / "token"
        token.write_text("first-token\n", encoding="utf-8")
        daemon = self.watch(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url + "/container",
                            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token))
        self.assert_watches(daemon)
        token.write_text("second-token\n", encoding="utf-8")
        agent.token = "second-token"
        seen = agent.answers["container"]
        wait_for("credentials for the new token", lambda: agent.answers["container"] > seen + 1)
        self.assertNotIn("-token", daemon.log())

    def test_instance_metadata_and_its_region(self):
        agent = self.agent()
        daemon = self.watch(AWS_EC2_METADATA_DISABLED="", AWS_EC2_METADATA_SERVICE_ENDPOINT=agent.url, AWS_REGION="")
        self.assert_watches(daemon)
        self.assertEqual(agent.answers["metadata"], 1, "one search for all handles of the source")
        self.assertGreaterEqual(agent.answers["region"], 1)
        self.assertEqual(agent.answers["unauthorized"], 0)

    def test_instance_metadata_as_moto_serves_it(self):
        with MotoServer(verify=False) as metadata:  # it takes keys of nobody's, so it cannot verify them
            metadata.boto3("sqs").create_queue(QueueName="watched")
            daemon = self.watch(AWS_EC2_METADATA_DISABLED="", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url,
                                AWS_ENDPOINT_URL=metadata.url)
            daemon.wait_value(UP, 1)
            self.assertGreater(daemon.value(EXPIRY), time.time())

    def test_credential_process(self):
        given = {"Version": 1, **self.session(3600)}
        given["SessionToken"] = given.pop("Token")
        answer = self.folder / "answer.json"
        answer.write_text(json.dumps(given), encoding="utf-8")
        helper = self.folder / "help er"
        helper.write_text('#!/bin/sh\ntest "$2" = "two words" && exec cat "$1"\necho "bad words: $*" >&2\nexit 3\n',
                          encoding="utf-8")
        helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
        self.write_aws("config", f"[default]\ncredential_process = '{helper}' {answer} \"two words\"\n")
        daemon = self.watch()
        self.assert_watches(daemon)
        self.assertAlmostEqual(daemon.value(EXPIRY), time.time() + 3600, delta=60)

    def test_credential_process_that_fails_says_why(self):
        self.write_aws("config", "[default]\ncredential_process = /bin/sh -c 'echo no session today >&2; exit 3'\n")
        daemon = self.watch()
        wait_for("its words in the log", lambda: "the program ended with code 3: no session today" in daemon.log())

    def test_renewed_in_mid_run_and_what_an_outage_does(self):
        agent = self.agent(lambda: self.session(8))
        daemon = self.watch(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url + "/container")
        self.assert_watches(daemon)
        first = daemon.value(EXPIRY)
        polls = daemon.value(POLLS)
        daemon.wait_value(EXPIRY, lambda value: value > first + 5)
        self.assertEqual(daemon.value(FAILURES), 0)
        agent.refusing.set()
        daemon.wait_value(FAILURES, lambda value: value > 0)
        self.assertEqual(daemon.value(UP), 1, "the old ones hold")
        daemon.wait_value(UP, 0)
        self.assertLess(daemon.value(EXPIRY) or 0, time.time() + 1, "until they really expire")
        agent.refusing.clear()
        daemon.wait_value(UP, 1)
        self.assertGreater(daemon.value(POLLS), polls)
        self.assertIn("could not be renewed, the old ones are used on", daemon.log())

    def test_nothing_found_names_every_place(self):
        daemon = self.watch()
        places = ["configuration: ", "environment: AWS_ACCESS_KEY_ID is not set",
                  "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set",
                  f"profile: 'default' is in neither of {self.folder}/.aws/config (missing)", "container: neither",
                  "instance metadata: switched off by AWS_EC2_METADATA_DISABLED"]
        daemon.wait_value(POLL_FAILURES.format("auth"), lambda value: value and value > 0)
        log, page = daemon.log(), daemon.ask("/").text
        told = subprocess.run([QUEUECTL, f"--config.file={daemon.config}", "stats", "aws"], text=True,
                              capture_output=True, timeout=60, check=False,
                              env={**os.environ, **self.environment()})
        self.assertNotEqual(told.returncode, 0)
        for place in places:
            self.assertIn(place, log)
            self.assertIn(place.replace("'", "&#39;"), page.replace("&apos;", "&#39;").replace("'", "&#39;"))
            self.assertIn(place, told.stderr)

    def test_a_broken_settings_file_is_named_with_its_line(self):
        self.write_aws("config", f"[default]\n{self.base_keys()}oops\n")
        daemon = self.watch()
        wait_for("file and line in the log", lambda: f"{self.folder}/.aws/config:4: expected an '='" in daemon.log())
        self.assert_no_secret(daemon.log())


if __name__ == "__main__":
    unittest.main()
