"""What order_by promises on every broker: each group's messages are handled in the order they were sent."""
import json
import sys
import time

from daemon import wait_for
from handler_case import of

# Writes the body of each message that it has handled. "g1.07!2" fails twice before that, whoever is asked, and "g0.01!2@2"
# is away for 2 seconds after each.
WORKER = """
import json, os, sys, time
folder = sys.argv[1]
out = os.open(folder + "/handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for line in sys.stdin:
    call = json.loads(line)
    body = call["message"]["body"]
    time.sleep(0.005)
    name, _, fails = body.partition("!")
    times, _, delay = fails.partition("@")
    tries = sum(os.path.exists(f"{folder}/{name}.{number}") for number in range(int(times or 0)))
    if tries < int(times or 0):
        open(f"{folder}/{name}.{tries}", "x").close()
        answer = {"id": call["id"], "result": "retry"}
        print(json.dumps(answer | ({"delay": int(delay)} if delay else {})), flush=True)
        continue
    os.write(out, (name + "\\n").encode())
    print(json.dumps({"id": call["id"], "result": "ack"}), flush=True)
"""
CONSUMER = """
consumers:
  - source: {source}
    queue: {queue}
    vhost: "{vhost}"
    workers: {workers}
{order_by}    retry: {{initial: 400ms, max: 2s}}
    handler: {{type: coprocess, command: {command}}}
"""
GROUPS, LOTS, LOT = 5, 20, 2


class InOrder:
    """For a test case of a driver, which says: `source`, `vhost`, and sends with send_all([(group, body)])."""

    def consumers(self, queue, workers, order_by="customer"):
        """Without order_by: the broker's own groups."""
        (self.folder / "worker.py").write_text(WORKER, encoding="utf-8")
        command = json.dumps([sys.executable, "-S", str(self.folder / "worker.py"), str(self.folder)])
        return CONSUMER.format(source=self.source, queue=queue, vhost=self.vhost, workers=workers, command=command,
                               order_by=f"    order_by: {order_by}\n" if order_by else "")

    def check_order(self, daemon, queue, send_all):
        """A producer goes on sending while some fail: one of each group but the last, and later one of the first again."""
        sent = 0
        for lot in range(LOTS):
            messages = []
            for group in range(GROUPS):
                for number in range(lot * LOT, (lot + 1) * LOT):
                    fails = 2 if number == 1 + group else 1 if (group, number) == (0, 21) else 0
                    fails = 0 if group == GROUPS - 1 else fails
                    away = "@2" if (group, number) == (0, 1) else ""  # long enough for the next lots to come
                    messages.append((f"g{group}", f"g{group}.{number:02}" + (f"!{fails}{away}" if fails else "")))
            send_all(messages)
            sent += len(messages)
            time.sleep(0.15)
        wait_for("all are handled", lambda: of(daemon, "queue_consumer_messages_processed_total", self.source, queue,
                                               vhost=self.vhost) == sent, 60)
        done = (self.folder / "handled").read_text(encoding="utf-8").split()
        for group in range(GROUPS):
            self.assertEqual([name for name in done if name.startswith(f"g{group}.")],
                             [f"g{group}.{number:02}" for number in range(LOTS * LOT)])
        failed = sum(value for name, value in daemon.values().items() if name.startswith("queue_consumer_messages_failed_total"))
        self.assertEqual(failed, 2 * (GROUPS - 1) + 1)
        self.assertLess(done.index(f"g{GROUPS - 1}.05"), done.index("g0.02"), "the others go on")
