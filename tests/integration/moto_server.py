#!/usr/bin/python3
"""moto, a stand-in for AWS, with its authentication switched on: a signature that is wrong is refused.

In a test:    with MotoServer() as moto: ... moto.url, moto.access_key_id, moto.secret_access_key
As a program: moto_server.py --exec COMMAND...   with QE_MOTO_URL, QE_MOTO_ACCESS_KEY_ID and
              QE_MOTO_SECRET_ACCESS_KEY (and REGION) in the command's environment

moto itself runs under QE_TEST_PYTHON (default build/venv/bin/python, made by
packaging/quickstart/servers.sh); this file needs no package."""
import json
import os
import re
import sys
import urllib.parse
import urllib.request

from child_server import TEST_PYTHON, ChildServer, end_program, run_under

REGION = "eu-west-1"
ACCOUNT = "123456789012"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# moto finds service and region in the credential scope; while authentication is off it looks no further.
UNVERIFIED = ("AWS4-HMAC-SHA256 Credential=setup/20260101/us-east-1/iam/aws4_request,"
              " SignedHeaders=host, Signature=0")
_SETUP_CALLS = 3  # create(): those three are free, and everything after them is verified


class MotoServer(ChildServer):
    """`policy`: what the key may do, as an IAM policy document; with verify=False nothing is verified."""

    name = "moto"

    def __init__(self, policy=None, verify=True):
        super().__init__()
        self.policy, self.verify = policy or EVERYTHING, verify
        self.access_key_id = self.secret_access_key = "unverified"
        if not os.access(TEST_PYTHON, os.X_OK):
            end_program(f"no moto server at {TEST_PYTHON}")

    def command(self, port):
        return [TEST_PYTHON, "-B", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    def environment(self):
        return {"INITIAL_NO_AUTH_ACTION_COUNT": str(_SETUP_CALLS) if self.verify else "inf"}

    def prepare(self):
        if self.verify:
            self._iam(Action="CreateUser", UserName="tester")
            answer = self._iam(Action="CreateAccessKey", UserName="tester")
            self.access_key_id = re.search("<AccessKeyId>(.+?)</AccessKeyId>", answer)[1]
            self.secret_access_key = re.search("<SecretAccessKey>(.+?)</SecretAccessKey>", answer)[1]
            self._iam(Action="PutUserPolicy", UserName="tester", PolicyName="tests",
                      PolicyDocument=json.dumps(self.policy))

    def _iam(self, **words):
        body = urllib.parse.urlencode({**words, "Version": "2010-05-08"}).encode()
        request = urllib.request.Request(self.url, body, {
            "Authorization": UNVERIFIED, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def boto3(self, service):
        """A boto3 client with this server's key; only under QE_TEST_PYTHON."""
        import boto3  # pylint: disable=import-outside-toplevel
        return boto3.client(service, region_name=REGION, endpoint_url=self.url,
                            aws_access_key_id=self.access_key_id, aws_secret_access_key=self.secret_access_key)

    def exported(self):
        return {"QE_MOTO_URL": self.url, "QE_MOTO_REGION": REGION, "QE_MOTO_ACCESS_KEY_ID": self.access_key_id,
                "QE_MOTO_SECRET_ACCESS_KEY": self.secret_access_key}


class MotoInTurn(MotoServer):
    """Its Amazon SQS gives no message twice and keeps the order of groups, also when it is asked by many at once."""

    def command(self, port):
        program = os.path.join(os.path.dirname(__file__), "moto_in_turn.py")
        return [TEST_PYTHON, "-B", program, "-H", "127.0.0.1", "-p", str(port)]


if __name__ == "__main__":
    sys.exit(run_under(MotoServer(), sys.argv[1:]))
