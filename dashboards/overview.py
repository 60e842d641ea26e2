"""Overview: which queue hurts, since when, and where to look next."""
from panels import (BLUE, FIRING, GREEN, GREY, QUEUE_LEGEND, RED, YELLOW, Column, Dashboard, DATASOURCE_VARIABLE,
                    INSTANCE, JOB, Query, Row, lines, stat, steps, table, variable)

VARIABLES = [
    DATASOURCE_VARIABLE, JOB, INSTANCE,
    variable("source", "Source", "label_values(queue_source_up{E}, source)"),
    variable("vhost", "Vhost", "label_values(queue_info{S}, vhost)", everything=".*",
             about="Only brokers with vhosts have any."),
    variable("queue", "Queue", 'label_values(queue_info{S, vhost=~"$vhost|"}, queue)'),
]

# A dead-letter queue may serve several queues: it is counted once.
DEAD_LETTERS = "max by (job, source, dead_letter_vhost, dead_letter_queue) (queue_dead_letter_messages{Q})"
NEW_DEAD_LETTERS = """max by (job, source, dead_letter_vhost, dead_letter_queue) (
    queue_dead_letter_messages{Q} - min_over_time(queue_dead_letter_messages{Q}[1h]))"""
READY = "max by QUEUE (queue_messages_ready{Q})"
AGE = "max by QUEUE (queue_oldest_message_age_seconds{Q})"
OBJECTIVE = "max by QUEUE (queue_objective_oldest_message_age_seconds{Q})"
# Only where the backlog falls: one that stands or grows would never be gone.
DRAIN = f"{READY} / (-min by QUEUE (deriv(queue_messages_ready{{Q}}[15m])) > 0)"

# The chosen data source, job and time range go along; the row names the queue.
QUEUE_URL = ("/d/queue-detail?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
             "&var-source=${__data.fields.Source:percentencode}&var-vhost=${__data.fields.Vhost:percentencode}"
             "&var-queue=${__data.fields.Queue:percentencode}&${__url_time_range}")


def per_queue(expr):
    """Rows of tables are joined by label, and linked by it: every row has a vhost, `-` where the broker has none."""
    return f'label_replace({expr}, "vhost", "-", "vhost", "")'


def top(number, expr, every):
    """The lines of the queues that were highest over the whole range shown; `every` is the same over time."""
    return f"{expr} and topk({number}, {every})"


def top_ready():
    return top(10, READY, "max by QUEUE (max_over_time(queue_messages_ready{Q}[$__range] @ end()))")


def top_age():
    return top(10, AGE, "max by QUEUE (max_over_time(queue_oldest_message_age_seconds{Q}[$__range] @ end()))")


def top_dead():
    return top(10, DEAD_LETTERS, """max by (job, source, dead_letter_vhost, dead_letter_queue) (
        max_over_time(queue_dead_letter_messages{Q}[$__range] @ end()))""")


def make(runbook_base):
    return Dashboard("queue-overview", "Queues / Overview", "Which queue hurts, since when, and where to look next.",
                     VARIABLES, [
        Row("Now", [
            stat("Alerts firing", "Alerts of severity critical (a person is needed now) and warning (a ticket).",
                 Query(f'count(ALERTS{{{FIRING}, severity="critical"}}) or vector(0)', "critical"),
                 Query(f'count(ALERTS{{{FIRING}, severity="warning"}}) or vector(0)', "warning"),
                 colors=steps(GREEN, (1, RED))),
            stat("Sources down", "Sources that no exporter can reach; what is shown of their queues is old or gone. "
                 "The Exporter dashboard has the reasons.",
                 "count(max by (job, source) (queue_source_up{S}) == 0) or vector(0)",
                 colors=steps(GREEN, (1, RED)), runbooks=["QueueSourceDown"]),
            stat("Queues unreadable", "Queues whose last reading failed, in the eyes of every exporter.",
                 "count(max by QUEUE (queue_up{Q}) == 0) or vector(0)",
                 colors=steps(GREEN, (1, RED)), runbooks=["QueueUnreadable"]),
            stat("Age of the data", "Time since the source that was read longest ago was read.",
                 "max(time() - max by (job, source) (queue_exporter_last_poll_success_timestamp_seconds{S}))",
                 unit="s", colors=steps(GREEN, (300, YELLOW), (900, RED)), runbooks=["QueueDataStale"]),
            stat("Dead letters", "Messages in all dead-letter queues; each queue counts once, however many feed it.",
                 f"sum({DEAD_LETTERS})", colors=steps(GREEN, (1, YELLOW)), runbooks=["QueueDeadLetterQueueNotEmpty"]),
            stat("New dead letters, 1 h", "How far dead-letter queues have grown above their lowest count of the "
                 "last hour.", f"sum({NEW_DEAD_LETTERS})",
                 colors=steps(GREEN, (1, RED)), runbooks=["QueueDeadLettersGrowing"]),
            stat("Worst age / objective", "The oldest message against what the configuration promises for its queue; "
                 "above 100 % the promise is broken.", f"max({AGE} / {OBJECTIVE})",
                 unit="percentunit", colors=steps(GREEN, (0.8, YELLOW), (1, RED)), none="no objective",
                 runbooks=["QueueMessagesTooOld"]),
            stat("Soonest loss", "Time until retention deletes the first message of any queue.",
                 "min(queue_expiry_margin_seconds{Q})", unit="s", colors=steps(RED, (3600, YELLOW), (86400, GREEN)),
                 runbooks=["QueueMessagesExpiring"]),
        ]),
        Row("Alerts", [
            table("Firing alerts", "What fires and since when. The name opens its runbook, the queue its dashboard.", [
                Column("Alert", label="alertname", links=[("Runbook", runbook_base + "/${__data.fields.Alert}.md")]),
                Column("Severity", label="severity", width=110),
                Column("Source", label="source"),
                Column("Vhost", label="vhost"),
                Column("Queue", label="queue", links=[("Queue dashboard", QUEUE_URL)]),
                Column("Since", f"""1000 * {per_queue(f'''min by (alertname, severity, job, source, vhost, queue) (
                    ALERTS_FOR_STATE{{alertname=~"Queue.*", job=~"$job", source=~"$source|"}}
                    and ignoring (alertstate) ALERTS{{{FIRING}}})''')}""", unit="dateTimeFromNow", width=160),
            ], height=6, none="nothing fires"),
        ]),
        Row("Queues", [
            table("All queues", "One row per queue; a name opens the queue. Drain time is ready messages by the trend "
                  "of the last 15 minutes; empty while the backlog stands or grows. New dead letters: above the lowest "
                  "count of the last hour.", [
                Column("Source", label="source"),
                Column("Vhost", label="vhost", width=90),
                Column("Queue", label="queue", links=[("Queue dashboard", QUEUE_URL)]),
                Column("Ready", per_queue(READY)),
                Column("In flight", per_queue("max by QUEUE (queue_messages_in_flight{Q})")),
                Column("Oldest", per_queue(AGE), unit="s"),
                Column("Of objective", per_queue(f"{AGE} / {OBJECTIVE}"), unit="percentunit",
                       colors=steps(GREEN, (0.8, YELLOW), (1, RED))),
                Column("Drain time", per_queue(DRAIN), unit="s"),
                Column("Dead letters", per_queue("max by QUEUE (queue_dead_letter_messages{Q})"),
                       colors=steps(GREY, (1, YELLOW))),
                Column("New, 1 h", per_queue("""max by QUEUE (queue_dead_letter_messages{Q}
                    - min_over_time(queue_dead_letter_messages{Q}[1h]))"""), colors=steps(GREY, (1, RED))),
                Column("Loss in", per_queue("min by QUEUE (queue_expiry_margin_seconds{Q})"), unit="s",
                       colors=steps(RED, (3600, YELLOW), (86400, GREY))),
            ], height=11, sort="Oldest"),
            lines("Largest backlogs", "The ten queues with most ready messages in the time shown.",
                  Query(top_ready(), QUEUE_LEGEND), runbooks=["QueueBacklogGrowing"]),
            lines("Oldest messages", "The ten queues whose oldest message was oldest in the time shown.",
                  Query(top_age(), QUEUE_LEGEND), unit="s", runbooks=["QueueMessagesTooOld"]),
        ]),
        Row("Dead letters and settings", [
            lines("Dead letters by dead-letter queue", "The ten largest dead-letter queues of the time shown; each "
                  "counts once.",
                  Query(top_dead(), "{{source}} {{dead_letter_vhost}} {{dead_letter_queue}}"),
                  width=8, runbooks=["QueueDeadLetterQueueNotEmpty"]),
            lines("New dead letters", "Growth above the lowest count of the ten minutes before; a purge or a redrive "
                  "does not show.", Query("""topk(10, max by (job, source, dead_letter_vhost, dead_letter_queue) (
                      queue_dead_letter_messages{Q} - min_over_time(queue_dead_letter_messages{Q}[10m])) > 0)""",
                                          "{{source}} {{dead_letter_vhost}} {{dead_letter_queue}}"),
                  bars=True, width=8, none="no growth", runbooks=["QueueDeadLettersGrowing"]),
            table("Doubtful settings", "What the exporter's own look at the settings of queues found, such as a queue "
                  "without a dead-letter queue.", [
                Column("Source", label="source"),
                Column("Vhost", label="vhost"),
                Column("Queue", label="queue", links=[("Queue dashboard", QUEUE_URL)]),
                Column("Setting", label="check"),
                Column("Holds", per_queue("max by (job, source, vhost, queue, check) (queue_config_warning{Q})"),
                       unit="bool_yes_no", width=70),
            ], width=8, height=8, none="no doubts", runbooks=["QueueConfigurationWarning"]),
        ]),
        Row("Flow", [
            lines("Messages handled by consumers", "What the reference consumers did with the selected queues, all "
                  "instances together. Without consumers: no data.",
                  Query("sum(rate(queue_consumer_messages_processed_total{Q}[WINDOW]))", "processed", GREEN),
                  Query("sum(rate(queue_consumer_messages_failed_total{Q}[WINDOW]))", "failed", RED),
                  Query("sum(rate(queue_consumer_messages_dead_lettered_total{Q}[WINDOW]))", "dead-lettered", YELLOW),
                  unit="ops", width=8, none="no consumers"),
            lines("Share of failures", "Failed handler runs by deliveries, for each queue with a consumer.",
                  Query("""sum by QUEUE (rate(queue_consumer_messages_failed_total{Q}[WINDOW]))
                      / (sum by QUEUE (rate(queue_consumer_messages_received_total{Q}[WINDOW])) > 0)""", QUEUE_LEGEND),
                  unit="percentunit", width=8, none="no consumers", runbooks=["QueueConsumerErrorsFast"]),
            lines("Through the broker", "Messages published and acknowledged, where the broker counts them (Amazon SQS "
                  "does not).",
                  Query("sum(max by QUEUE (rate(queue_messages_published_total{Q}[WINDOW])))", "published", BLUE),
                  Query("sum(max by QUEUE (rate(queue_messages_acknowledged_total{Q}[WINDOW])))", "acknowledged",
                        GREEN),
                  unit="ops", width=8, min_step="30s", none="not counted by the broker"),
        ]),
    ])
