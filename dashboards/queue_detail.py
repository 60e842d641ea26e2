"""Queue: one queue, and what its broker, its consumers and its dead letters say about it."""
from overview import AGE, DRAIN, OBJECTIVE, READY
from panels import (BLUE, DATASOURCE_VARIABLE, GREEN, GREY, INSTANCE, JOB, RED, YELLOW, Column, Dashboard, Query, Row,
                    heatmap, lines, stat, steps, table, variable, words)

VARIABLES = [
    DATASOURCE_VARIABLE, JOB, INSTANCE,
    variable("source", "Source", "label_values(queue_source_up{E}, source)", several=False, everything=""),
    variable("vhost", "Vhost", "label_values(queue_info{S}, vhost)", everything=".*",
             about="Only brokers with vhosts have any."),
    variable("queue", "Queue", 'label_values(queue_info{S, vhost=~"$vhost|"}, queue)', several=False, everything=""),
]

# Where the chosen queue is found in several vhosts, the legend tells them apart; else it is empty.
V = "{{vhost}}"
MARGIN = "min by QUEUE (queue_expiry_margin_seconds{Q})"
# This queue's own selector, as the target of others.
INTO = '{S, dead_letter_vhost=~"$vhost|", dead_letter_queue=~"$queue"}'
DETAIL_URL = ("/d/queue-detail?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
              "&${source:queryparam}&${vhost:queryparam}&var-queue=${__data.fields.%s:percentencode}"
              "&${__url_time_range}")


def consumer_rate(family, by="by QUEUE"):
    return f"sum {by} (rate(queue_consumer_{family}_total{{Q}}[WINDOW]))"


def quantile(q, family, more=""):
    """NaN, while nothing was observed, is left out: a gap, not a number."""
    return (f"histogram_quantile({q}, sum by (le, job, source, vhost, queue) "
            f"(rate(queue_consumer_{family}_bucket{{Q{more}}}[WINDOW]))) >= 0")


def percentiles(family, more=""):
    return [Query(quantile(q, family, more), f"{name} {V}", color)
            for q, name, color in ((0.5, "p50", GREEN), (0.95, "p95", YELLOW), (0.99, "p99", RED))]


def broker_rate(what):
    return f"max by QUEUE (rate(queue_messages_{what}_total{{Q}}[WINDOW]))"


NOW = Row("Now", [
    stat("Ready", "Messages available for delivery, at the last poll.", READY),
    stat("In flight", "Messages delivered and not yet settled, at the last poll.",
         "max by QUEUE (queue_messages_in_flight{Q})"),
    stat("Oldest", "Age of the oldest message, at the last poll or some minutes before; 0 when the queue is known to be "
         "empty.", AGE, unit="s", none="unknown"),
    stat("Age / objective", "The oldest message against what the configuration promises for this queue.",
         f"{AGE} / {OBJECTIVE}", unit="percentunit", colors=steps(GREEN, (0.8, YELLOW), (1, RED)),
         none="no objective", runbooks=["QueueMessagesTooOld"]),
    stat("Drains in", "Ready messages by the trend of the last 15 minutes.", DRAIN, unit="s",
         none="not falling", runbooks=["QueueDrainTooLong"]),
    stat("In the DLQ", "Messages in the dead-letter queue of this queue.",
         "max by QUEUE (queue_dead_letter_messages{Q})", colors=steps(GREEN, (1, YELLOW)), none="no DLQ",
         runbooks=["QueueDeadLetterQueueNotEmpty"]),
    stat("Loss in", "Time until retention deletes the oldest message, as a safe lower bound.", MARGIN, unit="s",
         colors=steps(RED, (3600, YELLOW), (86400, GREEN)), none="unknown", runbooks=["QueueMessagesExpiring"]),
    stat("Read", "Did the last poll read this queue, in the eyes of any exporter?", "max by QUEUE (queue_up{Q})",
         mappings=words(_1=("readable", GREEN), _0=("unreadable", RED)), colors=steps(GREY),
         runbooks=["QueueUnreadable"]),
])

BACKLOG = Row("Backlog", [
    lines("Messages by state", "What is in the queue, at each poll. In flight that grows while ready falls: slow "
          "handlers; ready that grows: too few of them.",
          Query(READY, f"ready {V}", BLUE),
          Query("max by QUEUE (queue_messages_in_flight{Q})", f"in flight {V}", GREEN),
          Query("max by QUEUE (queue_messages_delayed{Q})", f"delayed {V}", YELLOW),
          stacked=True, runbooks=["QueueBacklogGrowing"]),
    lines("Trend", "Ready messages gained (above 0) or lost per second, as a line through the last 15 minutes.",
          Query("max by QUEUE (deriv(queue_messages_ready{Q}[15m]))", f"trend {V}"),
          unit="mps", width=6, minimum=None, legend="list", runbooks=["QueueBacklogGrowing"]),
    lines("Drain time", "How long until nothing is ready at the trend of the last 15 minutes; a gap while the backlog "
          "stands or grows; and as the exporter itself judges its own window.",
          Query(DRAIN, f"drain time {V}"),
          Query("max by QUEUE (queue_drain_seconds{Q})", f"as judged {V}", GREY),
          unit="s", width=6, legend="list", none="not falling", runbooks=["QueueDrainTooLong"]),
    lines("State", "What the exporter judges the queue to do, from its readings of some minutes (state_window): 1 "
          "while the state holds. Unknown for the first such window after a start.",
          Query("max by (job, source, vhost, queue, state) (queue_state{Q}) == 1", f"{{{{state}}}} {V}"),
          width=24, minimum=0, legend="list", runbooks=["QueueConsumerStuck", "QueueNoConsumers"]),
])

AGES = Row("Age", [
    lines("Oldest message", "Age of the oldest message against the objective of this queue.",
          Query(AGE, f"oldest {V}", BLUE), Query(OBJECTIVE, f"objective {V}", RED, dashed=True),
          unit="s", runbooks=["QueueMessagesTooOld"]),
    lines("Time until loss", "How long until retention deletes the oldest message, as a safe lower bound, against how "
          "long the broker keeps one.",
          Query(MARGIN, f"until loss {V}", BLUE),
          Query("max by QUEUE (queue_message_retention_seconds{Q})", f"retention {V}", GREY, dashed=True),
          unit="s", width=6, legend="list", runbooks=["QueueMessagesExpiring"]),
    lines("Size", "Size of the message bodies, where the broker knows it.",
          Query("max by QUEUE (queue_size_bytes{Q})", f"size {V}"), unit="bytes", width=6, legend="list",
          none="not known"),
])

WAITING = Row("Waiting time, as consumers saw it", [
    heatmap("Wait before first handling", "Time from a message's sending to its first handling. A second band above "
            "the first: some messages wait for something else.",
            "sum by (le) (rate(queue_consumer_message_wait_seconds_bucket{Q}[WINDOW]))"),
    lines("Wait, percentiles", "The same, as percentiles; a gap while nothing was handled.",
          *percentiles("message_wait_seconds"), unit="s", none="no consumers"),
])

CONSUMERS = Row("Consumers", [
    lines("Rates", "What the reference consumers of all instances did with this queue.",
          Query(consumer_rate("messages_received"), f"received {V}", BLUE),
          Query(consumer_rate("messages_processed"), f"processed {V}", GREEN),
          Query(consumer_rate("messages_failed"), f"failed {V}", RED),
          Query(consumer_rate("messages_dead_lettered"), f"dead-lettered {V}", YELLOW),
          Query(consumer_rate("messages_released"), f"given back {V}"),
          unit="ops", width=8, none="no consumers", runbooks=["QueueConsumerStuck"]),
    lines("Share of failures", "Failed handler runs by deliveries, by reason.",
          Query("sum by (job, source, vhost, queue, reason) (rate(queue_consumer_messages_failed_total{Q}[WINDOW])) "
                "/ on (job, source, vhost, queue) group_left () "
                f"({consumer_rate('messages_received')} > 0)", f"{{{{reason}}}} {V}"),
          unit="percentunit", width=8, stacked=True, none="no consumers",
          runbooks=["QueueConsumerErrorsFast"]),
    lines("Handling, percentiles", "How long handlers ran that succeeded; a gap while none did.",
          *percentiles("handling_duration_seconds", ', outcome="success"'), unit="s", width=8, none="no consumers"),
    lines("Workers", "Busy at the limit while messages wait: more workers would help. Idle while messages wait: look "
          "at the broker.",
          Query("sum by QUEUE (queue_consumer_workers_busy{Q})", f"busy {V}", GREEN),
          Query("sum by QUEUE (queue_consumer_messages_in_progress{Q})", f"messages in hand {V}", BLUE),
          Query("sum by QUEUE (queue_consumer_workers{Q})", f"workers {V}", GREY, dashed=True),
          width=8, none="no consumers", runbooks=["QueueConsumerStuck"]),
    lines("Deliveries of one message", "How often the messages received had been delivered, this time included. A "
          "high p99 is poison: messages that no attempt gets through.",
          Query(quantile(0.5, "message_receives"), f"p50 {V}", GREEN),
          Query(quantile(0.99, "message_receives"), f"p99 {V}", RED),
          Query("max by QUEUE (queue_dead_letter_max_receives{Q})", f"limit of the broker {V}", GREY, dashed=True),
          width=8, none="no consumers", runbooks=["QueuePoisonMessages"]),
    lines("Signs of trouble", "Stale settles: handling took longer than the message stayed hidden, so that another "
          "consumer got it as well. Settle failures: the broker did not take the answer.",
          Query(consumer_rate("redeliveries"), f"redelivered {V}"),
          Query(consumer_rate("stale_settles"), f"stale settles {V}", RED),
          Query(consumer_rate("settle_failures"), f"settle failures {V}", YELLOW),
          Query(consumer_rate("duplicates_skipped"), f"duplicates skipped {V}"),
          Query(consumer_rate("visibility_extensions"), f"extensions {V}"),
          Query(consumer_rate("empty_receives"), f"empty receives {V}", GREY),
          unit="ops", width=8, none="no consumers", runbooks=["QueueStaleSettles"]),
    lines("Circuit breaker", "1 while a consumer receives nothing because its handling fails (open), or tries with one "
          "message at a time (half open). What it waits for is the handler's own log.",
          Query('max by QUEUE (queue_consumer_circuit_state{Q, state="open"})', f"open {V}", RED),
          Query('max by QUEUE (queue_consumer_circuit_state{Q, state="half_open"})', f"half open {V}", YELLOW),
          width=24, none="no circuit breaker", runbooks=["QueueConsumerCircuitOpen"]),
])

DEAD = Row("Dead letters", [
    lines("Dead letters", "Messages in the dead-letter queue of this queue, and how far they grew above the lowest "
          "count of the ten minutes before.",
          Query("max by (job, source, vhost, queue, dead_letter_queue) (queue_dead_letter_messages{Q})",
                "in {{dead_letter_queue}}", YELLOW),
          Query("""max by (job, source, vhost, queue, dead_letter_queue) (queue_dead_letter_messages{Q}
                - min_over_time(queue_dead_letter_messages{Q}[10m]))""", "new, 10 min", RED),
          Query("max by QUEUE (queue_dead_letter_pending_messages{Q})", "not yet confirmed", YELLOW),
          width=8, none="no DLQ", runbooks=["QueueDeadLettersGrowing", "QueueDeadLetterQueueNotEmpty",
                                            "QueueDeadLettersBlocked"]),
    table("Dead-letters into", "Where messages of this queue go that cannot be handled.", [
        Column("Vhost", label="vhost"),
        Column("Dead-letter queue", label="dead_letter_queue",
               links=[("Queue dashboard", DETAIL_URL % '["Dead-letter queue"]')]),
        Column("Messages", "max by (vhost, dead_letter_queue) (queue_dead_letter_messages{Q})",
               colors=steps(GREY, (1, YELLOW))),
    ], width=8, height=8, none="no dead-letter queue"),
    table("Fed by", "The queues that dead-letter into this one: where to send its messages back to.", [
        Column("Vhost", label="vhost"),
        Column("Source queue", label="queue", links=[("Queue dashboard", DETAIL_URL % '["Source queue"]')]),
        Column("Ready there", f"""max by (vhost, queue) (queue_messages_ready{{S}}
               and on (job, instance, source, vhost, queue) queue_dead_letter_info{INTO})"""),
    ], width=8, height=8, none="no queue dead-letters into this one"),
])

BROKER = Row("Broker and limits", [
    lines("Through the broker", "Messages as the broker counts them; Amazon SQS does not.",
          Query(broker_rate("published"), f"published {V}", BLUE),
          Query(broker_rate("delivered"), f"delivered {V}", GREEN),
          Query(broker_rate("acknowledged"), f"acknowledged {V}"),
          Query(broker_rate("redelivered"), f"redelivered {V}", YELLOW),
          unit="ops", width=8, min_step="30s", none="not counted by the broker"),
    lines("Consumers attached", "Consumers attached to the queue, of whatever kind, where the broker knows.",
          Query("max by QUEUE (queue_consumers{Q})", f"consumers {V}"), width=4, legend="list", none="not known",
          runbooks=["QueueNoConsumers"]),
    lines("Use of limits", "Messages in flight, length and size by what the broker allows; above 100 % it stops to "
          "deliver, or to accept.",
          Query("max by QUEUE (queue_messages_in_flight{Q} / queue_messages_in_flight_limit{Q})", f"in flight {V}"),
          Query("max by QUEUE (queue_messages_ready{Q} / queue_max_length_messages{Q})", f"length {V}"),
          Query("max by QUEUE (queue_size_bytes{Q} / queue_max_length_bytes{Q})", f"size {V}"),
          unit="percentunit", width=6, colors=steps("transparent", (0.8, YELLOW), (1, RED)), legend="list",
          none="no limits", runbooks=["QueueInFlightNearLimit"]),
    table("Doubtful settings", "What the exporter's own look at the queue's settings found.", [
        Column("Vhost", label="vhost"),
        Column("Setting", label="check"),
        Column("Holds", "max by (vhost, check) (queue_config_warning{Q})", unit="bool_yes_no"),
    ], width=6, height=8, none="no doubts", runbooks=["QueueConfigurationWarning", "QueueDeadLettersUnroutable"]),
    table("Settings", "What the broker has configured for this queue, and when something last happened to it.", [
        Column("Queue", label="queue"),
        Column("Vhost", label="vhost"),
        Column("Retention", "max by QUEUE (queue_message_retention_seconds{Q})", unit="s"),
        Column("Visibility timeout", "max by QUEUE (queue_visibility_timeout_seconds{Q})", unit="s"),
        Column("Delay", "max by QUEUE (queue_delivery_delay_seconds{Q})", unit="s"),
        Column("Receives before dead-lettering", "max by QUEUE (queue_dead_letter_max_receives{Q})"),
        Column("Is a dead-letter queue", "max by QUEUE (queue_is_dead_letter_queue{Q})", unit="bool_yes_no"),
        Column("Is a delay queue", "max by QUEUE (queue_is_delay_queue{Q})", unit="bool_yes_no"),
        Column("Last read", "1000 * max by QUEUE (queue_last_success_timestamp_seconds{Q})", unit="dateTimeFromNow"),
        Column("Last handled", "1000 * max by QUEUE (queue_consumer_last_success_timestamp_seconds{Q})",
               unit="dateTimeFromNow"),
    ], height=4),
])


def make(_runbook_base):
    return Dashboard("queue-detail", "Queues / Queue", "One queue: backlog, age, waiting, consumers, dead letters and "
                     "limits.", VARIABLES, [NOW, BACKLOG, AGES, WAITING, CONSUMERS, DEAD, BROKER])
