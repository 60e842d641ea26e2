"""The HTTP handler of the crash tests: what crash_worker.py does, for a POST. Prints its port."""
import http.server
import json
import os
import socket
import struct
import sys
import time

from crash_worker import KILOBYTE, work

STATUSES = {"ack": 204, "reject": 422, "retry": 503}
HANG_SECONDS = 15


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        ledger = os.open(f"{os.environ['LEDGER']}-{self.headers['X-Life']}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            result = work(ledger, json.loads(body)["n"], self.misbehave)
        finally:
            os.close(ledger)
        if result is not None:
            self.answer(STATUSES[result])

    def answer(self, status, body=b""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def misbehave(self, kind):
        """Each in its way no answer. True: there is nothing more to say."""
        self.close_connection = True
        getattr(self, kind)()
        return True

    def hang(self):
        time.sleep(HANG_SECONDS)

    def crash(self):
        """A reset, as of a server that dies."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def exit(self):
        self.answer(500)

    def leak(self):
        """Byte by byte: something comes all the time, but never all of it."""
        self.wfile.write(b"HTTP/1.1 204 No Content\r\nX-Long: ")
        until = time.monotonic() + HANG_SECONDS
        while time.monotonic() < until:
            self.wfile.write(b"x")
            time.sleep(0.02)

    def print(self):
        self.answer(500, KILOBYTE * (3 << 10))

    def fork(self):
        self.wfile.write(b"HTTP/1.1 204 No Con")

    def close(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut short")

    def babble(self):
        self.wfile.write(KILOBYTE * (3 << 10))

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # else the daemon was killed, or has had enough
            super().handle_error(request, client_address)


def main():
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
