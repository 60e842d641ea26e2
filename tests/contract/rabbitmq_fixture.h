/* Queues and exchanges on a RabbitMQ, for the tests of the driver: made anew for each test through
 * the management API, under a prefix of its own, and deleted behind it. */
#ifndef QE_TESTS_CONTRACT_RABBITMQ_FIXTURE_H
#define QE_TESTS_CONTRACT_RABBITMQ_FIXTURE_H

#include "backend/rabbitmq/rabbitmq.h"
#include "contract/contract.h"

struct rabbitmq_fixture {
    const char *url;      /* of the management API; borrowed */
    const char *amqp_url; /* borrowed */
    enum qe_queue_kind kind;

    struct qe_rmq_settings settings;
    char prefix[32];
    char names[QE_CONTRACT_QUEUE_COUNT][64];
    char topic[64];
    char keyed_topic[64];
    unsigned rounds;
};

/* What of an environment variable a test cannot do without: ends the program as skipped (77) with
 * the reason when it is not set. */
const char *rabbitmq_fixture_need(const char *variable);

/* The fixture's slots; `context` is a struct rabbitmq_fixture. */
int rabbitmq_fixture_setup(void *context, struct qe_err *err);
void rabbitmq_fixture_teardown(void *context);
/* One request to the management API; what it says is not looked at. */
int rabbitmq_fixture_ask(const struct rabbitmq_fixture *fixture, const char *method,
                         const char *path, const char *body, struct qe_err *err);
/* A contract fixture on it, with what is true of every RabbitMQ. */
struct qe_contract_fixture rabbitmq_fixture_contract(struct rabbitmq_fixture *fixture,
                                                     const char *name);

#endif
