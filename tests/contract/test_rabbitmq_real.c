/* The RabbitMQ driver keeps the contract on a real server, with classic and with quorum queues. */
#include "contract/rabbitmq_fixture.h"

#define LAPSE                                                                                      \
    "a delivery of RabbitMQ ends with its connection, or after the broker's own half an hour"
#define LATER "RabbitMQ's counts come seconds later: test_rabbitmq_watch.py waits for them"

#define GAPS                                                                                       \
    {"a lapsed delivery comes again and the old receipt is stale", LAPSE},                         \
        {"purge deletes everything and says how much",                                             \
         "RabbitMQ purges what is ready, not what is in flight or delayed: see "                   \
         "test_rabbitmq_work.py"},                                                                 \
        {"settings of the queue are sampled", "RabbitMQ has no visibility timeout"},               \
        {"a sample counts ready, in flight and delayed", LATER},                                   \
        {"true counters follow a message", LATER},                                                 \
    {                                                                                              \
        "a receiver counts as consumer", LATER                                                     \
    }

static const struct qe_contract_gap s_classic_gaps[] = {
    GAPS,
    {"a message received too often goes to the dead-letter queue",
     "a classic queue counts no deliveries"},
    {NULL, NULL},
};
static const struct qe_contract_gap s_quorum_gaps[] = {
    GAPS,
    {NULL, NULL},
};

static int run(enum qe_queue_kind kind, const char *name, const struct qe_contract_gap *gaps)
{
    struct rabbitmq_fixture server = {
        .url = rabbitmq_fixture_need("QE_RABBITMQ_URL"),
        .amqp_url = rabbitmq_fixture_need("QE_RABBITMQ_AMQP_URL"),
        .kind = kind,
    };
    struct qe_contract_fixture fixture = rabbitmq_fixture_contract(&server, name);

    fixture.gaps = gaps;
    return qe_contract_run(&fixture);
}

int main(void)
{
    return run(QE_KIND_CLASSIC, "rabbitmq, classic queues", s_classic_gaps) +
           run(QE_KIND_QUORUM, "rabbitmq, quorum queues", s_quorum_gaps);
}
