"""Test cases with a proxy that breaks AWS's answers between the daemon and moto."""
import concurrent.futures
import re

from sqs_case import WithMoto

# pylint: disable=wrong-import-position
from fault_proxy import FaultProxy
from moto_server import REGION

STATIC_KEYS = "    access_key_id: {key}\n    secret_access_key: {secret}\n"
CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: {poll}s, poll_timeout: {poll}s, discovery_interval: 1h, stale_after: {stale}}}
sources:
  - name: aws
    type: sqs
    region: {region}
    endpoint: {url}
{keys}    oldest_age: {{method: none}}
    cadence: {{adaptive: false}}
{extra}
"""
# What each fault is to the user: the reason in metrics and log.
REASONS = {"throttled": "throttled", "throttling": "throttled", "denied": "auth", "error500": "network",
           "error503": "network", "garbage": "protocol", "wrong": "protocol", "reset": "network", "close": "network",
           "not_http": "protocol", "half": "network", "half_headers": "network", "slow": "timeout",
           "never": "timeout", "large": "limit"}
FAILURES = 'queue_exporter_api_request_failures_total{{source="aws",operation="GetQueueAttributes",reason="{}"}}'


def series(family, queue):
    return f'{family}{{source="aws",queue="{queue}"}}'


class WithProxy(WithMoto):
    poll_seconds = 1

    def setUp(self):
        super().setUp()
        self.proxy = FaultProxy(self.moto.url)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)

    def watch(self, extra="", keys=STATIC_KEYS, stale="10m", poll_seconds=None, **environment):
        """A daemon that sees AWS through the proxy."""
        text = CONFIG.format(poll=poll_seconds or self.poll_seconds, stale=stale, region=REGION, url=self.proxy.url, extra=extra,
                             keys=keys.format(key=self.moto.access_key_id, secret=self.moto.secret_access_key))
        return self.daemon(config=self.write_config(text), env=environment)

    def make_queues(self, count):
        """{name: messages in it}; gone again when the test is over."""
        every = 5 if count >= 1000 else 1  # has messages in it: sending takes as long as making the queue
        depths = {f"{self.id().rpartition('.')[2][:40]}-{i:04}": i % 50 % 4 if i % every == 0 else 0
                  for i in range(count)}

        def make(name):
            url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
            if depths[name] > 0:
                self.sqs.send_message_batch(QueueUrl=url, Entries=[
                    {"Id": str(i), "MessageBody": "x"} for i in range(depths[name])])
            return url
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            urls = list(pool.map(make, depths))
        if count < 1000:  # else it takes ten seconds, and the server is of this class alone
            for url in urls:
                self.addCleanup(self.sqs.delete_queue, QueueUrl=url)
        return depths

    def failures(self, page):
        return {reason: page.get(FAILURES.format(reason), 0) for reason in sorted(set(REASONS.values()))}

    def check_values(self, page, depths):
        wrong = {name: page.get(series("queue_messages_ready", name)) for name in depths
                 if page.get(series("queue_messages_ready", name)) != depths[name]}
        self.assertEqual(wrong, {}, "every queue keeps its value")

    def all_up(self, page, names):
        return all(page.get(series("queue_up", name)) == 1 for name in names)

    def poll_ended_within(self, page, seconds):
        """True when no poll took longer, as far as the histogram's buckets tell."""
        name = "queue_exporter_poll_duration_seconds"
        inside = [count for key, count in page.items() if key.startswith(f"{name}_bucket")
                  and float(re.search('le="([^"]+)"', key)[1]) <= seconds]
        return max(inside) == page[f'{name}_count{{source="aws"}}']
