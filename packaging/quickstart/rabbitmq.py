#!/usr/bin/python3
"""A RabbitMQ to try things on, until it is ended: on free ports, with data of its own, user guest, password guest.

Prints where it is, for a shell: RABBIT_URL=http://127.0.0.1:23456 RABBIT_AMQP_PORT=23457"""
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "integration"))
from rabbitmq_server import RabbitServer, need_rabbitmq  # noqa: E402 pylint: disable=wrong-import-position

need_rabbitmq()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
try:
    with RabbitServer() as rabbit:
        print(f"RABBIT_URL={rabbit.url} RABBIT_AMQP_PORT={rabbit.amqp_port}", flush=True)
        signal.pause()
except KeyboardInterrupt:
    pass
