"""moto's server, with its Amazon SQS one call after the other. moto itself takes no lock there: it answers two receives at
once with one message, and forgets what is sent while another is deleted. Of a FIFO queue, a long poll goes by the groups that
were in work when it began, and of those of a group whose visibility has ended together the last comes first. What a long poll
brings after its client has hung up is gone until its visibility ends. Run by MotoInTurn of moto_server.py."""
import functools
import select
import socket
import threading
import time

import flask
import moto.server
from moto.sqs.models import SQSBackend

LOCK = threading.RLock()
LOOK_SECONDS = 0.02


def in_turn(call):
    @functools.wraps(call)
    def locked(*words, **more):
        with LOCK:
            return call(*words, **more)
    return locked


def has_hung_up():
    client = flask.request.environ["werkzeug.socket"]
    return bool(select.select([client], [], [], 0)[0]) and client.recv(1, socket.MSG_PEEK) == b""


def polling(receive):
    """A long poll looks again and again, and lets others in between."""
    @functools.wraps(receive)
    def poll(backend, queue_name, count, wait_seconds_timeout, *words, **more):
        deadline = time.monotonic() + int(wait_seconds_timeout or 0)
        while True:
            with LOCK:
                queue = backend.get_queue(queue_name)
                queue.pending_messages.difference_update([one for one in queue.pending_messages if one.visible])
                messages = receive(backend, queue_name, count, 0, *words, **more)
            if messages or time.monotonic() >= deadline:
                return messages
            time.sleep(LOOK_SECONDS)
            if has_hung_up():
                return []
    return poll


for name in ("send_message", "send_message_batch", "delete_message", "delete_message_batch", "change_message_visibility",
             "change_message_visibility_batch", "get_queue_attributes", "purge_queue", "create_queue", "delete_queue"):
    setattr(SQSBackend, name, in_turn(getattr(SQSBackend, name)))
SQSBackend.receive_message = polling(SQSBackend.receive_message)

if __name__ == "__main__":
    moto.server.main()
