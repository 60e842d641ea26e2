/* Messages that fail and are tried again later wait as delayed ones, beside those that their sender
 * delayed. What a queue of such messages tells, second by second. */
#include <stdlib.h>

#include "unit/model/fixture_backlog.h"

#define MESSAGES_MAX 2000
#define FOREVER 1000000000

/* One queue with one consumer. */
struct queue {
    int visible_at[MESSAGES_MAX]; /* in seconds; -1: settled */
    int count;
    int now;
    int tries_per_second;
    int fails_percent; /* of the tries, in turn */
    int backoff_seconds;
    int tries;
    double delivered, acknowledged;
};

static void send(struct queue *queue, int count, int visible_at)
{
    for (int i = 0; i < count; i++) {
        assert_true(queue->count < MESSAGES_MAX);
        queue->visible_at[queue->count++] = visible_at;
    }
}

static void one_second(struct queue *queue)
{
    int left = queue->tries_per_second;

    for (int i = 0; i < queue->count && left > 0; i++) {
        if (queue->visible_at[i] < 0 || queue->visible_at[i] > queue->now) {
            continue;
        }
        const bool fails = queue->tries++ % 100 < queue->fails_percent;

        queue->delivered++;
        queue->acknowledged += fails ? 0 : 1;
        queue->visible_at[i] = fails ? queue->now + queue->backoff_seconds : -1;
        left--;
    }
    queue->now++;
}

static double count_of(const struct queue *queue, bool delayed)
{
    double count = 0;

    for (int i = 0; i < queue->count; i++) {
        count += queue->visible_at[i] >= 0 && (queue->visible_at[i] > queue->now) == delayed;
    }
    return count;
}

static enum qe_backlog_state read_queue(const struct queue *queue, struct watch *watch)
{
    struct qe_sample sample = {0};

    qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, count_of(queue, false));
    qe_sample_set(&sample, QE_FIELD_IN_FLIGHT_MESSAGES, 0);
    qe_sample_set(&sample, QE_FIELD_DELAYED_MESSAGES, count_of(queue, true));
    qe_sample_set(&sample, QE_FIELD_CONSUMERS, 1);
    qe_sample_set(&sample, QE_FIELD_DELIVERED_TOTAL, queue->delivered);
    qe_sample_set(&sample, QE_FIELD_ACKNOWLEDGED_TOTAL, queue->acknowledged);
    return read_sample(watch, &sample, (uint64_t)queue->acknowledged);
}

/* Goes on for so long, and counts in `seen` what each reading finds. */
static void watch_for(struct queue *queue, struct watch *watch, int seconds,
                      int seen[QE_BACKLOG_STATE_COUNT])
{
    memset(seen, 0, QE_BACKLOG_STATE_COUNT * sizeof seen[0]);
    for (int end = queue->now + seconds; queue->now < end;) {
        double drain = 0;

        seen[read_queue(queue, watch)]++;
        assert_int_equal(qe_backlog_drain_seconds(&watch->backlog, &drain),
                         watch->backlog.state == QE_BACKLOG_DRAINING);
        for (int i = 0; i < STEP_MS / 1000; i++) {
            one_second(queue);
        }
    }
}

/* A window, and one reading, in which nothing is known. */
static void watch_first_window(struct queue *queue, struct watch *watch)
{
    int seen[QE_BACKLOG_STATE_COUNT];

    watch_for(queue, watch, WINDOW_MS / 1000, seen);
    assert_int_equal(seen[QE_BACKLOG_UNKNOWN], WINDOW_MS / STEP_MS);
}

static void expect_only(struct queue *queue, struct watch *watch, int seconds,
                        enum qe_backlog_state expected)
{
    int seen[QE_BACKLOG_STATE_COUNT];

    watch_for(queue, watch, seconds, seen);
    for (int i = 0; i < QE_BACKLOG_STATE_COUNT; i++) {
        if (seen[i] > 0 && i != (int)expected) {
            fail_msg("%d readings find %s, not %s", seen[i],
                     qe_backlog_state_name((enum qe_backlog_state)i),
                     qe_backlog_state_name(expected));
        }
    }
}

static void what_fails_and_comes_again_is_stalled(void **state)
{
    static const struct {
        int messages, tries_per_second, backoff_seconds;
    } cases[] = {
        {5, 20, 20},        {5, 20, 2},   /* a few that are nearly always delayed */
        {300, 20, 60},      {300, 1, 60}, /* more than there is time to try, or fewer */
        {300, 1, 400},                    /* they go over from ready to delayed, one by one */
        {300, 20, FOREVER}, {1, 1, 900},  /* longer than a window */
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct queue queue = {.tries_per_second = cases[i].tries_per_second,
                              .fails_percent = 100,
                              .backoff_seconds = cases[i].backoff_seconds};
        struct watch watch = {0};

        print_message("case %zu\n", i);
        send(&queue, cases[i].messages, 0);
        watch_first_window(&queue, &watch);
        expect_only(&queue, &watch, 3600, QE_BACKLOG_STALLED);
    }
}

/* As after a restart of the exporter: it has not seen them given back. */
static void what_failed_before_anybody_looked_is_stalled_once_it_is_tried(void **state)
{
    struct queue queue = {.tries_per_second = 20, .fails_percent = 100, .backoff_seconds = 50};
    struct watch watch = {0};
    int seen[QE_BACKLOG_STATE_COUNT];

    (void)state;
    for (int i = 0; i < 5; i++) {
        send(&queue, 1, 10 * i + 3); /* no reading finds one of them ready */
    }
    watch_first_window(&queue, &watch);
    watch_for(&queue, &watch, 60, seen);
    expect_only(&queue, &watch, 3600, QE_BACKLOG_STALLED);
}

static void what_its_sender_delayed_is_never_stalled(void **state)
{
    struct queue queue = {.tries_per_second = 20};
    struct watch watch = {0};
    int seen[QE_BACKLOG_STATE_COUNT];

    (void)state;
    send(&queue, 100, 7200);
    watch_first_window(&queue, &watch);
    expect_only(&queue, &watch, 1200, QE_BACKLOG_IDLE);
    for (int i = 0; i < 60; i++) { /* more of them, and others that are settled at once */
        send(&queue, 5, 7200 + 60 * i);
        send(&queue, 10, 0);
        watch_for(&queue, &watch, 30, seen);
        assert_int_equal(seen[QE_BACKLOG_STALLED], 0);
    }
    watch_for(&queue, &watch, 600, seen);
    assert_int_equal(seen[QE_BACKLOG_STALLED], 0);
    expect_only(&queue, &watch, 1200, QE_BACKLOG_IDLE);
}

/* What failed once is settled, what its sender delayed is still there. */
static void a_failure_that_is_over_leaves_no_stall_behind(void **state)
{
    struct queue queue = {.tries_per_second = 20, .fails_percent = 100, .backoff_seconds = 60};
    struct watch watch = {0};
    int seen[QE_BACKLOG_STATE_COUNT];

    (void)state;
    send(&queue, 100, 7200);
    send(&queue, 50, 0);
    watch_first_window(&queue, &watch);
    expect_only(&queue, &watch, 300, QE_BACKLOG_STALLED);
    queue.fails_percent = 0;
    watch_for(&queue, &watch, 600, seen);
    expect_only(&queue, &watch, 3000, QE_BACKLOG_IDLE);
}

/* A consumer dies: what it held is ready again, and not delayed. */
static void what_comes_back_at_once_makes_no_stall_of_what_its_sender_delayed(void **state)
{
    struct queue queue = {.tries_per_second = 20, .fails_percent = 100};
    struct watch watch = {0};
    int seen[QE_BACKLOG_STATE_COUNT];

    (void)state;
    send(&queue, 100, 7200);
    watch_first_window(&queue, &watch);
    send(&queue, 20, 0);
    watch_for(&queue, &watch, 60, seen);
    assert_int_equal(seen[QE_BACKLOG_STALLED], 0);
    queue.fails_percent = 0;
    watch_for(&queue, &watch, 900, seen);
    assert_int_equal(seen[QE_BACKLOG_STALLED], 0);
    expect_only(&queue, &watch, 1800, QE_BACKLOG_IDLE);
}

static void a_handler_that_breaks_drains_nothing_and_one_that_is_mended_does(void **state)
{
    struct queue queue = {.tries_per_second = 1, .backoff_seconds = 2000};
    struct watch watch = {0};
    int seen[QE_BACKLOG_STATE_COUNT];

    (void)state;
    send(&queue, 1900, 0);
    watch_first_window(&queue, &watch);
    expect_only(&queue, &watch, 300, QE_BACKLOG_DRAINING);
    queue.fails_percent = 100;
    watch_for(&queue, &watch, 330, seen); /* a window, and found twice */
    expect_only(&queue, &watch, 600, QE_BACKLOG_STALLED);
    queue.fails_percent = 0;
    watch_for(&queue, &watch, 330, seen);
    expect_only(&queue, &watch, 300, QE_BACKLOG_DRAINING);
}

static void a_part_that_fails_is_still_a_drain(void **state)
{
    struct queue queue = {.tries_per_second = 2, .fails_percent = 30, .backoff_seconds = 60};
    struct watch watch = {0};

    (void)state;
    send(&queue, 1900, 0);
    watch_first_window(&queue, &watch);
    expect_only(&queue, &watch, 600, QE_BACKLOG_DRAINING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fails_and_comes_again_is_stalled),
        cmocka_unit_test(what_failed_before_anybody_looked_is_stalled_once_it_is_tried),
        cmocka_unit_test(what_its_sender_delayed_is_never_stalled),
        cmocka_unit_test(a_failure_that_is_over_leaves_no_stall_behind),
        cmocka_unit_test(what_comes_back_at_once_makes_no_stall_of_what_its_sender_delayed),
        cmocka_unit_test(a_handler_that_breaks_drains_nothing_and_one_that_is_mended_does),
        cmocka_unit_test(a_part_that_fails_is_still_a_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
