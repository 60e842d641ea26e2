"""Test cases beside a real RabbitMQ."""
import unittest

from rabbitmq_server import RabbitServer, need_rabbitmq

need_rabbitmq()  # before anything else

# pylint: disable=wrong-import-position
from daemon import WithFolder, wait_for

CONFIG = """
shutdown_timeout: 5s
defaults: {{poll_interval: {poll}s, poll_timeout: {poll}s, discovery_interval: {discovery}s, stale_after: {stale}s}}
sources:
  - name: rabbit
    type: rabbitmq
    management_url: {url}
{extra}
"""


def series(family, queue, vhost="/", **labels):
    return (f'{family}{{source="rabbit",vhost="{vhost}",queue="{queue}"'
            + "".join(f',{k}="{v}"' for k, v in labels.items()) + "}")


def of_source(family, **labels):
    return f'{family}{{source="rabbit"' + "".join(f',{k}="{v}"' for k, v in labels.items()) + "}"


class Watching(WithFolder):
    """What the test cases share."""

    def watch(self, url, extra="", poll=1, discovery=3, stale=20):
        text = CONFIG.format(url=url, extra=extra, poll=poll, discovery=discovery, stale=stale)
        return self.daemon(config=self.write_config(text))

    def wait_page(self, what, daemon, fits, seconds=60):
        """The first page that fits: fits(page) gives what is wrong, or nothing."""
        last = []

        def look():
            daemon.is_alive()
            page = daemon.values()
            last[:] = [fits(page)]
            return None if last[0] else page
        try:
            return wait_for(what, look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; wrong: {str(last[0])[:1500]}\n{daemon.log()[-2500:]}") from None

    def wait_values(self, what, daemon, wanted, seconds=60):
        """Until the page shows all of {series: value}; None: not there."""
        return self.wait_page(what, daemon, lambda page: [
            (name, page.get(name), value) for name, value in wanted.items() if page.get(name) != value], seconds)


class WithRabbit(Watching):
    """One server for all tests of the class."""

    plugins = ("rabbitmq_management", "rabbitmq_prometheus")
    more = ""
    settings = ""  # of advanced.config, where rabbitmq.conf knows none

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rabbit = cls.serve()

    @classmethod
    def serve(cls):
        rabbit = RabbitServer(cls.plugins, cls.more, settings=cls.settings).start()
        cls.addClassCleanup(rabbit.stop)
        return rabbit


class SharingRabbit(WithRabbit):
    """One server for all such classes of the program that want it the same: each leaves its queues there."""

    shared = {}

    @classmethod
    def serve(cls):
        wanted = (cls.plugins, cls.more, cls.settings)
        if wanted not in cls.shared:
            cls.shared[wanted] = RabbitServer(cls.plugins, cls.more, settings=cls.settings).start()
            unittest.addModuleCleanup(lambda: cls.shared.pop(wanted).stop())
        return cls.shared[wanted]
