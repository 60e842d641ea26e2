/* How often queues are read: for hours, in no time. */
#include "backend/sqs/cadence.h"
#include "support/check.h"

#define MINUTE INT64_C(60000)
#define POLL_MS INT64_C(30000)

static const struct qe_cadence_reading s_empty = {.is_busy = false, .fingerprint = 1};
static const struct qe_cadence_reading s_busy = {.is_busy = true, .fingerprint = 1};

static struct qe_cadence_rules rules(void)
{
    return (struct qe_cadence_rules){.adaptive = true,
                                     .max_interval_ms = 2 * MINUTE,
                                     .poll_interval_ms = POLL_MS,
                                     .quiet_floor = 1,
                                     .busy_floor = 1};
}

static struct qe_cadence_now at(uint64_t poll)
{
    const struct qe_cadence_now now = {.mono_ms = 1000 + (int64_t)poll * POLL_MS, .poll = poll};

    return now;
}

/* Polls from `from` up to `to` with one reading; returns how many of them read. */
static unsigned run(struct qe_cadence *cadence, const struct qe_cadence_rules *use, uint64_t from,
                    uint64_t to, struct qe_cadence_reading reading)
{
    unsigned reads = 0;

    for (uint64_t poll = from; poll < to; poll++) {
        if (qe_cadence_is_due(cadence, use, at(poll))) {
            (void)qe_cadence_read(cadence, use, at(poll), reading, 7);
            reads++;
        }
    }
    return reads;
}

static void a_queue_with_messages_is_read_by_every_poll(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence cadence = {0};

    (void)state;
    assert_int_equal(run(&cadence, &use, 0, 1000, s_busy), 1000);
}

static void an_empty_queue_is_read_less_and_less_often(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence cadence = {0};

    (void)state;
    use.max_interval_ms = 20 * MINUTE;
    assert_int_equal(run(&cadence, &use, 0, 20, s_empty), 20); /* ten minutes: not quiet yet */
    assert_true(run(&cadence, &use, 20, 100, s_empty) < 20);
    const uint32_t longest = qe_cadence_longest(&use);
    assert_int_equal(longest, 39);
    assert_int_equal(cadence.period, longest);
    (void)run(&cadence, &use, 100, 1000, s_empty);
    assert_int_equal(run(&cadence, &use, 1000, 1000 + 10 * longest, s_empty), 10);
}

static void any_change_brings_every_poll_back(void **state)
{
    static const struct {
        const char *why;
        struct qe_cadence_reading reading;
    } rows[] = {
        {"a message came", {.is_busy = true, .fingerprint = 1}},
        {"still empty, but its settings are others", {.is_busy = false, .fingerprint = 2}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_cadence_rules use = rules();
        struct qe_cadence cadence = {0};

        (void)run(&cadence, &use, 0, 100, s_empty);
        assert_true(cadence.period > 1);
        const uint64_t due = cadence.next_poll;
        assert_int_equal(run(&cadence, &use, 100, due + 1, rows[i].reading), 1);
        assert_int_equal(cadence.period, 1);
        print_message("%s: period 1\n", rows[i].why);
    }
}

/* Over 500 polls that are moved by a tenth either way, at their worst. */
static int64_t longest_wait_ms(const struct qe_cadence_rules *use, uint32_t spread)
{
    struct qe_cadence cadence = {0};
    int64_t last_ms = 1;
    int64_t longest_ms = 0;

    for (uint64_t poll = 0; poll < 500; poll++) {
        const int64_t tenths = (int64_t)poll * 10 + (poll % 2 == 0 ? -1 : 1);
        const struct qe_cadence_now now = {
            .mono_ms = 1 + use->poll_interval_ms * (10 + tenths) / 10, .poll = poll};

        if (qe_cadence_is_due(&cadence, use, now)) {
            const int64_t waited_ms = poll == 0 ? 0 : now.mono_ms - last_ms;

            (void)qe_cadence_read(&cadence, use, now, s_empty, spread);
            longest_ms = waited_ms > longest_ms ? waited_ms : longest_ms;
            last_ms = now.mono_ms;
        }
    }
    return longest_ms;
}

static void no_queue_waits_longer_than_the_maximum(void **state)
{
    static const struct {
        int64_t poll_ms;
        int64_t max_ms;
    } rows[] = {{30000, 120000}, {15000, 120000}, {1000, 120000}, {7000, 20000},
                {100, 2000},     {30000, 30000},  {60000, 10000}, {30000, 3600000}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_cadence_rules use = rules();

        use.poll_interval_ms = rows[i].poll_ms;
        use.max_interval_ms = rows[i].max_ms;
        use.quiet_floor = 1000000; /* the budget may ask for whatever it likes */
        for (uint32_t spread = 0; spread < 50; spread++) {
            const int64_t longest_ms = longest_wait_ms(&use, spread);

            if (rows[i].max_ms >= 2 * rows[i].poll_ms) {
                assert_true(longest_ms <= rows[i].max_ms);
            }
        }
    }
}

static void polls_that_come_more_slowly_keep_the_maximum_too(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence cadence = {0};
    struct qe_cadence_now now = at(200);

    (void)state;
    (void)run(&cadence, &use, 0, 200, s_empty);
    assert_true(cadence.next_poll > 200);
    use.poll_interval_ms = 2 * MINUTE; /* the source has become slow */
    now.mono_ms = cadence.read_mono_ms + MINUTE;
    now.poll = cadence.next_poll - 1;
    assert_true(qe_cadence_is_due(&cadence, &use, now));
}

static void reads_of_many_queues_do_not_bunch(void **state)
{
    enum {
        QUEUES = 3000,
        POLLS = 60
    };
    static struct qe_cadence queues[QUEUES];
    struct qe_cadence_rules use = rules();
    unsigned reads[POLLS] = {0};

    (void)state;
    for (uint64_t poll = 0; poll < POLLS; poll++) {
        for (uint32_t i = 0; i < QUEUES; i++) {
            if (qe_cadence_is_due(&queues[i], &use, at(poll))) {
                (void)qe_cadence_read(&queues[i], &use, at(poll), s_empty, i * 2654435761u);
                reads[poll]++;
            }
        }
    }
    const unsigned period = qe_cadence_longest(&use);
    assert_int_equal(period, 3);
    for (size_t poll = 30; poll < POLLS; poll++) {
        assert_in_range(reads[poll], QUEUES / period * 9 / 10, QUEUES / period * 11 / 10);
    }
}

static void the_budget_slows_busy_queues_only_by_their_own_floor(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence busy = {0};
    struct qe_cadence quiet = {0};

    (void)state;
    use.quiet_floor = 3;
    assert_int_equal(run(&busy, &use, 0, 300, s_busy), 300);
    assert_in_range(run(&quiet, &use, 0, 300, s_empty), 100, 101);
    use.busy_floor = 2;
    assert_in_range(run(&busy, &use, 300, 600, s_busy), 149, 151);
}

static void without_adaptive_every_poll_reads_everything(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence cadence = {0};

    (void)state;
    use.adaptive = false;
    assert_int_equal(run(&cadence, &use, 0, 500, s_empty), 500);
}

static void a_failed_reading_is_tried_by_the_next_poll(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence cadence = {0};

    (void)state;
    (void)run(&cadence, &use, 0, 200, s_empty);
    assert_false(qe_cadence_is_due(&cadence, &use, at(cadence.next_poll - 1)));
    qe_cadence_failed(&cadence);
    assert_true(qe_cadence_is_due(&cadence, &use, at(cadence.next_poll - 1)));
}

static void the_wait_says_how_long_the_sample_must_last(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence cadence = {0};

    (void)state;
    assert_int_equal(qe_cadence_read(&cadence, &use, at(0), s_busy, 7), 0);
    for (uint64_t poll = 1; poll < 100; poll++) {
        if (qe_cadence_is_due(&cadence, &use, at(poll))) {
            int64_t extra = qe_cadence_read(&cadence, &use, at(poll), s_empty, 7);

            assert_int_equal(extra, (int64_t)(cadence.next_poll - poll - 1) * POLL_MS);
        }
    }
    assert_int_equal(cadence.period, 3);
}

static void before_the_interval_is_known_every_poll_reads(void **state)
{
    struct qe_cadence_rules use = rules();
    struct qe_cadence cadence = {0};

    (void)state;
    use.poll_interval_ms = 0;
    assert_int_equal(qe_cadence_longest(&use), 1);
    assert_int_equal(run(&cadence, &use, 0, 10, s_empty), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_with_messages_is_read_by_every_poll),
        cmocka_unit_test(an_empty_queue_is_read_less_and_less_often),
        cmocka_unit_test(any_change_brings_every_poll_back),
        cmocka_unit_test(no_queue_waits_longer_than_the_maximum),
        cmocka_unit_test(polls_that_come_more_slowly_keep_the_maximum_too),
        cmocka_unit_test(reads_of_many_queues_do_not_bunch),
        cmocka_unit_test(the_budget_slows_busy_queues_only_by_their_own_floor),
        cmocka_unit_test(without_adaptive_every_poll_reads_everything),
        cmocka_unit_test(a_failed_reading_is_tried_by_the_next_poll),
        cmocka_unit_test(the_wait_says_how_long_the_sample_must_last),
        cmocka_unit_test(before_the_interval_is_known_every_poll_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
