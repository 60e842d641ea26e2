/* A broker whose publishers choose the ids, or give none: no message is taken for another. */
#include "dlq/look.h"
#include "support/fake_driver.h"
#include "unit/dlq/bench.h"

#define COUNT 450 /* more than the lots that may bring nothing new */
#define LOSE_AT 350

/* --- looking --- */

struct watcher {
    struct qe_fake *fake;
    void *handle;
    size_t seen;
    size_t bytes; /* of the bodies: each message of its own length, where they differ */
    size_t lose_at;
};
static const struct qe_fake *s_fake;

static bool fake_holds(const void *self, const struct qe_queue *queue,
                       const struct qe_message *message)
{
    const struct qe_fake_message *own = &s_fake->messages[message->tag];
    char receipt[24];

    (void)self;
    (void)queue;
    (void)snprintf(receipt, sizeof receipt, "%llu", (unsigned long long)own->delivery);
    return own->visible_from_mono_ms == INT64_MAX && strcmp(receipt, message->receipt) == 0;
}

static int count_and_lose(void *context, const struct qe_message *message, struct qe_err *err)
{
    struct watcher *watcher = context;

    (void)err;
    watcher->seen++;
    watcher->bytes += message->body_bytes;
    if (watcher->seen == watcher->lose_at) {
        pthread_mutex_lock(&watcher->fake->lock);
        qe_fake_requeue(watcher->fake, watcher->handle);
        pthread_mutex_unlock(&watcher->fake->lock);
    }
    return 0;
}

static bool never(void *context)
{
    (void)context;
    return false;
}

/* Looks at so many messages of one id; of the sum of their bodies' bytes. */
static void look_at(const char *id, bool differ, size_t lose_at)
{
    struct qe_driver driver = qe_driver_fake;
    struct watcher watcher = {.fake = qe_fake_new(), .lose_at = lose_at};
    const struct qe_deps deps = {.source = "fake"};
    struct qe_queue queue = {0};
    struct qe_err err = {0};
    struct qe_dlq_rest rest;
    size_t seen = 0;
    size_t bytes = 0;

    watcher.fake->visibility_ms = 0; /* a delivery lasts as long as its connection */
    s_fake = watcher.fake;
    driver.holds = fake_holds;
    for (size_t i = 0; i < COUNT; i++) {
        const struct qe_fake_message like = {.body_bytes = differ ? i + 1 : 7};

        bytes += like.body_bytes;
        qe_fake_send_like(watcher.fake, id, &like);
        watcher.fake->messages[i].sent_unix_ms = 0; /* not told, as by most publishers */
    }
    assert_ok(driver.create(watcher.fake, &deps, &watcher.handle, &err), err);
    assert_ok(qe_queue_init(&queue, "", "dlq", QE_KIND_STANDARD, &err), err);
    const struct qe_dlq_look look = {.driver = &driver,
                                     .handle = watcher.handle,
                                     .queue = &queue,
                                     .max = 1000,
                                     .call_timeout_ms = 5000,
                                     .stopped = never,
                                     .visit = count_and_lose,
                                     .context = &watcher};

    assert_ok(qe_dlq_look(&look, &seen, &rest, &err), err);
    assert_int_equal(seen, COUNT);
    assert_int_equal(watcher.seen, COUNT);
    assert_int_equal(watcher.bytes, bytes);
    qe_queue_deinit(&queue);
    driver.destroy(watcher.handle);
    qe_fake_destroy(watcher.fake);
}

static void look_sees_each_of_those_with_one_id(void **state)
{
    (void)state;
    look_at("same", true, 0);
    look_at("same", false, 0);
    look_at("", true, 0);
    look_at("", false, 0);
}

static void look_sees_each_once_although_the_connection_was_lost(void **state)
{
    (void)state;
    look_at("same", true, LOSE_AT);
    look_at("same", false, LOSE_AT);
    look_at("", true, LOSE_AT);
    look_at("", false, LOSE_AT);
}

/* --- moving --- */

static uint64_t s_lost_tag; /* of the message whose delivery has ended; 0: none */

static bool bench_holds(const void *self, const struct qe_queue *queue,
                        const struct qe_message *message)
{
    (void)self;
    (void)queue;
    return message->tag != s_lost_tag && qe_clock_mono_ms() < message->visible_until_mono_ms;
}

static struct bench *bench_of_one_id(const char *id, int64_t visibility_ms)
{
    struct bench *bench = bench_new(visibility_ms);

    s_lost_tag = 0;
    bench->driver.holds = bench_holds;
    s_faults.id = id;
    return bench;
}

/* Every second one is meant; those that are not lie between them. */
static void filtered_redrive_moves_each_that_is_meant(void **state)
{
    static const char *const ids[] = {"same", ""};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct bench *bench = bench_of_one_id(ids[k], BENCH_VISIBILITY_MS);
        struct qe_dlq_filter filter = {0};
        struct qe_err err = {0};

        for (size_t i = 0; i < 40; i++) {
            bench_bury_text(bench, "orders", "b");
            bench_send(bench, "shared-dlq", (struct qe_outgoing){.body = "b"});
        }
        assert_ok(qe_dlq_filter_add_reason(&filter, "permanent", &err), err);
        bench->options.filter = &filter;
        bench_run_well(bench);
        assert_int_equal(bench->result.counts.moved, 40);
        assert_int_equal(bench->result.counts.unmatched, 40);
        bench_assert_ready(bench, "orders", 40);
        bench_assert_ready(bench, "shared-dlq", 40);
        qe_dlq_filter_deinit(&filter);
        bench_destroy(bench);
    }
}

static void what_is_sent_on_is_to_keep_its_id(void **state)
{
    struct bench *bench = bench_of_one_id("same", BENCH_VISIBILITY_MS);

    (void)state;
    bench_bury_text(bench, "orders", "b");
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 1);
    assert_string_equal(s_faults.sent_id, "same");
    bench_destroy(bench);
}

static void lose_the_first(void *context, const struct qe_message *message, const char *new_id)
{
    (void)context;
    (void)new_id;
    s_lost_tag = s_lost_tag != 0 ? s_lost_tag : message->tag;
}

/* The first is sent and cannot be deleted before the other comes, which has its id. */
static void one_that_was_not_sent_is_not_deleted_for_another(void **state)
{
    static const struct {
        const char *id;
        const char *body;
        const char *why;
    } rows[] = {{"same", "other", "its content is another"},
                {"same", "b", "it was never delivered before"},
                {"", "b", "nobody knows it"}};

    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        struct bench *bench = bench_of_one_id(rows[k].id, BENCH_VISIBILITY_MS);

        print_message("%s\n", rows[k].why);
        bench_bury_text(bench, "orders", "b");
        bench_bury_text(bench, "orders", rows[k].body);
        bench->options.messages_per_second = 20; /* lots of one */
        bench->options.hooks.sent = lose_the_first;
        s_faults.settle_calls_fail = 3;
        bench_run_well(bench);
        assert_int_equal(s_faults.settle_calls_fail, 0);
        assert_int_equal(bench->result.counts.moved, 2);
        bench_assert_ready(bench, "orders", 2);
        bench_assert_ready(bench, "shared-dlq", 0);
        bench_destroy(bench);
    }
}

/* Their deliveries lapse, and they come again: each is deleted once, and none is sent twice. */
static void true_copies_of_what_was_sent_are_deleted(void **state)
{
    struct bench *bench = bench_of_one_id("same", 200);

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        bench_bury_text(bench, "orders", i % 2 == 0 ? "a" : "b");
    }
    s_faults.settle_calls_fail = 6; /* those of the first two, which are tried three times */
    bench->options.messages_per_second = 8;
    bench_run_well(bench);
    assert_int_equal(bench->result.counts.moved, 12);
    assert_int_equal(bench->result.counts.doubled, 0);
    assert_int_equal(s_faults.sends, 12);
    bench_assert_ready(bench, "shared-dlq", 0);
    bench_assert_ready(bench, "orders", 12);
    bench_destroy(bench);
}

/* --- times --- */

struct told {
    bool is_told;
    int64_t ahead_ms;
    int64_t enqueued_ago_ms; /* 0: not told */
    uint64_t moved;
    const char *why;
};
static struct told s_told;

static int receive_told(void *self, const struct qe_queue *from, size_t max,
                        int64_t deadline_mono_ms, struct qe_message_list *out, struct qe_err *err)
{
    const int rc = faulty_receive(self, from, max, deadline_mono_ms, out, err);
    const int64_t now = qe_clock_unix_ms();

    for (size_t i = 0; i < out->count; i++) {
        struct qe_message *message = &out->items[i];

        message->sent_unix_ms = now + s_told.ahead_ms;
        message->sent_is_told = s_told.is_told;
        message->enqueued_unix_ms = s_told.enqueued_ago_ms == 0 ? 0 : now - s_told.enqueued_ago_ms;
    }
    return rc;
}

static void publisher_with_a_clock_ahead_keeps_nothing_back(void **state)
{
    static const struct told rows[] = {
        {true, 3600000, 0, 1, "a time to come is no word on when it came"},
        {true, 0, 60000, 1, "the broker knows better"},
        {true, 0, 0, 0, "it may have come since"},
        {false, 3600000, 60000, 0, "the broker's own clock is ahead: it may have been moved"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench *bench = bench_new(BENCH_VISIBILITY_MS);

        print_message("%s\n", rows[i].why);
        s_told = rows[i];
        bench->driver.receive = receive_told;
        bench_bury_text(bench, "orders", "b");
        bench_run_well(bench);
        assert_int_equal(bench->result.counts.moved, rows[i].moved);
        assert_int_equal(bench->result.counts.newer, 1 - rows[i].moved);
        bench_destroy(bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(look_sees_each_of_those_with_one_id),
        cmocka_unit_test(look_sees_each_once_although_the_connection_was_lost),
        cmocka_unit_test(filtered_redrive_moves_each_that_is_meant),
        cmocka_unit_test(what_is_sent_on_is_to_keep_its_id),
        cmocka_unit_test(one_that_was_not_sent_is_not_deleted_for_another),
        cmocka_unit_test(true_copies_of_what_was_sent_are_deleted),
        cmocka_unit_test(publisher_with_a_clock_ahead_keeps_nothing_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
