"""Test cases on a store of our own that say how the embedded store is worked on, as handler_case.py and others ask."""
import json

from daemon import WithFolder

CONFIG = """
shutdown_timeout: {shutdown}
defaults: {{poll_interval: 1s, poll_timeout: 1s, stale_after: 3s}}
sources:
  - name: local
    type: embedded
    path: {folder}/queues.db
    queues:
      - {{name: orders, dead_letter: {{queue: orders-dlq, max_receives: {max_receives}}}}}
      - {{name: orders-dlq}}
      - {{name: replies}}
{extra}
"""


class OnEmbedded(WithFolder):
    source, vhost = "local", ""
    max_receives = 10

    def make_pair(self):
        self.write_handler_config("")
        return "orders", "orders-dlq"

    def write_handler_config(self, extra, shutdown="5s"):
        return self.write_config(CONFIG.format(folder=self.folder, extra=extra, shutdown=shutdown,
                                               max_receives=self.max_receives))

    def send_lines(self, queue, messages):
        """As dlq import takes them: many in one go."""
        self.queuectl("dlq", "import", "local", queue, stdin="".join(json.dumps(message) + "\n" for message in messages))

    def send_all(self, queue, bodies):
        self.send_lines(queue, [{"body": body} for body in bodies])

    def row(self, queue):
        [row] = [row for row in self.stats() if row["queue"] == queue]
        return row

    def ready(self, queue):
        return self.row(queue)["ready"]

    def left(self, queue):
        row = self.row(queue)
        return row["ready"] + row["in_flight"] + row["delayed"]
