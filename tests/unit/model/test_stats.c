#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "model/stats.h"
#include "support/check.h"

static const char *const s_operations[] = {"send", "receive"};
static const char *const s_other_operations[] = {"list"};
static const char *const s_services[] = {"queues", "ages", NULL};
static const struct qe_api_names s_names = {s_operations, 2, s_services};
static const struct qe_api_names s_other_names = {s_other_operations, 1, NULL};

static struct qe_stats *make(void)
{
    struct qe_err err = {0};
    struct qe_stats *stats = qe_stats_new(&err);

    assert_ok(stats == NULL ? -1 : 0, err);
    return stats;
}

static struct qe_consumer_stats *consumer(struct qe_stats *stats, const char *source,
                                          const char *vhost, const char *queue)
{
    struct qe_err err = {0};
    struct qe_consumer_stats *found = qe_stats_consumer(stats, source, vhost, queue, &err);

    assert_ok(found == NULL ? -1 : 0, err);
    return found;
}

static void consumers_are_found_again_and_stand_in_order(void **state)
{
    (void)state;
    struct qe_stats *stats = make();
    struct qe_consumer_stats *b = consumer(stats, "b", NULL, "q");

    assert_ptr_equal(consumer(stats, "b", "", "q"), b);
    (void)consumer(stats, "b", "v", "a");
    (void)consumer(stats, "a", "v", "q");
    (void)consumer(stats, "b", "", "p");
    (void)consumer(stats, "c", "", "q");
    assert_ptr_equal(consumer(stats, "b", NULL, "q"), b);
    static const char *const order[] = {"a v q", "b  p", "b  q", "b v a", "c  q"};
    size_t i = 0;

    for (const struct qe_consumer_stats *at = qe_stats_first_consumer(stats); at != NULL;
         at = at->next) {
        char text[16];

        (void)snprintf(text, sizeof text, "%s %s %s", at->source, at->vhost, at->queue);
        assert_string_equal(text, order[i]);
        assert_false(at->active);
        i++;
    }
    assert_int_equal(i, 5);
    qe_stats_destroy(stats);
    qe_stats_destroy(NULL);
}

static void a_source_with_another_driver_counts_apart(void **state)
{
    (void)state;
    struct qe_stats *stats = make();
    struct qe_err err = {0};
    struct qe_api_stats *first = qe_stats_api(stats, "s", &s_names, &err);
    struct qe_api_stats *other = qe_stats_api(stats, "s", &s_other_names, &err);

    assert_non_null(first);
    assert_non_null(other);
    assert_ptr_not_equal(first, other);
    assert_ptr_equal(qe_stats_api(stats, "s", &s_names, &err), first);
    assert_ptr_equal(qe_stats_api(stats, "s", &s_other_names, &err), other);
    assert_non_null(qe_stats_api(stats, "a", &s_names, &err));
    assert_string_equal(qe_stats_first_api(stats)->source, "a");
    static const char *const many[QE_API_SERVICES_MAX + 2] = {"a", "b", "c", "d", "e", NULL};
    const struct qe_api_names operations = {s_operations, QE_API_OPERATIONS_MAX + 1, NULL};
    const struct qe_api_names services = {s_operations, 2, many};

    assert_null(qe_stats_api(stats, "s", &operations, &err));
    assert_int_equal(err.code, QE_ERR_LIMIT);
    err = (struct qe_err){0};
    assert_null(qe_stats_api(stats, "s", &services, &err));
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_stats_destroy(stats);
}

static void what_is_billed_adds_up_to_the_nanodollar(void **state)
{
    (void)state;
    struct qe_stats *stats = make();
    struct qe_err err = {0};
    struct qe_api_stats *api = qe_stats_api(stats, "s", &s_names, &err);
    struct qe_api_stats *free_of_charge = qe_stats_api(stats, "free", &s_other_names, &err);

    assert_int_equal(api->services_count, 2);
    assert_int_equal(free_of_charge->services_count, 0);
    for (size_t i = 0; i < 1000000; i++) {
        qe_api_stats_bill(api, 0, 1, 0.40 / 1e6);
    }
    qe_api_stats_bill(api, 1, 500, 500 * 0.01 / 1000);
    assert_int_equal(qe_counter_get(&api->billable_requests[0]), 1000000);
    assert_int_equal(qe_counter_get(&api->cost_nanodollars[0]), 400000000);
    assert_int_equal(qe_counter_get(&api->billable_requests[1]), 500);
    assert_int_equal(qe_counter_get(&api->cost_nanodollars[1]), 5000000);
    /* What is no price, no service, or nobody's, changes nothing. */
    qe_api_stats_bill(api, 0, -1, -1);
    qe_api_stats_bill(api, 0, 1e300, 1e300);
    qe_api_stats_bill(api, 0, (double)NAN, (double)NAN);
    qe_api_stats_bill(api, 2, 1, 1);
    qe_api_stats_bill(free_of_charge, 0, 1, 1);
    qe_api_stats_bill(NULL, 0, 1, 1);
    assert_int_equal(qe_counter_get(&api->billable_requests[0]), 1000000);
    assert_int_equal(qe_counter_get(&api->cost_nanodollars[0]), 400000000);
    qe_stats_destroy(stats);
}

static void nothing_is_stretched_at_first(void **state)
{
    (void)state;
    struct qe_stats *stats = make();
    struct qe_err err = {0};
    struct qe_api_stats *api = qe_stats_api(stats, "s", &s_names, &err);

    for (size_t i = 0; i < QE_API_SERVICES_MAX; i++) {
        assert_int_equal(atomic_load(&api->interval_stretch_permille[i]), 1000);
    }
    assert_int_equal(atomic_load(&api->monthly_budget_microdollars), 0);
    qe_stats_destroy(stats);
}

/* What a consumer has told, and the age that follows from it at the 1000th second. */
static void the_age_a_consumer_saw_is_bounded_from_below(void **state)
{
    static const struct {
        int64_t in_hand_ms, received_at_ms, received_ms, skew_ms;
        double age;
        const char *why;
    } rows[] = {
        {0, 0, 0, 0, -1, "nothing seen yet"},
        {0, 995000, 0, 0, -1, "an empty receive says nothing of the oldest message"},
        {400000, 0, 0, 0, 600, "what is in hand ages until it is settled"},
        {400000, 995000, 0, 0, 600, "in hand, and nothing else is ready"},
        {0, 995000, 900000, 0, 95, "settled meanwhile: it was that old when it came"},
        {999000, 995000, 900000, 0, 95, "the older of both"},
        {800000, 995000, 900000, 0, 200, "the older of both"},
        {0, 970000, 900000, 0, 70, "a receive just within the interval"},
        {0, 969999, 900000, 0, -1, "a receive before the interval is history"},
        {999000, 969999, 900000, 0, 1, "what is in hand is known all the same"},
        {1000500, 0, 0, 0, 0, "from the future: not negative"},
        {1000500, 0, 0, 10000, 9.5, "the broker's clock is ahead of ours"},
        {0, 995000, 996000, 10000, 9, "the same for a receive"},
        {900000, 0, 0, -10000, 90, "the broker's clock is behind ours"},
    };

    (void)state;
    struct qe_stats *stats = make();
    struct qe_consumer_stats *seen = consumer(stats, "s", "", "q");

    atomic_store(&seen->active, true);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        atomic_store(&seen->oldest_in_hand_sent_unix_ms, rows[i].in_hand_ms);
        atomic_store(&seen->last_receive_unix_ms, rows[i].received_at_ms);
        atomic_store(&seen->last_receive_oldest_sent_unix_ms, rows[i].received_ms);
        double age = qe_consumer_stats_observed_age(seen, 1000000, rows[i].skew_ms, 30000);

        if (age < rows[i].age || age > rows[i].age) {
            fail_msg("%s: %g", rows[i].why, age);
        }
    }
    atomic_store(&seen->active, false);
    assert_true(qe_consumer_stats_observed_age(seen, 1000000, 0, 30000) < 0);
    qe_stats_destroy(stats);
}

static void a_cancelled_request_is_no_failure(void **state)
{
    (void)state;
    struct qe_stats *stats = make();
    struct qe_err err = {0};
    struct qe_api_stats *api = qe_stats_api(stats, "s", &s_names, &err);

    qe_api_stats_count(api, 1, QE_OK, 0.5);
    qe_api_stats_count(api, 1, QE_ERR_CANCELLED, 0.5);
    qe_api_stats_count(api, 1, QE_ERR_TIMEOUT, 0.5);
    qe_api_stats_count(api, 2, QE_OK, 0.5); /* no such operation */
    qe_api_stats_count(NULL, 0, QE_OK, 0.5);
    assert_int_equal(qe_counter_get(&api->requests[0]), 0);
    assert_int_equal(qe_counter_get(&api->requests[1]), 3);
    for (unsigned code = 0; code < QE_ERR_COUNT; code++) {
        assert_int_equal(qe_counter_get(&api->failures[1][code]), code == QE_ERR_TIMEOUT ? 1 : 0);
    }
    assert_int_equal(qe_histogram_count(&api->duration_seconds[1]), 3);
    qe_stats_destroy(stats);
}

static void http_requests_are_counted_by_known_code(void **state)
{
    (void)state;
    struct qe_stats *stats = make();
    struct qe_process_stats *process = qe_stats_process(stats);

    for (size_t i = 0; i < QE_HTTP_CODES_COUNT; i++) {
        assert_true(i == 0 || qe_http_codes[i] > qe_http_codes[i - 1]);
        qe_process_stats_count_http(process, QE_HTTP_READY, qe_http_codes[i]);
    }
    qe_process_stats_count_http(process, QE_HTTP_READY, 299);
    for (size_t i = 0; i < QE_HTTP_CODES_COUNT; i++) {
        assert_int_equal(qe_counter_get(&process->http_requests[QE_HTTP_READY][i]), 1);
        assert_int_equal(qe_counter_get(&process->http_requests[QE_HTTP_METRICS][i]), 0);
    }
    qe_stats_destroy(stats);
}

static void every_label_value_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 1; i < QE_FAIL_COUNT; i++) {
        assert_string_not_equal(qe_fail_reason_name((enum qe_fail_reason)i),
                                qe_fail_reason_name((enum qe_fail_reason)(i - 1)));
    }
    assert_string_equal(qe_outcome_name(QE_OUTCOME_SUCCESS), "success");
    assert_string_equal(qe_outcome_name(QE_OUTCOME_REJECT), "reject");
    assert_string_equal(qe_http_handler_name(QE_HTTP_METRICS), "metrics");
    assert_string_equal(qe_http_handler_name(QE_HTTP_OTHER), "other");
}

/* Several threads add and count while one reads: what TSan is for. */
#define WRITERS 3
#define QUEUES 40

static void *write_stats(void *context)
{
    for (int i = 0; i < QUEUES; i++) {
        char name[16];

        /* From both ends, so that entries come before and behind what the reader is at. */
        (void)snprintf(name, sizeof name, "q%02d", i % 2 == 0 ? i : QUEUES - i);
        struct qe_consumer_stats *mine = consumer(context, "s", "", name);

        atomic_store(&mine->active, true);
        qe_counter_add(&mine->received, 1);
        qe_histogram_observe(&mine->wait_seconds, 0.5);
    }
    return NULL;
}

static void a_reader_sees_a_sorted_list_at_any_time(void **state)
{
    (void)state;
    struct qe_stats *stats = make();
    pthread_t threads[WRITERS];
    uint64_t received = 0;

    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_stats, stats), 0);
    }
    for (int round = 0; round < 200; round++) {
        const struct qe_consumer_stats *before = NULL;

        for (const struct qe_consumer_stats *at = qe_stats_first_consumer(stats); at != NULL;
             at = at->next) {
            assert_true(before == NULL || strcmp(before->queue, at->queue) < 0);
            assert_ptr_equal(at->wait_seconds.layout, &qe_histogram_waits);
            before = at;
        }
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (const struct qe_consumer_stats *at = qe_stats_first_consumer(stats); at != NULL;
         at = at->next) {
        received += qe_counter_get(&at->received);
    }
    assert_int_equal(received, WRITERS * QUEUES);
    qe_stats_destroy(stats);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_stats *stats = qe_stats_new(err);
    int rc = stats == NULL ? -1 : 0;

    (void)context;
    if (rc == 0 && qe_stats_consumer(stats, "s", "v", "q", err) == NULL) {
        rc = -1;
    }
    if (rc == 0 && qe_stats_api(stats, "s", &s_names, err) == NULL) {
        rc = -1;
    }
    qe_stats_destroy(stats);
    return rc;
}

static void reasons_are_added_once_and_kept(void **state)
{
    static const char *const first[] = {"bad_address", "downstream"};
    static const char *const second[] = {"downstream", "late"};
    struct qe_err err = {0};
    char word[16];

    (void)state;
    struct qe_stats *stats = make();
    struct qe_consumer_stats *orders = consumer(stats, "a", "", "orders");

    assert_null(qe_consumer_stats_reason(orders, "downstream"));
    assert_ok(qe_stats_add_reasons(orders, first, 2, &err), err);
    struct qe_reason_stats *downstream = qe_consumer_stats_reason(orders, "downstream");
    assert_non_null(downstream);
    qe_counter_add(&downstream->failed, 3);
    assert_ok(qe_stats_add_reasons(orders, second, 2, &err), err);
    assert_ptr_equal(qe_consumer_stats_reason(orders, "downstream"), downstream);
    assert_int_equal(qe_counter_get(&downstream->failed), 3);
    assert_non_null(qe_consumer_stats_reason(orders, "bad_address")); /* nothing counted is lost */
    assert_non_null(qe_consumer_stats_reason(orders, "late"));
    assert_null(qe_consumer_stats_reason(orders, "lat"));
    assert_null(qe_consumer_stats_reason(orders, NULL));
    for (int i = 3; i < QE_REASONS_MAX; i++) {
        const char *const names[] = {word};

        (void)snprintf(word, sizeof word, "r%d", i);
        assert_ok(qe_stats_add_reasons(orders, names, 1, &err), err);
    }
    assert_int_equal(qe_stats_add_reasons(orders, (const char *const[]){"more"}, 1, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_stats_destroy(stats);
}

static int add_reasons(void *context, struct qe_err *err)
{
    static const char *const names[] = {"bad_address", "downstream"};
    struct qe_stats *stats = qe_stats_new(err);
    struct qe_consumer_stats *orders =
        stats == NULL ? NULL : qe_stats_consumer(stats, "a", "", "orders", err);
    int rc = orders == NULL ? -1 : qe_stats_add_reasons(orders, names, 2, err);

    (void)context;
    qe_stats_destroy(stats);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
    qe_check_torture(add_reasons, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consumers_are_found_again_and_stand_in_order),
        cmocka_unit_test(a_source_with_another_driver_counts_apart),
        cmocka_unit_test(what_is_billed_adds_up_to_the_nanodollar),
        cmocka_unit_test(nothing_is_stretched_at_first),
        cmocka_unit_test(the_age_a_consumer_saw_is_bounded_from_below),
        cmocka_unit_test(a_cancelled_request_is_no_failure),
        cmocka_unit_test(http_requests_are_counted_by_known_code),
        cmocka_unit_test(every_label_value_has_a_name_of_its_own),
        cmocka_unit_test(a_reader_sees_a_sorted_list_at_any_time),
        cmocka_unit_test(reasons_are_added_once_and_kept),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
