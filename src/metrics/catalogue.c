#include "metrics/catalogue.h"

#include <string.h>

#define QUEUE_LABELS "source,vhost,queue"

const struct qe_family_def qe_catalogue[QE_FAMILY_COUNT] = {
    [QE_FAMILY_QUEUE_INFO] = {"queue_info", QE_METRIC_GAUGE, QE_PART_POLL, "",
                              QUEUE_LABELS ",backend,kind,arn,region,account_id,tag_*",
                              "Facts about a watched queue, as labels, its allowed tags among "
                              "them; always 1. Shown while the queue is listed, even when it "
                              "cannot be read."},
    [QE_FAMILY_MESSAGES_READY] = {"queue_messages_ready", QE_METRIC_GAUGE, QE_PART_POLL, "",
                                  QUEUE_LABELS,
                                  "Messages available for delivery, at the last poll."},
    [QE_FAMILY_MESSAGES_IN_FLIGHT] = {"queue_messages_in_flight", QE_METRIC_GAUGE, QE_PART_POLL, "",
                                      QUEUE_LABELS,
                                      "Messages delivered and not yet settled, at the last poll."},
    [QE_FAMILY_MESSAGES_DELAYED] = {"queue_messages_delayed", QE_METRIC_GAUGE, QE_PART_POLL, "",
                                    QUEUE_LABELS,
                                    "Messages not yet available for delivery, at the last poll."},
    [QE_FAMILY_MESSAGES_IN_FLIGHT_LIMIT] =
        {"queue_messages_in_flight_limit", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
         "Messages the broker allows in flight before it stops delivering."},
    [QE_FAMILY_OLDEST_AGE] =
        {"queue_oldest_message_age_seconds", QE_METRIC_GAUGE, QE_PART_POLL, "seconds",
         QUEUE_LABELS ",method",
         "Age of the oldest message, as it was at the last poll, or some minutes before it; 0 when "
         "the queue is known to be empty, absent when unknown. The method label says how it is "
         "known."},
    [QE_FAMILY_RETENTION] = {"queue_message_retention_seconds", QE_METRIC_GAUGE, QE_PART_POLL,
                             "seconds", QUEUE_LABELS, "How long the broker keeps a message."},
    [QE_FAMILY_VISIBILITY_TIMEOUT] =
        {"queue_visibility_timeout_seconds", QE_METRIC_GAUGE, QE_PART_POLL, "seconds", QUEUE_LABELS,
         "How long a delivered message stays hidden before it is delivered again."},
    [QE_FAMILY_DELIVERY_DELAY] = {"queue_delivery_delay_seconds", QE_METRIC_GAUGE, QE_PART_POLL,
                                  "seconds", QUEUE_LABELS,
                                  "How long a new message waits before it is available."},
    [QE_FAMILY_MAX_LENGTH_MESSAGES] = {"queue_max_length_messages", QE_METRIC_GAUGE, QE_PART_POLL,
                                       "", QUEUE_LABELS,
                                       "Configured limit on messages in the queue."},
    [QE_FAMILY_MAX_LENGTH_BYTES] = {"queue_max_length_bytes", QE_METRIC_GAUGE, QE_PART_POLL,
                                    "bytes", QUEUE_LABELS,
                                    "Configured limit on the size of all messages in the queue."},
    [QE_FAMILY_SIZE_BYTES] = {"queue_size_bytes", QE_METRIC_GAUGE, QE_PART_POLL, "bytes",
                              QUEUE_LABELS,
                              "Size of the message bodies in the queue, at the last poll."},
    [QE_FAMILY_CONSUMERS] = {"queue_consumers", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
                             "Consumers attached to the queue, at the last poll."},
    [QE_FAMILY_MESSAGES_PUBLISHED] =
        {"queue_messages_published", QE_METRIC_COUNTER, QE_PART_POLL, "", QUEUE_LABELS,
         "Messages published to the queue, as the broker counts them."},
    [QE_FAMILY_MESSAGES_DELIVERED] =
        {"queue_messages_delivered", QE_METRIC_COUNTER, QE_PART_POLL, "", QUEUE_LABELS,
         "Messages delivered to consumers, as the broker counts them."},
    [QE_FAMILY_MESSAGES_ACKNOWLEDGED] =
        {"queue_messages_acknowledged", QE_METRIC_COUNTER, QE_PART_POLL, "", QUEUE_LABELS,
         "Messages acknowledged by consumers, as the broker counts them."},
    [QE_FAMILY_MESSAGES_REDELIVERED] = {"queue_messages_redelivered", QE_METRIC_COUNTER,
                                        QE_PART_POLL, "", QUEUE_LABELS,
                                        "Messages delivered again, as the broker counts them."},
    [QE_FAMILY_DEAD_LETTER_INFO] =
        {"queue_dead_letter_info", QE_METRIC_GAUGE, QE_PART_POLL, "",
         QUEUE_LABELS ",dead_letter_queue,dead_letter_vhost",
         "Which queue this queue dead-letters into, one series per link; always 1."},
    [QE_FAMILY_DEAD_LETTER_MAX_RECEIVES] =
        {"queue_dead_letter_max_receives", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
         "Receives after which the broker dead-letters a message."},
    [QE_FAMILY_DEAD_LETTER_MESSAGES] = {"queue_dead_letter_messages", QE_METRIC_GAUGE, QE_PART_POLL,
                                        "", QUEUE_LABELS ",dead_letter_queue,dead_letter_vhost",
                                        "Messages in the dead-letter queue of this queue, whatever "
                                        "their state, at the last poll; under its own name where "
                                        "no queue that uses it is watched."},
    [QE_FAMILY_DEAD_LETTER_PENDING] =
        {"queue_dead_letter_pending_messages", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
         "Messages that were dead-lettered and are kept until another "
         "queue has confirmed them."},
    [QE_FAMILY_DEAD_LETTER_CHANGE] =
        {"queue_dead_letter_change_messages", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
         "How many messages more (below 0: fewer) this dead-letter queue holds, ready and in "
         "flight, than queue_dead_letter_change_seconds before; absent until its readings cover "
         "state_window."},
    [QE_FAMILY_DEAD_LETTER_CHANGE_SPAN] =
        {"queue_dead_letter_change_seconds", QE_METRIC_GAUGE, QE_PART_POLL, "seconds", QUEUE_LABELS,
         "Time between the readings that queue_dead_letter_change_messages compares: state_window, "
         "or longer where readings are rare."},
    [QE_FAMILY_IS_DEAD_LETTER_QUEUE] =
        {"queue_is_dead_letter_queue", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
         "1 when another queue dead-letters into this one, else 0; 0 also in a loop with a retry "
         "queue, where messages only pass."},
    [QE_FAMILY_IS_DELAY_QUEUE] =
        {"queue_is_delay_queue", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
         "1 for a queue whose messages go on by themselves after a while, as those of a retry "
         "queue do; else absent."},
    [QE_FAMILY_EXPIRY_MARGIN] = {"queue_expiry_margin_seconds", QE_METRIC_GAUGE, QE_PART_POLL,
                                 "seconds", QUEUE_LABELS,
                                 "Time until retention deletes the oldest message, as a safe lower "
                                 "bound, at the last poll."},
    [QE_FAMILY_OBJECTIVE_OLDEST_AGE] =
        {"queue_objective_oldest_message_age_seconds", QE_METRIC_GAUGE, QE_PART_POLL, "seconds",
         QUEUE_LABELS,
         "Age of the oldest message that the configuration allows; absent where none is set."},
    [QE_FAMILY_STATE] = {"queue_state", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS ",state",
                         "What the queue does, judged by the readings of state_window: 1 for the "
                         "state that holds, 0 for the others."},
    [QE_FAMILY_DRAIN] = {"queue_drain_seconds", QE_METRIC_GAUGE, QE_PART_POLL, "seconds",
                         QUEUE_LABELS,
                         "Time until the queue is empty if it goes on draining as it does; absent "
                         "when it is not draining."},
    [QE_FAMILY_CONFIG_WARNING] = {"queue_config_warning", QE_METRIC_GAUGE, QE_PART_POLL, "",
                                  QUEUE_LABELS ",check",
                                  "A doubtful setting of the queue, named by the check label; 1 "
                                  "while it holds, else absent."},
    [QE_FAMILY_QUEUE_UP] = {"queue_up", QE_METRIC_GAUGE, QE_PART_POLL, "", QUEUE_LABELS,
                            "1 when the last poll read the queue, else 0."},
    [QE_FAMILY_LAST_SUCCESS] = {"queue_last_success_timestamp_seconds", QE_METRIC_GAUGE,
                                QE_PART_POLL, "seconds", QUEUE_LABELS,
                                "When the queue was last read, in Unix time."},
    [QE_FAMILY_SOURCE_UP] =
        {"queue_source_up", QE_METRIC_GAUGE, QE_PART_POLL, "", "source",
         "1 when the last poll read the source, else 0; 0 also when its queues could not be "
         "listed for three discovery intervals."},
    [QE_FAMILY_SOURCE_METHOD] = {"queue_source_method_info", QE_METRIC_GAUGE, QE_PART_POLL, "",
                                 "source,method",
                                 "In which way queues of a source that has several were read last; "
                                 "always 1."},
    [QE_FAMILY_NODE_UP] = {"queue_source_node_up", QE_METRIC_GAUGE, QE_PART_POLL, "", "source,node",
                           "1 when the node of the source's cluster runs, else 0, as the broker "
                           "says."},
    [QE_FAMILY_NODE_MEMORY_ALARM] =
        {"queue_source_node_memory_alarm", QE_METRIC_GAUGE, QE_PART_POLL, "", "source,node",
         "1 while the node is out of memory and takes no messages, else 0."},
    [QE_FAMILY_NODE_DISK_ALARM] =
        {"queue_source_node_disk_alarm", QE_METRIC_GAUGE, QE_PART_POLL, "", "source,node",
         "1 while the node is out of disk space and takes no messages, else 0."},
    [QE_FAMILY_NODE_PARTITIONS] =
        {"queue_source_node_partitions", QE_METRIC_GAUGE, QE_PART_POLL, "", "source,node",
         "Nodes that this node lost sight of while they ran on; above 0, the cluster is split."},
    [QE_FAMILY_POLLS] = {"queue_exporter_polls", QE_METRIC_COUNTER, QE_PART_POLL, "", "source",
                         "Polls of the source, good or failed."},
    [QE_FAMILY_POLL_FAILURES] =
        {"queue_exporter_poll_failures", QE_METRIC_COUNTER, QE_PART_POLL, "", "source,reason",
         "Polls that failed as a whole, or could not list queues, by reason."},
    [QE_FAMILY_POLL_DURATION] = {"queue_exporter_poll_duration_seconds", QE_METRIC_HISTOGRAM,
                                 QE_PART_POLL, "seconds", "source", "How long polls took."},
    [QE_FAMILY_LAST_POLL_SUCCESS] = {"queue_exporter_last_poll_success_timestamp_seconds",
                                     QE_METRIC_GAUGE, QE_PART_POLL, "seconds", "source",
                                     "When a poll last reached the source, in Unix time."},
    [QE_FAMILY_QUEUES] = {"queue_exporter_queues", QE_METRIC_GAUGE, QE_PART_POLL, "",
                          "source,state",
                          "Queues by state: listed by the source, watched after filters, up (last "
                          "reading good), stale (asked, but no reading young enough to show). The "
                          "states overlap: do not add them up."},
    [QE_FAMILY_QUEUES_DROPPED] = {"queue_exporter_queues_dropped", QE_METRIC_GAUGE, QE_PART_POLL,
                                  "", "source",
                                  "Queues left out because the source has more than max_queues."},
    [QE_FAMILY_API_REQUESTS] = {"queue_exporter_api_requests", QE_METRIC_COUNTER, QE_PART_LIVE, "",
                                "source,operation", "Requests to the source, by operation."},
    [QE_FAMILY_API_REQUEST_FAILURES] =
        {"queue_exporter_api_request_failures", QE_METRIC_COUNTER, QE_PART_LIVE, "",
         "source,operation,reason", "Requests to the source that failed, by operation and reason."},
    [QE_FAMILY_API_REQUEST_DURATION] = {"queue_exporter_api_request_duration_seconds",
                                        QE_METRIC_HISTOGRAM, QE_PART_LIVE, "seconds",
                                        "source,operation",
                                        "How long requests to the source took, by operation."},
    [QE_FAMILY_API_RETRIES] = {"queue_exporter_api_retries", QE_METRIC_COUNTER, QE_PART_LIVE, "",
                               "source", "Requests to the source that were sent again."},
    [QE_FAMILY_API_THROTTLES] = {"queue_exporter_api_throttles", QE_METRIC_COUNTER, QE_PART_LIVE,
                                 "", "source",
                                 "Requests that the source refused for being too many."},
    [QE_FAMILY_API_BILLABLE_REQUESTS] =
        {"queue_exporter_api_billable_requests", QE_METRIC_COUNTER, QE_PART_LIVE, "",
         "source,service",
         "Units that the source's owner bills for requests, retries included, by service."},
    [QE_FAMILY_API_COST] = {"queue_exporter_api_cost_dollars", QE_METRIC_COUNTER, QE_PART_LIVE,
                            "dollars", "source,service",
                            "List price of the billable requests, by service, with the prices of "
                            "the configuration."},
    [QE_FAMILY_MONTHLY_BUDGET] =
        {"queue_exporter_monthly_budget_dollars", QE_METRIC_GAUGE, QE_PART_LIVE, "dollars",
         "source", "What watching the source may cost in a month; absent where none is set."},
    [QE_FAMILY_INTERVAL_STRETCH] = {"queue_exporter_interval_stretch_ratio", QE_METRIC_GAUGE,
                                    QE_PART_LIVE, "ratio", "source,service",
                                    "How many times less often than configured the service is "
                                    "asked, to stay within the budget; 1 is not at all."},
    [QE_FAMILY_CLOCK_SKEW] = {"queue_exporter_clock_skew_seconds", QE_METRIC_GAUGE, QE_PART_LIVE,
                              "seconds", "source",
                              "The source's clock minus ours; absent before it told its time."},
    [QE_FAMILY_CREDENTIALS_EXPIRY] =
        {"queue_exporter_credentials_expiry_timestamp_seconds", QE_METRIC_GAUGE, QE_PART_LIVE,
         "seconds", "source",
         "When the credentials in use expire, in Unix time; absent where they do not."},
    [QE_FAMILY_CREDENTIALS_REFRESH_FAILURES] =
        {"queue_exporter_credentials_refresh_failures", QE_METRIC_COUNTER, QE_PART_LIVE, "",
         "source", "Attempts to renew the source's credentials that failed."},
    [QE_FAMILY_CONSUMER_RECEIVED] = {"queue_consumer_messages_received", QE_METRIC_COUNTER,
                                     QE_PART_LIVE, "", QUEUE_LABELS,
                                     "Deliveries the reference consumer received."},
    [QE_FAMILY_CONSUMER_PROCESSED] =
        {"queue_consumer_messages_processed", QE_METRIC_COUNTER, QE_PART_LIVE, "", QUEUE_LABELS,
         "Messages that were handled and then acknowledged to the broker."},
    [QE_FAMILY_CONSUMER_FAILED] =
        {"queue_consumer_messages_failed", QE_METRIC_COUNTER, QE_PART_LIVE, "",
         QUEUE_LABELS ",reason",
         "Handler runs that did not succeed, by reason; not those that a stop cut short."},
    [QE_FAMILY_CONSUMER_DEAD_LETTERED] = {"queue_consumer_messages_dead_lettered",
                                          QE_METRIC_COUNTER, QE_PART_LIVE, "",
                                          QUEUE_LABELS ",reason",
                                          "Messages the consumer moved to the dead-letter queue, "
                                          "by reason; not those the broker moved."},
    [QE_FAMILY_CONSUMER_RELEASED] =
        {"queue_consumer_messages_released", QE_METRIC_COUNTER, QE_PART_LIVE, "", QUEUE_LABELS,
         "Messages the consumer gave back, handled in vain or not at all."},
    [QE_FAMILY_CONSUMER_REDELIVERIES] = {"queue_consumer_redeliveries", QE_METRIC_COUNTER,
                                         QE_PART_LIVE, "", QUEUE_LABELS,
                                         "Deliveries of a message whose receive count says that "
                                         "it had been delivered before."},
    [QE_FAMILY_CONSUMER_DUPLICATES_SKIPPED] =
        {"queue_consumer_duplicates_skipped", QE_METRIC_COUNTER, QE_PART_LIVE, "", QUEUE_LABELS,
         "Deliveries settled without running the handler because it had already succeeded."},
    [QE_FAMILY_CONSUMER_EMPTY_RECEIVES] =
        {"queue_consumer_empty_receives", QE_METRIC_COUNTER, QE_PART_LIVE, "", QUEUE_LABELS,
         "Long polls that lasted their whole time and brought no message."},
    [QE_FAMILY_CONSUMER_STALE_SETTLES] =
        {"queue_consumer_stale_settles", QE_METRIC_COUNTER, QE_PART_LIVE, "", QUEUE_LABELS,
         "Settlements that came too late: the delivery was no longer ours."},
    [QE_FAMILY_CONSUMER_VISIBILITY_EXTENSIONS] =
        {"queue_consumer_visibility_extensions", QE_METRIC_COUNTER, QE_PART_LIVE, "", QUEUE_LABELS,
         "Times a running message was kept hidden for longer."},
    [QE_FAMILY_CONSUMER_SETTLE_FAILURES] =
        {"queue_consumer_settle_failures", QE_METRIC_COUNTER, QE_PART_LIVE, "", QUEUE_LABELS,
         "Tries to settle a message that failed; it is tried again, or the message comes back."},
    [QE_FAMILY_CONSUMER_HANDLING_DURATION] = {"queue_consumer_handling_duration_seconds",
                                              QE_METRIC_HISTOGRAM, QE_PART_LIVE, "seconds",
                                              QUEUE_LABELS ",outcome",
                                              "How long the handler ran, by outcome."},
    [QE_FAMILY_CONSUMER_MESSAGE_WAIT] = {"queue_consumer_message_wait_seconds", QE_METRIC_HISTOGRAM,
                                         QE_PART_LIVE, "seconds", QUEUE_LABELS,
                                         "Time from a message's sending to its first handling."},
    [QE_FAMILY_CONSUMER_MESSAGE_RECEIVES] = {"queue_consumer_message_receives", QE_METRIC_HISTOGRAM,
                                             QE_PART_LIVE, "", QUEUE_LABELS,
                                             "How often received messages had been delivered, this "
                                             "time included; high values are poison messages."},
    [QE_FAMILY_CONSUMER_IN_PROGRESS] = {"queue_consumer_messages_in_progress", QE_METRIC_GAUGE,
                                        QE_PART_LIVE, "", QUEUE_LABELS,
                                        "Messages received and not yet settled by the consumer."},
    [QE_FAMILY_CONSUMER_WORKERS] = {"queue_consumer_workers", QE_METRIC_GAUGE, QE_PART_LIVE, "",
                                    QUEUE_LABELS, "Workers of the consumer."},
    [QE_FAMILY_CONSUMER_WORKERS_BUSY] = {"queue_consumer_workers_busy", QE_METRIC_GAUGE,
                                         QE_PART_LIVE, "", QUEUE_LABELS,
                                         "Workers that run a handler right now."},
    [QE_FAMILY_CONSUMER_CIRCUIT_STATE] =
        {"queue_consumer_circuit_state", QE_METRIC_GAUGE, QE_PART_LIVE, "", QUEUE_LABELS ",state",
         "What the consumer's circuit breaker does: 1 for the state that holds, 0 for the others; "
         "absent where none is configured. While open, nothing is received."},
    [QE_FAMILY_CONSUMER_LAST_SUCCESS] = {"queue_consumer_last_success_timestamp_seconds",
                                         QE_METRIC_GAUGE, QE_PART_LIVE, "seconds", QUEUE_LABELS,
                                         "When a message was last handled and acknowledged, in "
                                         "Unix time; absent before the first time."},
    [QE_FAMILY_HTTP_REQUESTS] = {"queue_exporter_http_requests", QE_METRIC_COUNTER, QE_PART_LIVE,
                                 "", "handler,code",
                                 "HTTP requests answered, by endpoint and status code."},
    [QE_FAMILY_LOG_MESSAGES] = {"queue_exporter_log_messages", QE_METRIC_COUNTER, QE_PART_LIVE, "",
                                "level", "Lines written to the log, by level."},
    [QE_FAMILY_CONFIG_RELOAD_SUCCESSFUL] =
        {"queue_exporter_config_last_reload_successful", QE_METRIC_GAUGE, QE_PART_LIVE, "", "",
         "1 when the last attempt to load the configuration succeeded, else 0."},
    [QE_FAMILY_CONFIG_RELOAD_SUCCESS] =
        {"queue_exporter_config_last_reload_success_timestamp_seconds", QE_METRIC_GAUGE,
         QE_PART_LIVE, "seconds", "", "When the configuration was last loaded, in Unix time."},
    [QE_FAMILY_BUILD_INFO] = {"queue_exporter_build_info", QE_METRIC_GAUGE, QE_PART_LIVE, "",
                              "version,revision,compiler,os,arch",
                              "What this program was built from, as labels; always 1."},
    [QE_FAMILY_PROCESS_CPU] = {"process_cpu_seconds", QE_METRIC_COUNTER, QE_PART_LIVE, "seconds",
                               "", "User and system CPU time spent."},
    [QE_FAMILY_PROCESS_OPEN_FDS] = {"process_open_fds", QE_METRIC_GAUGE, QE_PART_LIVE, "", "",
                                    "Open file descriptors."},
    [QE_FAMILY_PROCESS_MAX_FDS] = {"process_max_fds", QE_METRIC_GAUGE, QE_PART_LIVE, "", "",
                                   "Limit on open file descriptors."},
    [QE_FAMILY_PROCESS_VIRTUAL_MEMORY] = {"process_virtual_memory_bytes", QE_METRIC_GAUGE,
                                          QE_PART_LIVE, "bytes", "", "Virtual memory size."},
    [QE_FAMILY_PROCESS_RESIDENT_MEMORY] = {"process_resident_memory_bytes", QE_METRIC_GAUGE,
                                           QE_PART_LIVE, "bytes", "", "Resident memory size."},
    [QE_FAMILY_PROCESS_START_TIME] = {"process_start_time_seconds", QE_METRIC_GAUGE, QE_PART_LIVE,
                                      "seconds", "", "Start time of the process, in Unix time."},
    [QE_FAMILY_PROCESS_THREADS] = {"process_threads", QE_METRIC_GAUGE, QE_PART_LIVE, "", "",
                                   "Threads of the process."},
};

const char *qe_metric_type_name(enum qe_metric_type type)
{
    static const char *const names[QE_METRIC_TYPE_COUNT] = {"gauge", "counter", "histogram"};

    return names[type];
}

const char *qe_family_suffix(enum qe_family family)
{
    return qe_catalogue[family].type == QE_METRIC_COUNTER ? "_total" : "";
}

static void header_line(struct qe_strbuf *out, const char *keyword, const char *name,
                        const char *text)
{
    (void)qe_strbuf_append_text(out, "# ");
    (void)qe_strbuf_append_text(out, keyword);
    (void)qe_strbuf_append_char(out, ' ');
    (void)qe_strbuf_append_text(out, name);
    (void)qe_strbuf_append_char(out, ' ');
    (void)qe_strbuf_append_text(out, text);
    (void)qe_strbuf_append_char(out, '\n');
}

/* HELP texts are ours and hold nothing to escape (a test says so), whichever rules a format has. */
void qe_catalogue_header(struct qe_strbuf *out, enum qe_family family, enum qe_format format)
{
    const struct qe_family_def *def = &qe_catalogue[family];
    char name[96];
    size_t length = strlen(def->name);

    memcpy(name, def->name, length + 1);
    if (format == QE_FORMAT_OPENMETRICS) {
        header_line(out, "TYPE", name, qe_metric_type_name(def->type));
        if (def->unit[0] != '\0') {
            header_line(out, "UNIT", name, def->unit);
        }
        header_line(out, "HELP", name, def->help);
        return;
    }
    const char *suffix = qe_family_suffix(family);

    memcpy(name + length, suffix, strlen(suffix) + 1);
    header_line(out, "HELP", name, def->help);
    header_line(out, "TYPE", name, qe_metric_type_name(def->type));
}

/* "a,b" as "`a`, `b`". */
static void label_list(struct qe_strbuf *out, const char *labels)
{
    (void)qe_strbuf_append_text(out, labels[0] != '\0' ? "`" : "");
    for (const char *at = labels; *at != '\0'; at++) {
        if (*at == ',') {
            (void)qe_strbuf_append_text(out, "`, `");
        } else {
            (void)qe_strbuf_append_char(out, *at);
        }
    }
    (void)qe_strbuf_append_text(out, labels[0] != '\0' ? "`" : "");
}

int qe_catalogue_reference(struct qe_strbuf *out)
{
    (void)qe_strbuf_append_text(out, "| family | type | labels | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        const struct qe_family_def *def = &qe_catalogue[i];

        (void)qe_strbuf_printf(out, "| `%s%s` | %s | ", def->name,
                               qe_family_suffix((enum qe_family)i), qe_metric_type_name(def->type));
        label_list(out, def->labels);
        (void)qe_strbuf_printf(out, " | %s |\n", def->help);
    }
    return out->failed == QE_OK ? 0 : -1;
}
