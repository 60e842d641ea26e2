/* Amazon SQS. What it costs to watch, which permissions it needs and how ages are known is in
 * README.md beside this header. */
#ifndef QE_BACKEND_SQS_SQS_H
#define QE_BACKEND_SQS_SQS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "config/option.h"

enum qe_sqs_age_method {
    QE_SQS_AGE_CLOUDWATCH = 0,
    QE_SQS_AGE_NONE
};

struct qe_sqs_role_settings {
    char *arn; /* NULL: the whole section is absent */
    char *external_id;
    char *session_name;
    int64_t duration_ms;
};

struct qe_sqs_age_settings {
    int method; /* enum qe_sqs_age_method */
    int64_t interval_ms;
    bool empty_queues; /* ask for queues that are empty, too */
};

struct qe_sqs_cadence_settings {
    bool adaptive;
    int64_t max_interval_ms; /* no queue waits longer, whatever the budget */
};

struct qe_sqs_cost_settings {
    double monthly_budget_dollars; /* 0: none */
    double sqs_dollars_per_million;
    double sqs_fifo_dollars_per_million; /* sends, receives, settlements of FIFO queues */
    double sqs_fair_dollars_per_million; /* on top: sends with a group to other queues */
    double cloudwatch_dollars_per_thousand;
};

struct qe_sqs_settings {
    char *region;              /* NULL: found, see aws/endpoint.h */
    char *endpoint;            /* for every service; NULL: AWS's own */
    char *cloudwatch_endpoint; /* NULL: as `endpoint` */
    char *sts_endpoint;        /* NULL: as `endpoint` */
    char *profile;
    char *access_key_id;
    struct qe_secret *secret_access_key;
    struct qe_secret *session_token;
    struct qe_sqs_role_settings assume_role;
    char *ca_file;
    char *queue_name_prefix;         /* NULL: every queue */
    struct qe_text_list queue_names; /* these only; with queue_urls, nothing is listed */
    struct qe_text_list queue_urls;  /* also of other accounts */
    struct qe_text_list tags;        /* allow-list into queue_info */
    int64_t tags_interval_ms;
    uint64_t concurrency;
    double requests_per_second; /* 0: no limit */
    uint64_t in_flight_limit;
    struct qe_sqs_age_settings oldest_age;
    struct qe_sqs_cadence_settings cadence;
    struct qe_sqs_cost_settings cost;
};

extern const struct qe_section qe_sqs_section;
extern const struct qe_driver qe_driver_sqs;

#endif
