/* A consumer on the fake broker, and a handler that does what a message's id says. */
#ifndef QE_TESTS_UNIT_CONSUMER_RIG_H
#define QE_TESTS_UNIT_CONSUMER_RIG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "consumer/consumer.h"
#include "support/check.h"
#include "support/fake_driver.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

/* Ids that contain "slow" wait until the gate is open (or they are cancelled), "stubborn" ones do
 * not even heed cancellation; "nap" takes 45 ms; then "retry" and "reject" fail so,
 * and "once" fails its first time. */
struct gate {
    atomic_bool open;
    atomic_uint started;
    atomic_int_least64_t ended_mono_ms; /* the last one */
    int64_t retry_delay_ms;
    const char *label;       /* of a rejection */
    const char *detail;      /* of a rejection; NULL: "told so" */
    const char *reply;       /* of a success; NULL: none */
    atomic_bool fails_first; /* the next message fails, whatever its id */
    atomic_int troubles;     /* so many fail before that, for a reason of our own */
    atomic_uint at_once;     /* handler calls that run */
    atomic_uint most_at_once;
    atomic_uint largest_batch;
};

static inline void gate_wait(struct gate *gate, bool heeds, const struct qe_handling *handling)
{
    while (!atomic_load(&gate->open)) {
        if (heeds && atomic_load(handling->cancelled)) {
            return;
        }
        qe_fake_pause_ms(1);
    }
}

static inline void gate_handle_one(struct gate *gate, const struct qe_message *message,
                                   const struct qe_handling *handling, struct qe_handled *out)
{
    bool stubborn = strstr(message->id, "stubborn") != NULL;

    if (atomic_load(&gate->troubles) > 0 && atomic_fetch_sub(&gate->troubles, 1) > 0) {
        (void)snprintf(out->detail, sizeof out->detail, "no descriptors");
        return; /* as it came in */
    }
    out->outcome = QE_OUTCOME_SUCCESS;
    if (stubborn || strstr(message->id, "slow") != NULL) {
        gate_wait(gate, !stubborn, handling);
    }
    if (strstr(message->id, "nap") != NULL) {
        qe_fake_pause_ms(45);
    }
    if (strstr(message->id, "retry") != NULL ||
        (strstr(message->id, "once") != NULL && message->receives <= 1) ||
        atomic_exchange(&gate->fails_first, false) ||
        (atomic_load(handling->cancelled) && !atomic_load(&gate->open))) {
        out->outcome = QE_OUTCOME_RETRY;
        out->reason = QE_FAIL_HANDLER_ERROR;
        out->retry_delay_ms = gate->retry_delay_ms;
        (void)snprintf(out->detail, sizeof out->detail, "try %u", message->receives);
    }
    if (strstr(message->id, "reject") != NULL) {
        out->outcome = QE_OUTCOME_REJECT;
        out->reason = QE_FAIL_PERMANENT;
        out->label = gate->label;
        (void)snprintf(out->detail, sizeof out->detail, "%s",
                       gate->detail != NULL ? gate->detail : "told so");
    }
    if (out->outcome == QE_OUTCOME_SUCCESS && gate->reply != NULL) {
        (void)qe_strbuf_append_text(&out->reply, gate->reply);
    }
}

static inline void gate_most(atomic_uint *most, unsigned now)
{
    unsigned before = atomic_load(most);

    while (now > before && !atomic_compare_exchange_weak(most, &before, now)) {
    }
}

static inline void gate_handle(void *self, const struct qe_message *const *messages, size_t count,
                               const struct qe_handling *handling, struct qe_handled *out)
{
    struct gate *gate = self;

    gate_most(&gate->most_at_once, atomic_fetch_add(&gate->at_once, 1) + 1);
    gate_most(&gate->largest_batch, (unsigned)count);
    (void)atomic_fetch_add(&gate->started, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        gate_handle_one(gate, messages[i], handling, &out[i]);
    }
    (void)atomic_fetch_sub(&gate->at_once, 1);
    atomic_store(&gate->ended_mono_ms, qe_clock_mono_ms());
}

static inline void gate_destroy(void *self)
{
    (void)self; /* the rig's */
}

static const struct qe_handler s_gate_handler = {
    .name = "gate", .takes_batches = true, .handle = gate_handle, .destroy = gate_destroy};

struct rig {
    struct qe_fake *fake;
    struct qe_stats *registry;
    struct qe_consumer_stats *stats;
    struct gate gate;
    struct qe_consumer_options options;
    struct qe_consumer *consumer;
};

static inline struct rig *rig_new(uint64_t workers)
{
    struct rig *rig = qe_calloc(1, sizeof *rig);
    struct qe_err err = {0};

    assert_non_null(rig);
    rig->fake = qe_fake_new();
    qe_fake_add_queue(rig->fake, "orders", "orders-dlq");
    rig->registry = qe_stats_new(&err);
    assert_non_null(rig->registry);
    rig->stats = qe_stats_consumer(rig->registry, "test", "", "orders", &err);
    assert_non_null(rig->stats);
    rig->gate.retry_delay_ms = -1;
    rig->options = (struct qe_consumer_options){.source = "test",
                                                .vhost = "",
                                                .queue = "orders",
                                                .driver = &qe_driver_fake,
                                                .driver_settings = rig->fake,
                                                .stats = rig->stats,
                                                .workers = workers,
                                                .handler = &s_gate_handler,
                                                .handler_self = &rig->gate,
                                                .max_handling_time_ms = 600000,
                                                .retry_initial_ms = 1,
                                                .retry_max_ms = 3600000,
                                                .receive_wait_ms = 20000,
                                                .jitter_seed = 1};
    return rig;
}

static inline void rig_start(struct rig *rig)
{
    struct qe_err err = {0};

    rig->consumer = qe_consumer_new(&rig->options, &err);
    if (rig->consumer == NULL) {
        fail_msg("%s", err.message);
    }
}

static inline void rig_destroy(struct rig *rig)
{
    atomic_store(&rig->gate.open, true);
    qe_consumer_destroy(rig->consumer);
    assert_int_equal(atomic_load(&rig->stats->in_progress), 0);
    assert_int_equal(atomic_load(&rig->stats->workers), 0);
    assert_int_equal(atomic_load(&rig->stats->workers_busy), 0);
    assert_false(atomic_load(&rig->stats->active));
    qe_stats_destroy(rig->registry);
    qe_fake_destroy(rig->fake);
    qe_free(rig);
}

/* Lets the consumer learn that its handler is fast, so that it fetches ahead. Uses up the first
 * `count` messages. */
static inline void rig_warm_up(struct rig *rig, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        qe_fake_send(rig->fake, "quick", NULL);
    }
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == count);
}

#endif
