"""Exporter: can the numbers be trusted, and what do they cost?"""
from panels import (BLUE, DATASOURCE_VARIABLE, GREEN, GREY, INSTANCE, JOB, RED, YELLOW, Column, Dashboard, Query, Row,
                    heatmap, lines, stat, steps, table, variable, words)

VARIABLES = [
    DATASOURCE_VARIABLE, JOB, INSTANCE,
    variable("source", "Source", "label_values(queue_source_up{E}, source)"),
]
I = "{{instance}}"
SI = "{{source}} {{instance}}"
EACH = "by (job, instance, source)"


def quantile(q, family, by="source"):
    return (f"histogram_quantile({q}, sum by (le, job, {by}) "
            f"(rate(queue_exporter_{family}_seconds_bucket{{S}}[WINDOW]))) >= 0")


NOW = Row("Now", [
    stat("Exporters up", "Exporters that Prometheus can scrape.", 'sum(up{E})', none="none scraped",
         colors=steps(RED, (1, GREEN)), runbooks=["QueueExporterDown"]),
    stat("Exporters down", "Exporters that Prometheus knows and cannot scrape.", 'count(up{E} == 0) or vector(0)',
         colors=steps(GREEN, (1, RED)), runbooks=["QueueExporterDown"]),
    stat("Sources", "1 when the last poll read the source's queues and their list is not stale, for each exporter.",
         Query("min by (source, instance) (queue_source_up{S})", SI), width=5,
         mappings=words(_1=("up", GREEN), _0=("down", RED)), colors=steps(GREY), text_mode="value_and_name",
         runbooks=["QueueSourceDown"]),
    stat("Queues watched", "Queues that are watched; a pair watches each once.",
         'sum(max by (job, source) (queue_exporter_queues{S, state="watched"}))'),
    stat("Queues dropped", "Queues left out because the source has more than max_queues.",
         "sum(max by (job, source) (queue_exporter_queues_dropped{S}))", colors=steps(GREEN, (1, RED)),
         runbooks=["QueueExporterQueuesDropped"]),
    stat("Configuration", "Did the last reload succeed? If not, the old configuration is in force.",
         "min(queue_exporter_config_last_reload_successful{E})", width=4,
         mappings=words(_1=("loaded", GREEN), _0=("reload failed", RED)), colors=steps(GREY),
         runbooks=["QueueExporterReloadFailed"]),
    stat("Cost of a day", "What the requests of the last hour would cost in a day, at list prices, all instances "
         "together: a pair pays twice.", "24 * sum(increase(queue_exporter_api_cost_dollars_total{S}[1h]))",
         unit="currencyUSD", none="free of charge", decimals=2, runbooks=["QueueExporterBudgetReached"]),
])

POLLS = Row("Polls", [
    lines("Polls", "Polls of each source, and those that failed as a whole.",
          Query(f"sum {EACH} (rate(queue_exporter_polls_total{{S}}[WINDOW]))", f"polls {SI}"),
          Query(f"sum {EACH} (rate(queue_exporter_poll_failures_total{{S}}[WINDOW]))", f"failed {SI}", RED),
          unit="ops", width=8, min_step="30s", runbooks=["QueueSourceDown"]),
    lines("Poll failures by reason", "Only reasons that happened in the time shown. auth: look at credentials; "
          "throttled: poll less; timeout, network: look at the way to the broker.",
          Query("""sum by (source, reason) (increase(queue_exporter_poll_failures_total{S}[WINDOW]))
                and on (source, reason) sum by (source, reason) (
                increase(queue_exporter_poll_failures_total{S}[$__range] @ end())) > 0""", "{{source}} {{reason}}"),
          width=8, bars=True, stacked=True, min_step="30s", none="no failures", runbooks=["QueueSourceDown"]),
    lines("Queues by state", "Listed by the source, watched after filters, up (read), stale (no young reading). The "
          "states overlap.",
          Query("max by (job, source, state) (queue_exporter_queues{S})", "{{source}} {{state}}"), width=8,
          runbooks=["QueueUnreadable"]),
    heatmap("Poll duration", "How long polls took, all sources together.",
            "sum by (le) (rate(queue_exporter_poll_duration_seconds_bucket{S}[WINDOW]))", width=8),
    lines("Poll duration, p99", "By source. Near poll_timeout, polls begin to fail.",
          Query(quantile(0.99, "poll_duration"), "{{source}}"), unit="s", width=8),
    lines("Age of the data", "Time since a source was last read, for each exporter.",
          Query(f"time() - max {EACH} (queue_exporter_last_poll_success_timestamp_seconds{{S}})", SI),
          unit="s", width=8, runbooks=["QueueDataStale"]),
])

REQUESTS = Row("Requests to brokers, and what they cost", [
    lines("Requests", "Requests by operation, all instances together.",
          Query("sum by (job, source, operation) (rate(queue_exporter_api_requests_total{S}[WINDOW])) > 0",
                "{{source}} {{operation}}"), unit="reqps", width=8),
    lines("Failed requests", "By operation and reason, only what happened in the time shown.",
          Query("""sum by (source, operation, reason) (increase(queue_exporter_api_request_failures_total{S}[WINDOW]))
                and on (source, operation, reason) sum by (source, operation, reason) (
                increase(queue_exporter_api_request_failures_total{S}[$__range] @ end())) > 0""",
                "{{source}} {{operation}} {{reason}}"), width=8, bars=True, stacked=True, none="no failures"),
    lines("Throttled and sent again", "Throttles: the source refused a request for being one too many.",
          Query(f"sum {EACH} (rate(queue_exporter_api_throttles_total{{S}}[WINDOW]))", f"throttled {SI}"),
          Query(f"sum {EACH} (rate(queue_exporter_api_retries_total{{S}}[WINDOW]))", f"sent again {SI}"),
          unit="reqps", width=8),
    lines("Request duration, p99", "By operation; long polls for messages take as long as they are asked to.",
          Query(quantile(0.99, "api_request_duration", "source, operation"), "{{source}} {{operation}}"),
          unit="s", width=8),
    lines("Billable requests", "Requests that the provider bills, by service.",
          Query("sum by (job, source, service) (rate(queue_exporter_api_billable_requests_total{S}[WINDOW]))",
                "{{source}} {{service}}"), unit="reqps", width=8, none="nothing is billed"),
    lines("Dollars per day", "At list prices and the pace of the moment, all instances together.",
          Query("86400 * sum by (job, source, service) (rate(queue_exporter_api_cost_dollars_total{S}[WINDOW]))",
                "{{source}} {{service}}"),
          unit="currencyUSD", width=8, stacked=True, none="free of charge", runbooks=["QueueExporterBudgetReached"]),
    lines("Pace against the monthly budget", "What 30 days at the pace of the last hour would cost, by the budget that "
          "each exporter keeps; near 100 % it polls less often.",
          Query(f"""720 * sum {EACH} (increase(queue_exporter_api_cost_dollars_total{{S}}[1h]))
                / sum {EACH} (queue_exporter_monthly_budget_dollars{{S}})""", SI),
          unit="percentunit", width=6, colors=steps("transparent", (0.8, YELLOW), (1, RED)), none="no budget",
          runbooks=["QueueExporterBudgetReached"]),
    lines("Stretched intervals", "How much longer than configured the time between requests has become to keep the "
          "budget; 1 is not stretched.",
          Query("max by (job, instance, source, service) (queue_exporter_interval_stretch_ratio{S})",
                "{{source}} {{service}} {{instance}}"), width=6, none="no budget",
          runbooks=["QueueExporterBudgetReached"]),
    lines("Credentials", "Failed tries to renew credentials; on the right, for how long the present ones are valid.",
          Query(f"sum {EACH} (increase(queue_exporter_credentials_refresh_failures_total{{S}}[WINDOW]))",
                f"renewals failed {SI}", RED),
          Query(f"min {EACH} (queue_exporter_credentials_expiry_timestamp_seconds{{S}}) - time()",
                f"valid for {SI}", GREEN, right="s"),
          width=6, none="no credentials", runbooks=["QueueExporterCredentialsFailing"]),
    lines("Clock skew", "How far this machine's clock is from the provider's; minutes make it refuse requests.",
          Query(f"max {EACH} (queue_exporter_clock_skew_seconds{{S}})", SI),
          unit="s", width=6, minimum=None, none="not known", runbooks=["QueueExporterClockSkew"]),
])

NODES = Row("Nodes of brokers, and how they are read", [
    lines("Nodes down", "Nodes of the cluster that do not run, as the others say.",
          Query("1 - min by (job, source, node) (queue_source_node_up{S})", "{{source}} {{node}}", RED), width=6,
          none="no nodes", runbooks=["QueueBrokerNodeDown"]),
    lines("Memory and disk alarms", "1 while a node is out of memory or disk space: then the whole cluster takes no "
          "messages.",
          Query("max by (job, source, node) (queue_source_node_memory_alarm{S})", "memory {{source}} {{node}}", RED),
          Query("max by (job, source, node) (queue_source_node_disk_alarm{S})", "disk {{source}} {{node}}", YELLOW),
          width=6, none="no nodes", runbooks=["QueueBrokerAlarm"]),
    lines("Partitions", "Nodes that a node has lost sight of while they ran on; above 0, the cluster is split.",
          Query("max by (job, source, node) (queue_source_node_partitions{S})", "{{source}} {{node}}", RED), width=6,
          none="no nodes", runbooks=["QueueBrokerPartitioned"]),
    lines("How queues are read", "The way in use, of a source that can be read in several.",
          Query("max by (job, source, method) (queue_source_method_info{S})", "{{source}} {{method}}"), width=6,
          none="one way only"),
])

PROCESS = Row("Process", [
    lines("CPU", "Cores used.", Query("rate(process_cpu_seconds_total{E}[WINDOW])", I), unit="short", width=6),
    lines("Memory", "Resident memory.", Query("process_resident_memory_bytes{E}", I), unit="bytes", width=6),
    lines("Open files", "Open file descriptors, by how many are allowed.",
          Query("process_open_fds{E} / process_max_fds{E}", I), unit="percentunit", width=6),
    lines("Threads", "A few, one for each source, and the workers of the consumers.",
          Query("process_threads{E}", I), width=6),
    lines("Scrape duration", "How long Prometheus took to scrape; an exporter answers from memory.",
          Query("scrape_duration_seconds{E}", I), unit="s", width=6),
    lines("Scrape size", "Samples of one scrape: what this exporter costs Prometheus.",
          Query("scrape_samples_scraped{E}", I), width=6),
    lines("HTTP requests", "Answered requests by endpoint and code; those that never came are left out.",
          Query("sum by (job, handler, code) (rate(queue_exporter_http_requests_total{E}[WINDOW])) > 0",
                "{{handler}} {{code}}"), unit="reqps", width=6),
    lines("Log lines", "Lines written to the log, by level; what is wrong is said there.",
          Query('sum by (job, instance, level) (rate(queue_exporter_log_messages_total{E}[WINDOW]))',
                f"{{{{level}}}} {I}"), unit="ops", width=6),
    table("Builds and configuration", "What runs where, since when, and when its configuration was loaded.", [
        Column("Instance", label="instance"),
        Column("Version", label="version"),
        Column("Revision", label="revision"),
        Column("Compiler", label="compiler"),
        Column("Arch", label="arch"),
        Column("Build", "max by (job, instance, version, revision, compiler, arch) (queue_exporter_build_info{E})",
               mappings=words(_1=("runs", GREEN))),
        Column("Started", """1000 * max by (job, instance, version, revision, compiler, arch) (
            process_start_time_seconds{E} * on (job, instance) group_right () queue_exporter_build_info{E})""",
               unit="dateTimeFromNow"),
        Column("Loaded", """1000 * max by (job, instance, version, revision, compiler, arch) (
            queue_exporter_config_last_reload_success_timestamp_seconds{E}
            * on (job, instance) group_right () queue_exporter_build_info{E})""", unit="dateTimeFromNow"),
    ], height=5),
])


def make(_runbook_base):
    return Dashboard("queue-exporter", "Queues / Exporter", "Can the numbers be trusted, and what do they cost?",
                     VARIABLES, [NOW, POLLS, REQUESTS, NODES, PROCESS])
