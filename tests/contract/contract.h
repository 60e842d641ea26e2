/* The promises of src/backend/backend.h as tests that any driver can be put through. A driver's own
 * test fills a fixture and calls qe_contract_run(); nothing here knows which driver it is. */
#ifndef QE_TESTS_CONTRACT_CONTRACT_H
#define QE_TESTS_CONTRACT_CONTRACT_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "util/err.h"

/* The queues that a fixture provides, empty, before each test. */
enum qe_contract_queue {
    QE_CONTRACT_WORK =
        0, /* long visibility timeout; dead-letters into _WORK_DLQ after 3 receives */
    QE_CONTRACT_WORK_DLQ,
    QE_CONTRACT_BRIEF,   /* visibility timeout of brief_visibility_ms; no DLQ */
    QE_CONTRACT_ORDERED, /* ordered groups and deduplication; only with QE_CAP_ORDERED */
    QE_CONTRACT_ABSENT,  /* a name that does not exist */
    QE_CONTRACT_QUEUE_COUNT
};

/* A case that a broker, not the driver, cannot pass: skipped, with the reason. */
struct qe_contract_gap {
    const char *test; /* its name; NULL ends the list */
    const char *why;
};

struct qe_contract_fixture {
    const char *name; /* of the test group */
    const struct qe_driver *driver;
    void *context;
    int64_t brief_visibility_ms;
    int64_t wake_ms; /* a long poll sees a send from another handle within this */
    int64_t work_visibility_ms;
    bool counts_exactly; /* samples agree with the truth at once (SQS: not so) */
    /* Bodies and attributes are text of the characters that XML has, and never empty; names of
     * attributes are plain. What is not so is refused with QE_ERR_INVALID. */
    bool takes_text_only;
    bool sent_time_restarts; /* dead-lettered by us, a message has a new time of sending */
    bool never_lapses;       /* a delivery ends with its connection, not after a time */
    bool keeps_ids;          /* a message has the id that is given with it; publishers choose it */
    bool hides_arrival;      /* when a message came into its queue is not known */
    const char *topic;       /* NULL: any name is one */
    const char *keyed_topic; /* whose subscribers choose by routing key; NULL: there is none */
    const struct qe_contract_gap *gaps; /* NULL: none */
    /* Called before and after each test. setup: a fresh broker, or emptied queues. */
    int (*setup)(void *context, struct qe_err *err);
    void (*teardown)(void *context);
    /* The struct that driver->section describes; borrowed, valid until teardown. */
    const void *(*settings)(void *context);
    /* Fills a queue as list() would; the caller deinits it. */
    int (*queue)(void *context, enum qe_contract_queue which, struct qe_queue *out,
                 struct qe_err *err);
};

/* Runs every test that the driver's capabilities call for. Returns the number of failures. */
int qe_contract_run(struct qe_contract_fixture *fixture);

#endif
