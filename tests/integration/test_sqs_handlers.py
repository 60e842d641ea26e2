#!/usr/bin/python3
"""Handlers on Amazon SQS: what fails is in the DLQ with its reason, and a redrive repairs it."""
import unittest

from sqs_case import OnSqs

from handler_case import Repair


class Repaired(OnSqs, Repair):
    pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
