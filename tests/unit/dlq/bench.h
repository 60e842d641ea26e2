/* A store in memory with two queues, their dead-letter queue, one that has none and an ordered
 * pair; and a driver over it whose faults a test switches on. */
#ifndef QE_TESTS_UNIT_DLQ_BENCH_H
#define QE_TESTS_UNIT_DLQ_BENCH_H

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/embedded/embedded.h"
#include "dlq/redrive.h"
#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"

#define BENCH_VISIBILITY_MS 30000
#define BENCH_QUEUES 6

/* What the driver over the store is told to do wrong. */
struct faults {
    unsigned send_calls_fail;    /* so many calls fail as a whole */
    enum qe_err_code send_code;  /* with this */
    const char *refused_body;    /* a message of this body is refused */
    unsigned settle_calls_fail;  /* so many calls fail as a whole */
    unsigned receive_calls_fail; /* with QE_ERR_NETWORK */
    unsigned receives;           /* calls */
    int64_t settle_ms_most;      /* that a call was given */
    unsigned sends;              /* messages that were given to send() */
    int64_t send_ms;             /* each call takes so long */
    const char *id;              /* which each message comes with; NULL: its own */
    char sent_id[32];            /* that the newest message given to send() is to have */
};
static struct faults s_faults;

static inline int faulty_send(void *self, const struct qe_queue *to, struct qe_outgoing *messages,
                              size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    const struct timespec pause = {.tv_nsec = (long)s_faults.send_ms * 1000000L};

    s_faults.sends += (unsigned)count;
    (void)snprintf(s_faults.sent_id, sizeof s_faults.sent_id, "%s", messages[count - 1].message_id);
    if (s_faults.send_ms > 0) {
        (void)nanosleep(&pause, NULL);
    }
    if (s_faults.send_calls_fail > 0) {
        s_faults.send_calls_fail--;
        return qe_err_set(err, s_faults.send_code, "told to fail");
    }
    for (size_t i = 0; i < count; i++) {
        if (s_faults.refused_body != NULL &&
            messages[i].body_bytes == strlen(s_faults.refused_body) &&
            memcmp(messages[i].body, s_faults.refused_body, messages[i].body_bytes) == 0) {
            (void)qe_err_set(&messages[i].result, QE_ERR_LIMIT, "too large");
        } else if (qe_driver_embedded.send(self, to, &messages[i], 1, deadline_mono_ms, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static inline int faulty_settle(void *self, const struct qe_queue *queue,
                                struct qe_settlement *settlements, size_t count,
                                int64_t deadline_mono_ms, struct qe_err *err)
{
    const int64_t given_ms = deadline_mono_ms - qe_clock_mono_ms();

    s_faults.settle_ms_most =
        given_ms > s_faults.settle_ms_most ? given_ms : s_faults.settle_ms_most;
    if (s_faults.settle_calls_fail > 0) {
        s_faults.settle_calls_fail--;
        return qe_err_set(err, QE_ERR_NETWORK, "told to fail");
    }
    return qe_driver_embedded.settle(self, queue, settlements, count, deadline_mono_ms, err);
}

static inline int faulty_receive(void *self, const struct qe_queue *from, size_t max,
                                 int64_t deadline_mono_ms, struct qe_message_list *out,
                                 struct qe_err *err)
{
    if (max == 0) {
        return 0;
    }
    s_faults.receives++;
    if (s_faults.receive_calls_fail > 0) {
        s_faults.receive_calls_fail--;
        return qe_err_set(err, QE_ERR_NETWORK, "told to fail");
    }
    /* The store says at once what it has; there is nothing to wait for. */
    (void)deadline_mono_ms;
    const int rc = qe_driver_embedded.receive(self, from, max, qe_clock_mono_ms(), out, err);

    for (size_t i = 0; i < out->count && s_faults.id != NULL; i++) {
        qe_free(out->items[i].id);
        out->items[i].id = qe_strdup(s_faults.id);
        assert_non_null(out->items[i].id);
    }
    return rc;
}

struct bench {
    struct qe_embedded_queue_settings queues[BENCH_QUEUES];
    struct qe_embedded_settings settings;
    struct qe_driver driver;
    void *handle;
    struct qe_queue_set *set;
    struct qe_redrive_options options;
    struct qe_redrive_result result;
    unsigned pauses_left; /* until the wish to stop */
    unsigned progresses;
};

static inline bool bench_pause(void *context, int64_t until_mono_ms)
{
    struct bench *bench = context;
    struct timespec at = {.tv_sec = until_mono_ms / 1000,
                          .tv_nsec = (long)(until_mono_ms % 1000) * 1000000L};

    if (bench->options.messages_per_second > 0) {
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
    if (bench->pauses_left == 0) {
        return false;
    }
    bench->pauses_left--;
    return true;
}

static inline void bench_progress(void *context, const struct qe_redrive_counts *counts)
{
    struct bench *bench = context;

    (void)counts;
    bench->progresses++;
}

static inline const struct qe_queue *bench_queue(const struct bench *bench, const char *name)
{
    size_t index = qe_queue_set_find(bench->set, "", name);

    assert_true(index != SIZE_MAX);
    return &bench->set->items[index];
}

static inline int64_t bench_soon(void)
{
    return qe_clock_mono_ms() + 5000;
}

static inline struct bench *bench_new(int64_t visibility_ms)
{
    static char names[BENCH_QUEUES][16] = {"orders", "payments", "shared-dlq",
                                           "alone",  "ordered",  "ordered-dlq"};
    static char s_memory[] = ":memory:";
    struct bench *bench = qe_calloc(1, sizeof *bench);
    struct qe_queue_list list = {0};
    const struct qe_deps deps = {.source = "bench"};
    struct qe_err err = {0};

    assert_non_null(bench);
    s_faults = (struct faults){0};
    for (size_t i = 0; i < BENCH_QUEUES; i++) {
        bench->queues[i] = (struct qe_embedded_queue_settings){
            .name = names[i],
            .visibility_timeout_ms = visibility_ms,
            .retention_ms = 345600000,
            .deduplication_window_ms = 300000,
            .ordered = i >= 4,
        };
    }
    bench->queues[0].dead_letter.queue = names[2];
    bench->queues[0].dead_letter.max_receives = 3;
    bench->queues[1].dead_letter = bench->queues[0].dead_letter;
    bench->queues[4].dead_letter.queue = names[5];
    bench->queues[4].dead_letter.max_receives = 3;
    bench->settings = (struct qe_embedded_settings){
        .path = s_memory, .queues = {.items = bench->queues, .count = BENCH_QUEUES}};
    bench->driver = qe_driver_embedded;
    bench->driver.send = faulty_send;
    bench->driver.settle = faulty_settle;
    bench->driver.receive = faulty_receive;
    assert_ok(qe_driver_embedded.create(&bench->settings, &deps, &bench->handle, &err), err);
    assert_ok(qe_driver_embedded.list(bench->handle, bench_soon(), &list, &err), err);
    bench->set = qe_queue_set_new_take(&list, &err);
    assert_non_null(bench->set);
    bench->pauses_left = 100000;
    bench->options = (struct qe_redrive_options){
        .driver = &bench->driver,
        .handle = bench->handle,
        .from = bench_queue(bench, "shared-dlq"),
        .queues = bench->set,
        .call_timeout_ms = 5000,
        .hooks = {.pause = bench_pause, .progress = bench_progress, .context = bench},
    };
    return bench;
}

static inline void bench_destroy(struct bench *bench)
{
    qe_driver_embedded.destroy(bench->handle);
    qe_queue_set_release(bench->set);
    qe_free(bench);
}

static inline void bench_send(struct bench *bench, const char *queue, struct qe_outgoing message)
{
    struct qe_err err = {0};

    message.delay_ms = -1;
    message.body_bytes = strlen(message.body);
    assert_ok(qe_driver_embedded.send(bench->handle, bench_queue(bench, queue), &message, 1,
                                      bench_soon(), &err),
              err);
    assert_ok(message.result.code == QE_OK ? 0 : -1, message.result);
}

/* Up to `max` messages, in flight from now on. */
static inline struct qe_message_list bench_receive(struct bench *bench, const char *queue,
                                                   size_t max)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(qe_driver_embedded.receive(bench->handle, bench_queue(bench, queue), max,
                                         qe_clock_mono_ms(), &list, &err),
              err);
    return list;
}

/* Sends to `queue` and moves it to its dead-letter queue, as a consumer does that rejects it. */
static inline void bench_bury(struct bench *bench, const char *queue,
                              const struct qe_outgoing *message)
{
    struct qe_err err = {0};

    bench_send(bench, queue, *message);
    struct qe_message_list list = bench_receive(bench, queue, 1);

    assert_int_equal(list.count, 1);
    struct qe_settlement settlement = {
        .message = &list.items[0], .verb = QE_SETTLE_DEAD_LETTER, .reason = "permanent"};

    assert_ok(qe_driver_embedded.settle(bench->handle, bench_queue(bench, queue), &settlement, 1,
                                        bench_soon(), &err),
              err);
    assert_int_equal(settlement.result, QE_SETTLED);
    qe_message_list_deinit(&list);
}

static inline void bench_bury_text(struct bench *bench, const char *queue, const char *body)
{
    const struct qe_outgoing message = {.body = body};

    bench_bury(bench, queue, &message);
}

/* How many the queue holds, in flight ones included; *out_ready without them. */
static inline size_t bench_count(struct bench *bench, const char *queue, size_t *out_ready)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    int64_t now = qe_clock_unix_ms();

    assert_ok(qe_driver_embedded.peek(bench->handle, bench_queue(bench, queue), 20000, bench_soon(),
                                      &list, &err),
              err);
    size_t count = list.count;

    *out_ready = 0;
    for (size_t i = 0; i < count; i++) {
        *out_ready += list.items[i].visible_unix_ms <= now ? 1 : 0;
    }
    qe_message_list_deinit(&list);
    return count;
}

/* The queue holds so many, and all of them can be received. */
static inline void bench_assert_ready(struct bench *bench, const char *queue, size_t count)
{
    size_t ready = 0;

    assert_int_equal(bench_count(bench, queue, &ready), count);
    assert_int_equal(ready, count);
}

/* A message's times are in whole milliseconds: what was sent before is older only once one has
 * passed. */
static inline void bench_let_a_moment_pass(void)
{
    int64_t until = qe_clock_unix_ms() + 2;

    while (qe_clock_unix_ms() < until) {
    }
}

static inline int bench_run(struct bench *bench, struct qe_err *err)
{
    bench_let_a_moment_pass();
    return qe_redrive_run(&bench->options, &bench->result, err);
}

static inline void bench_run_well(struct bench *bench)
{
    struct qe_err err = {0};

    assert_ok(bench_run(bench, &err), err);
    assert_int_equal(err.code, QE_OK);
}

#endif
