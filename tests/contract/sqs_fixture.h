/* Queues on a server that speaks SQS, for the tests of the driver: made anew for each test, under a
 * prefix of its own, and deleted behind it. */
#ifndef QE_TESTS_CONTRACT_SQS_FIXTURE_H
#define QE_TESTS_CONTRACT_SQS_FIXTURE_H

#include "backend/sqs/sqs.h"
#include "contract/contract.h"

#define SQS_FIXTURE_BRIEF_MS 2000 /* SQS counts whole seconds */
#define SQS_FIXTURE_WORK_MS 30000
/* A delay of 300 ms is a second there, and a long poll looks only now and then. */
#define SQS_FIXTURE_WAKE_MS 1500

struct sqs_fixture {
    const char *url; /* of the server; borrowed */
    const char *region;
    const char *access_key_id;
    const char *secret_access_key;
    bool has_cloudwatch;

    struct qe_sqs_settings settings;
    char prefix[32];
    char *urls[QE_CONTRACT_QUEUE_COUNT]; /* owned; "" for none */
    unsigned rounds;
};

/* What of an environment variable a test cannot do without: ends the program as skipped (77) with
 * the reason when it is not set. */
const char *sqs_fixture_need(const char *variable);

/* The fixture's slots; `context` is a struct sqs_fixture. */
int sqs_fixture_setup(void *context, struct qe_err *err);
void sqs_fixture_teardown(void *context);
const void *sqs_fixture_settings(void *context);
int sqs_fixture_queue(void *context, enum qe_contract_queue which, struct qe_queue *out,
                      struct qe_err *err);
/* A contract fixture on it, with what is true of every such server. */
struct qe_contract_fixture sqs_fixture_contract(struct sqs_fixture *fixture, const char *name);

#endif
