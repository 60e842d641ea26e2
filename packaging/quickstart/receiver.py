#!/usr/bin/python3
"""Stands for a pager: takes Alertmanager's webhooks and writes one line per alert. Usage: receiver.py PORT"""
import http.server
import json
import sys
import time


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        for alert in body["alerts"]:
            said = alert["annotations"]
            print(time.strftime("%H:%M:%S"), self.path.strip("/"), alert["status"].upper(), alert["labels"]["alertname"],
                  said.get("summary", ""), said.get("description", ""), flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
