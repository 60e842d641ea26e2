/* A consumer learns from its source's poller what its queue is now. */
#include "consumer/consumer_internal.h"
#include "unit/consumer/rig.h"

static void list_as(const struct rig *rig, const char *name, const char *dead_letter_queue,
                    bool is_known)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    struct qe_queue *queue = qe_queue_list_add(&list, &err);

    assert_non_null(queue);
    assert_ok(qe_queue_init(queue, "", name, QE_KIND_STANDARD, &err), err);
    if (dead_letter_queue != NULL) {
        assert_ok(qe_queue_add_link(queue, "", dead_letter_queue, &err), err);
    }
    queue->dead_letter_known = is_known;
    qe_free(queue->address);
    queue->address = qe_strdup("listed");
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);

    assert_non_null(set);
    qe_directory_put(rig->options.directory, set);
    qe_queue_set_release(set);
}

/* The poller has listed queue `name`, which dead-letters there; NULL: into none. */
static void list_one(const struct rig *rig, const char *name, const char *dead_letter_queue)
{
    list_as(rig, name, dead_letter_queue, true);
}

static struct rig *begin(void)
{
    struct rig *rig = rig_new(1);
    struct qe_err err = {0};

    rig->options.directory = qe_directory_new(&err);
    assert_non_null(rig->options.directory);
    rig->options.retry_max_ms = 1; /* what lacks a dead-letter queue comes again at once */
    rig->fake->heeds_links = true;
    return rig;
}

static void end(struct rig *rig)
{
    struct qe_directory *directory = rig->options.directory;

    rig_destroy(rig);
    qe_directory_release(directory);
}

static bool is_in(const struct rig *rig, size_t message, const char *dead_letter_queue)
{
    return strcmp(qe_fake_message(rig->fake, message).dead_queue, dead_letter_queue) == 0;
}

static void a_dead_letter_queue_that_comes_later_or_is_another_is_used(void **state)
{
    struct rig *rig = begin();

    (void)state;
    list_one(rig, "orders", NULL);
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) >= 2);
    list_one(rig, "orders", "old-dlq");
    QE_WAIT_FOR(is_in(rig, 0, "old-dlq"));
    list_one(rig, "orders", "new-dlq");
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(is_in(rig, 1, "new-dlq"));
    list_one(rig, "orders", NULL);
    const uint64_t released = qe_counter_get(&rig->stats->released);

    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) > released);
    assert_false(qe_fake_message(rig->fake, 2).dead);
    end(rig);
}

/* It had waited for the message with the queue as it was. */
static void what_changed_during_a_long_poll_holds_for_what_that_brings(void **state)
{
    struct rig *rig = begin();
    struct qe_fake_event first;

    (void)state;
    list_one(rig, "orders", "old-dlq");
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_RECEIVE) == 1);
    list_one(rig, "orders", "new-dlq");
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 0).dead);
    assert_true(is_in(rig, 0, "new-dlq"));
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &first));
    assert_int_equal(first.verb, QE_SETTLE_DEAD_LETTER);
    end(rig);
}

/* Its policy could not be read this time. */
static void a_list_that_cannot_tell_leaves_what_was_known(void **state)
{
    struct rig *rig = begin();

    (void)state;
    list_one(rig, "orders", "dlq");
    rig_start(rig);
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(is_in(rig, 0, "dlq"));
    list_as(rig, "orders", NULL, false);
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(is_in(rig, 1, "dlq"));
    list_as(rig, "orders", "half-known-dlq", false);
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(is_in(rig, 2, "dlq"));
    list_one(rig, "orders", "new-dlq");
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(is_in(rig, 3, "new-dlq"));
    end(rig);
}

/* What is there again may be another of its name. */
static void nothing_is_kept_of_a_queue_that_was_gone(void **state)
{
    struct rig *rig = begin();

    (void)state;
    list_one(rig, "orders", "dlq");
    rig_start(rig);
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(is_in(rig, 0, "dlq"));
    list_one(rig, "another", NULL);
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 1).dead); /* it knows of that list */
    list_as(rig, "orders", "half-known-dlq", false);
    qe_fake_send(rig->fake, "reject", NULL);
    QE_WAIT_FOR(is_in(rig, 2, "half-known-dlq"));
    end(rig);
}

/* The links that configuration adds are for the page; its own letters a consumer sends itself. */
static void a_link_of_configuration_is_not_the_brokers(void **state)
{
    struct rig *rig = begin();
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    struct qe_queue *queue = qe_queue_list_add(&list, &err);

    (void)state;
    assert_non_null(queue);
    assert_ok(qe_queue_init(queue, "", "orders", QE_KIND_STANDARD, &err), err);
    assert_ok(qe_queue_add_consumer_link(queue, "", "own-dlq", &err), err);
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);

    assert_non_null(set);
    qe_directory_put(rig->options.directory, set);
    qe_queue_set_release(set);
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) >= 1);
    assert_false(qe_fake_message(rig->fake, 0).dead);
    end(rig);
}

/* --- who asks --- */

static struct qe_driver lists_elsewhere(void)
{
    struct qe_driver driver = qe_driver_fake;

    driver.lists_elsewhere = true;
    driver.find = NULL;
    return driver;
}

static void what_the_poller_lists_is_not_asked_for(void **state)
{
    struct rig *rig = begin();

    (void)state;
    list_one(rig, "orders", "dlq");
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(is_in(rig, 0, "dlq"));
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_LIST), 0);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_FIND), 0);
    end(rig);
}

/* Ten consumers of one source would list it ten times. */
static void the_first_list_elsewhere_is_waited_for(void **state)
{
    const struct qe_driver driver = lists_elsewhere();
    struct rig *rig = begin();

    (void)state;
    rig->options.driver = &driver;
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    qe_fake_pause_ms(100);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_CREATE), 0);
    list_one(rig, "orders", "dlq");
    QE_WAIT_FOR(is_in(rig, 0, "dlq"));
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_LIST), 0);
    end(rig);
}

static void a_list_that_fails_or_does_not_come_keeps_nobody_from_working(void **state)
{
    const struct qe_driver driver = lists_elsewhere();

    (void)state;
    for (int comes = 0; comes < 2; comes++) {
        struct rig *rig = begin();

        rig->options.driver = &driver;
        qe_fake_send(rig->fake, "quick", NULL);
        qe_fake_send(rig->fake, "reject", NULL);
        if (comes) {
            qe_directory_put(rig->options.directory, NULL);
        }
        rig_start(rig);
        QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
        QE_WAIT_FOR(qe_counter_get(&rig->stats->released) >= 1);
        assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_LIST), 0); /* it would fail as well */
        list_one(rig, "orders", "dlq");
        QE_WAIT_FOR(is_in(rig, 1, "dlq"));
        assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_LIST), 0);
        end(rig);
    }
}

/* Filtered out of watching, say. */
static void what_the_poller_does_not_list_is_asked_for_at_its_interval(void **state)
{
    const struct qe_driver driver = lists_elsewhere();
    struct rig *rig = begin();

    (void)state;
    rig->options.driver = &driver;
    rig->fake->queues[0].dead_letter_queue = NULL;
    qe_directory_set_interval(rig->options.directory, 50);
    list_one(rig, "another", NULL);
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_calls(rig->fake, QE_FAKE_LIST) >= 3);
    pthread_mutex_lock(&rig->fake->lock);
    rig->fake->queues[0].dead_letter_queue = "dlq";
    pthread_mutex_unlock(&rig->fake->lock);
    QE_WAIT_FOR(is_in(rig, 0, "dlq"));
    list_one(rig, "orders", "dlq"); /* now it is watched */
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    const unsigned lists = qe_fake_calls(rig->fake, QE_FAKE_LIST);

    qe_fake_send(rig->fake, "nap nap", NULL);
    qe_fake_pause_ms(150);
    qe_fake_send(rig->fake, "quick", NULL);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 3);
    assert_int_equal(qe_fake_calls(rig->fake, QE_FAKE_LIST), lists);
    end(rig);
}

static void a_list_that_hangs_is_asked_for_ever_less_often(void **state)
{
    static const struct {
        int64_t before_ms;
        int64_t took_ms;
        int64_t pause_ms;
        const char *why;
    } rows[] = {
        {0, 3000, 30000, "the first"},
        {30000, 3000, 60000, "twice as long"},
        {60000, 3000, 120000, "and again"},
        {1800000, 3000, 3600000, "an hour"},
        {3600000, 3000, 3600000, "and no longer"},
        {1900000, 3000, 3600000, "nor past it"},
        {120000, 5, 30000, "refused at once: that costs nothing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int64_t pause = qe_handle_list_pause_ms(rows[i].before_ms, rows[i].took_ms);

        if (pause != rows[i].pause_ms) {
            fail_msg("%s: %lld", rows[i].why, (long long)pause);
        }
    }
}

/* --- the address --- */

static char s_settled_at[32];

static int find_elsewhere(void *self, const char *name, int64_t deadline_mono_ms,
                          struct qe_queue *out, struct qe_err *err)
{
    (void)self;
    (void)deadline_mono_ms;
    assert_ok(qe_queue_init(out, "", name, QE_KIND_STANDARD, err), *err);
    qe_free(out->address);
    out->address = qe_strdup("found");
    return 0;
}

static int settle_where(void *self, const struct qe_queue *queue, struct qe_settlement *settlements,
                        size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    (void)snprintf(s_settled_at, sizeof s_settled_at, "%s", queue->address);
    return qe_driver_fake.settle(self, queue, settlements, count, deadline_mono_ms, err);
}

/* What a driver has of the queue is kept by its address: held messages, groups in hand. */
static void an_address_that_works_stays(void **state)
{
    struct rig *rig = begin();
    struct qe_driver driver = qe_driver_fake;

    (void)state;
    driver.find = find_elsewhere;
    driver.settle = settle_where;
    rig->options.driver = &driver;
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) >= 1);
    list_one(rig, "orders", "dlq");
    QE_WAIT_FOR(is_in(rig, 0, "dlq"));
    qe_consumer_destroy(rig->consumer); /* what its thread wrote can be read */
    rig->consumer = NULL;
    assert_string_equal(s_settled_at, "found");
    end(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_letter_queue_that_comes_later_or_is_another_is_used),
        cmocka_unit_test(what_changed_during_a_long_poll_holds_for_what_that_brings),
        cmocka_unit_test(a_list_that_cannot_tell_leaves_what_was_known),
        cmocka_unit_test(nothing_is_kept_of_a_queue_that_was_gone),
        cmocka_unit_test(a_link_of_configuration_is_not_the_brokers),
        cmocka_unit_test(what_the_poller_lists_is_not_asked_for),
        cmocka_unit_test(the_first_list_elsewhere_is_waited_for),
        cmocka_unit_test(a_list_that_fails_or_does_not_come_keeps_nobody_from_working),
        cmocka_unit_test(what_the_poller_does_not_list_is_asked_for_at_its_interval),
        cmocka_unit_test(a_list_that_hangs_is_asked_for_ever_less_often),
        cmocka_unit_test(an_address_that_works_stays),
    };

    qe_log_setup(QE_LOG_ERROR, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
