#!/usr/bin/python3
"""local-aws-sqs, a second implementation of Amazon SQS, which no signature can displease.

In a test:    with LocalSqsServer() as local: ... local.url
As a program: local_sqs_server.py --exec COMMAND...   with QE_LOCAL_SQS_URL in the command's environment

Found in QE_NODE_MODULES (default build/npm/node_modules, made by packaging/quickstart/servers.sh)."""
import os
import shutil
import sys

from child_server import NODE_MODULES, ChildServer, end_program, run_under

PROGRAM = """
const { createSqsServer } = require(process.argv[1]);
createSqsServer({ port: Number(process.argv[2]), hostname: '127.0.0.1', emulateQueueCreationLifecycle: false });
"""


class LocalSqsServer(ChildServer):
    name = "local-aws-sqs"

    def __init__(self):
        super().__init__()
        self.module = os.path.join(NODE_MODULES, "local-aws-sqs")
        if shutil.which("node") is None:
            end_program("no node on the PATH, so no local-aws-sqs server")
        if not os.path.isdir(self.module):
            end_program(f"no local-aws-sqs at {self.module}")

    def command(self, port):
        return ["node", "-e", PROGRAM, self.module, str(port)]

    def exported(self):
        return {"QE_LOCAL_SQS_URL": self.url}


if __name__ == "__main__":
    sys.exit(run_under(LocalSqsServer(), sys.argv[1:]))
