/* Shared by the files of the contract suite: one test's world and its short verbs. */
#ifndef QE_TESTS_CONTRACT_CONTRACT_INTERNAL_H
#define QE_TESTS_CONTRACT_CONTRACT_INTERNAL_H

#include "contract/contract.h"
#include "support/check.h"

/* What a test stands in: an open handle and the fixture's queues. */
struct world {
    struct qe_contract_fixture *fixture;
    const struct qe_driver *driver;
    void *handle;
    struct qe_api_stats *stats;
    struct qe_stats *registry;
    struct qe_queue queues[QE_CONTRACT_QUEUE_COUNT];
};

/* --- world.c --- */
int world_setup(void **state);
int world_teardown(void **state);
/* A second handle on the same broker. */
void *world_open(struct world *world);
int64_t in_ms(int64_t ms);
void send_text(struct world *world, enum qe_contract_queue to, const char *body);
void send_one(struct world *world, enum qe_contract_queue to, struct qe_outgoing *message);
/* Receives exactly `count` messages, in one call or several; fails the test after 5 s. */
struct qe_message_list receive_count(struct world *world, enum qe_contract_queue from,
                                     size_t count);
/* Asks once without waiting. */
struct qe_message_list receive_now(struct world *world, enum qe_contract_queue from, size_t max);
struct qe_settlement settle_one(struct world *world, enum qe_contract_queue from,
                                const struct qe_message *message, enum qe_settle_verb verb,
                                int64_t delay_ms, const char *reason);
struct qe_message_list peek_all(struct world *world, enum qe_contract_queue from);
struct qe_sample sample_of(struct world *world, enum qe_contract_queue which);
/* Waits for a moment that a broker's own clock must reach. */
void sleep_ms(int64_t ms);

/* --- one table of tests per file; NULL name ends it --- */
struct contract_test {
    const char *name;
    void (*run)(void **state);
    uint32_t needs; /* capabilities */
};
extern const struct contract_test qe_contract_calls[];
extern const struct contract_test qe_contract_messages[];
extern const struct contract_test qe_contract_ordered[];
extern const struct contract_test qe_contract_deliveries[];
extern const struct contract_test qe_contract_redrive[];
extern const struct contract_test qe_contract_samples[];
extern const struct contract_test qe_contract_topics[];

#endif
