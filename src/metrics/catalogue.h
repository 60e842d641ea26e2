/* The only place where a family's name, type, unit, HELP and labels are written. */
#ifndef QE_METRICS_CATALOGUE_H
#define QE_METRICS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics/negotiate.h"
#include "util/strbuf.h"

enum qe_metric_type {
    QE_METRIC_GAUGE = 0,
    QE_METRIC_COUNTER,
    QE_METRIC_HISTOGRAM,
    QE_METRIC_TYPE_COUNT
};

/* Where a family is rendered: once per poll into the source's snapshot, or on each scrape. */
enum qe_metric_part {
    QE_PART_POLL = 0,
    QE_PART_LIVE
};

/* In the order of the page: every POLL family stands before every LIVE one. */
enum qe_family {
    /* queues */
    QE_FAMILY_QUEUE_INFO = 0,
    QE_FAMILY_MESSAGES_READY,
    QE_FAMILY_MESSAGES_IN_FLIGHT,
    QE_FAMILY_MESSAGES_DELAYED,
    QE_FAMILY_MESSAGES_IN_FLIGHT_LIMIT,
    QE_FAMILY_OLDEST_AGE,
    QE_FAMILY_RETENTION,
    QE_FAMILY_VISIBILITY_TIMEOUT,
    QE_FAMILY_DELIVERY_DELAY,
    QE_FAMILY_MAX_LENGTH_MESSAGES,
    QE_FAMILY_MAX_LENGTH_BYTES,
    QE_FAMILY_SIZE_BYTES,
    QE_FAMILY_CONSUMERS,
    QE_FAMILY_MESSAGES_PUBLISHED,
    QE_FAMILY_MESSAGES_DELIVERED,
    QE_FAMILY_MESSAGES_ACKNOWLEDGED,
    QE_FAMILY_MESSAGES_REDELIVERED,
    QE_FAMILY_DEAD_LETTER_INFO,
    QE_FAMILY_DEAD_LETTER_MAX_RECEIVES,
    QE_FAMILY_DEAD_LETTER_MESSAGES,
    QE_FAMILY_DEAD_LETTER_PENDING,
    QE_FAMILY_DEAD_LETTER_CHANGE,
    QE_FAMILY_DEAD_LETTER_CHANGE_SPAN,
    QE_FAMILY_IS_DEAD_LETTER_QUEUE,
    QE_FAMILY_IS_DELAY_QUEUE,
    QE_FAMILY_EXPIRY_MARGIN,
    QE_FAMILY_OBJECTIVE_OLDEST_AGE,
    QE_FAMILY_STATE,
    QE_FAMILY_DRAIN,
    QE_FAMILY_CONFIG_WARNING,
    /* trust */
    QE_FAMILY_QUEUE_UP,
    QE_FAMILY_LAST_SUCCESS,
    QE_FAMILY_SOURCE_UP,
    QE_FAMILY_SOURCE_METHOD,
    QE_FAMILY_NODE_UP,
    QE_FAMILY_NODE_MEMORY_ALARM,
    QE_FAMILY_NODE_DISK_ALARM,
    QE_FAMILY_NODE_PARTITIONS,
    QE_FAMILY_POLLS,
    QE_FAMILY_POLL_FAILURES,
    QE_FAMILY_POLL_DURATION,
    QE_FAMILY_LAST_POLL_SUCCESS,
    QE_FAMILY_QUEUES,
    QE_FAMILY_QUEUES_DROPPED,
    QE_FAMILY_POLL_COUNT, /* not a family: how many come from a snapshot */
    /* live: requests to the sources */
    QE_FAMILY_API_REQUESTS = QE_FAMILY_POLL_COUNT,
    QE_FAMILY_API_REQUEST_FAILURES,
    QE_FAMILY_API_REQUEST_DURATION,
    QE_FAMILY_API_RETRIES,
    QE_FAMILY_API_THROTTLES,
    QE_FAMILY_API_BILLABLE_REQUESTS,
    QE_FAMILY_API_COST,
    QE_FAMILY_MONTHLY_BUDGET,
    QE_FAMILY_INTERVAL_STRETCH,
    QE_FAMILY_CLOCK_SKEW,
    QE_FAMILY_CREDENTIALS_EXPIRY,
    QE_FAMILY_CREDENTIALS_REFRESH_FAILURES,
    /* live: reference consumers */
    QE_FAMILY_CONSUMER_RECEIVED,
    QE_FAMILY_CONSUMER_PROCESSED,
    QE_FAMILY_CONSUMER_FAILED,
    QE_FAMILY_CONSUMER_DEAD_LETTERED,
    QE_FAMILY_CONSUMER_RELEASED,
    QE_FAMILY_CONSUMER_REDELIVERIES,
    QE_FAMILY_CONSUMER_DUPLICATES_SKIPPED,
    QE_FAMILY_CONSUMER_EMPTY_RECEIVES,
    QE_FAMILY_CONSUMER_STALE_SETTLES,
    QE_FAMILY_CONSUMER_VISIBILITY_EXTENSIONS,
    QE_FAMILY_CONSUMER_SETTLE_FAILURES,
    QE_FAMILY_CONSUMER_HANDLING_DURATION,
    QE_FAMILY_CONSUMER_MESSAGE_WAIT,
    QE_FAMILY_CONSUMER_MESSAGE_RECEIVES,
    QE_FAMILY_CONSUMER_IN_PROGRESS,
    QE_FAMILY_CONSUMER_WORKERS,
    QE_FAMILY_CONSUMER_WORKERS_BUSY,
    QE_FAMILY_CONSUMER_CIRCUIT_STATE,
    QE_FAMILY_CONSUMER_LAST_SUCCESS,
    /* live: the exporter itself */
    QE_FAMILY_HTTP_REQUESTS,
    QE_FAMILY_LOG_MESSAGES,
    QE_FAMILY_CONFIG_RELOAD_SUCCESSFUL,
    QE_FAMILY_CONFIG_RELOAD_SUCCESS,
    QE_FAMILY_BUILD_INFO,
    QE_FAMILY_PROCESS_CPU,
    QE_FAMILY_PROCESS_OPEN_FDS,
    QE_FAMILY_PROCESS_MAX_FDS,
    QE_FAMILY_PROCESS_VIRTUAL_MEMORY,
    QE_FAMILY_PROCESS_RESIDENT_MEMORY,
    QE_FAMILY_PROCESS_START_TIME,
    QE_FAMILY_PROCESS_THREADS,
    QE_FAMILY_COUNT
};

struct qe_family_def {
    const char *name; /* counters without _total */
    enum qe_metric_type type;
    enum qe_metric_part part;
    const char *unit;   /* "seconds", "bytes", ... only when it is the name's suffix; else "" */
    const char *labels; /* comma-separated, in rendering order: "source,vhost,queue,method"; ""
                           none. vhost, and what is unknown of queue_info, is left out where empty;
                           "tag_*" is as many as a queue has */
    const char *help;   /* one sentence */
};

extern const struct qe_family_def qe_catalogue[QE_FAMILY_COUNT];

/* "gauge", "counter", "histogram". */
const char *qe_metric_type_name(enum qe_metric_type type);

/* What stands before a counter's value in both formats ("_total"), else "". */
const char *qe_family_suffix(enum qe_family family);

/* The HELP, TYPE and UNIT lines of a family. The buffer's error sticks. */
void qe_catalogue_header(struct qe_strbuf *out, enum qe_family family, enum qe_format format);

/* The metric reference in Markdown; the README carries it between markers, and a test says when
 * they drift. */
int qe_catalogue_reference(struct qe_strbuf *out);

#endif
