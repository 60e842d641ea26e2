#include <stdio.h>

#include "fixture.h"
#include "metrics/catalogue.h"
#include "metrics/live_internal.h"
#include "util/log.h"

static const char *const s_operations[] = {"list", "stats"};
static const char *const s_services[] = {"queues", "ages", NULL};
static const struct qe_api_names s_names = {s_operations, 2, s_services};

static struct qe_consumer_stats *add_consumer(struct qe_stats *stats, const char *vhost,
                                              const char *queue)
{
    struct qe_err err = {0};
    struct qe_consumer_stats *consumer = qe_stats_consumer(stats, "shop", vhost, queue, &err);

    assert_non_null(consumer);
    atomic_store(&consumer->active, true);
    return consumer;
}

static struct qe_api_stats *add_api(struct qe_stats *stats, const char *source)
{
    struct qe_err err = {0};
    struct qe_api_stats *api = qe_stats_api(stats, source, &s_names, &err);

    assert_non_null(api);
    atomic_store(&api->active, true);
    return api;
}

static struct qe_stats *new_stats(void)
{
    struct qe_err err = {0};
    struct qe_stats *stats = qe_stats_new(&err);

    assert_non_null(stats);
    return stats;
}

static const struct qe_process s_process = {1.25, 7, 1024, 1e9, 2e7, 1700000000.25, 5};

static void render(struct qe_strbuf *out, struct qe_stats *stats)
{
    struct qe_err err = {0};

    qe_strbuf_init(out, 0);
    qe_live_render(out, stats, &s_build, &s_process, QE_FORMAT_TEXT);
    assert_ok(qe_strbuf_error(out, &err), err);
}

static void assert_has(const struct qe_strbuf *page, const char *line)
{
    if (strstr(qe_strbuf_text(page), line) == NULL) {
        (void)printf("---- page\n%s----\n", qe_strbuf_text(page));
        fail_msg("no line %s", line);
    }
}

static void assert_lacks(const struct qe_strbuf *page, const char *text)
{
    if (strstr(qe_strbuf_text(page), text) != NULL) {
        fail_msg("%s is there", text);
    }
}

static void a_consumer_starts_with_every_counter_at_0(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_strbuf page;

    (void)state;
    (void)add_consumer(stats, "", "orders");
    render(&page, stats);
#define ORDERS "{source=\"shop\",queue=\"orders\""
    assert_has(&page, "queue_consumer_messages_received_total" ORDERS "} 0\n");
    assert_has(&page, "queue_consumer_messages_processed_total" ORDERS "} 0\n");
    assert_has(&page, "queue_consumer_messages_released_total" ORDERS "} 0\n");
    assert_has(&page,
               "queue_consumer_messages_failed_total" ORDERS ",reason=\"handler_error\"} 0\n");
    assert_has(&page, "queue_consumer_messages_failed_total" ORDERS ",reason=\"internal\"} 0\n");
    assert_has(&page, "queue_consumer_messages_dead_lettered_total" ORDERS
                      ",reason=\"max_receives\"} 0\n");
    assert_has(&page, "queue_consumer_handling_duration_seconds_bucket" ORDERS
                      ",outcome=\"reject\",le=\"1.0\"} 0\n");
    assert_has(&page,
               "queue_consumer_handling_duration_seconds_count" ORDERS ",outcome=\"retry\"} 0\n");
    assert_has(&page, "queue_consumer_workers_busy" ORDERS "} 0\n");
    assert_lacks(&page, "queue_consumer_last_success");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void what_a_consumer_did_is_shown(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_consumer_stats *consumer = add_consumer(stats, "/", "mail");
    struct qe_strbuf page;

    (void)state;
    qe_counter_add(&consumer->received, 11);
    qe_counter_add(&consumer->processed, 7);
    qe_counter_add(&consumer->released, 3);
    qe_counter_add(&consumer->failed[QE_FAIL_TIMEOUT], 2);
    qe_counter_add(&consumer->dead_lettered[QE_FAIL_PERMANENT], 1);
    qe_counter_add(&consumer->redeliveries, 21);
    qe_counter_add(&consumer->duplicates_skipped, 22);
    qe_counter_add(&consumer->empty_receives, 23);
    qe_counter_add(&consumer->stale_settles, 24);
    qe_counter_add(&consumer->visibility_extensions, 25);
    qe_counter_add(&consumer->settle_failures, 26);
    qe_histogram_observe(&consumer->handling_seconds[QE_OUTCOME_SUCCESS], 0.5);
    qe_histogram_observe(&consumer->wait_seconds, 20);
    qe_histogram_observe(&consumer->receives, 3);
    atomic_store(&consumer->in_progress, 31);
    atomic_store(&consumer->workers, 32);
    atomic_store(&consumer->workers_busy, 33);
    atomic_store(&consumer->last_success_unix_ms, INT64_C(1700000000125));
    render(&page, stats);
#define MAIL "{source=\"shop\",vhost=\"/\",queue=\"mail\""
    assert_has(&page, "queue_consumer_messages_received_total" MAIL "} 11\n");
    assert_has(&page, "queue_consumer_messages_processed_total" MAIL "} 7\n");
    assert_has(&page, "queue_consumer_messages_released_total" MAIL "} 3\n");
    assert_has(&page, "queue_consumer_messages_failed_total" MAIL ",reason=\"timeout\"} 2\n");
    assert_has(&page,
               "queue_consumer_messages_dead_lettered_total" MAIL ",reason=\"permanent\"} 1\n");
    assert_has(&page, "queue_consumer_redeliveries_total" MAIL "} 21\n");
    assert_has(&page, "queue_consumer_duplicates_skipped_total" MAIL "} 22\n");
    assert_has(&page, "queue_consumer_empty_receives_total" MAIL "} 23\n");
    assert_has(&page, "queue_consumer_stale_settles_total" MAIL "} 24\n");
    assert_has(&page, "queue_consumer_visibility_extensions_total" MAIL "} 25\n");
    assert_has(&page, "queue_consumer_settle_failures_total" MAIL "} 26\n");
    assert_has(&page,
               "queue_consumer_handling_duration_seconds_sum" MAIL ",outcome=\"success\"} 0.5\n");
    assert_has(&page, "queue_consumer_message_wait_seconds_bucket" MAIL ",le=\"30.0\"} 1\n");
    assert_has(&page, "queue_consumer_message_receives_bucket" MAIL ",le=\"2.0\"} 0\n");
    assert_has(&page, "queue_consumer_messages_in_progress" MAIL "} 31\n");
    assert_has(&page, "queue_consumer_workers" MAIL "} 32\n");
    assert_has(&page, "queue_consumer_workers_busy" MAIL "} 33\n");
    assert_has(&page, "queue_consumer_last_success_timestamp_seconds" MAIL "} 1700000000.125\n");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void a_configured_reason_is_there_from_the_start(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_consumer_stats *consumer = add_consumer(stats, "", "orders");
    struct qe_strbuf page;
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_stats_add_reasons(consumer, (const char *const[]){"bad_address"}, 1, &err), err);
    render(&page, stats);
    assert_has(&page, "queue_consumer_messages_failed_total" ORDERS ",reason=\"bad_address\"} 0\n");
    assert_has(&page,
               "queue_consumer_messages_dead_lettered_total" ORDERS ",reason=\"bad_address\"} 0\n");
    qe_counter_add(&qe_consumer_stats_reason(consumer, "bad_address")->failed, 2);
    qe_counter_add(&qe_consumer_stats_reason(consumer, "bad_address")->dead_lettered, 1);
    qe_strbuf_deinit(&page);
    render(&page, stats);
    assert_has(&page, "queue_consumer_messages_failed_total" ORDERS ",reason=\"bad_address\"} 2\n");
    assert_has(&page,
               "queue_consumer_messages_dead_lettered_total" ORDERS ",reason=\"bad_address\"} 1\n");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void who_does_not_run_is_not_shown(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_strbuf page;

    (void)state;
    atomic_store(&add_consumer(stats, "", "retired")->active, false);
    atomic_store(&add_api(stats, "retired")->active, false);
    render(&page, stats);
    assert_lacks(&page, "retired");
    assert_lacks(&page, "queue_consumer"); /* no sample, no header */
    assert_lacks(&page, "queue_exporter_api");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void requests_to_a_source_are_counted_by_operation_and_reason(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_api_stats *api = add_api(stats, "shop");
    struct qe_strbuf page;

    (void)state;
    qe_api_stats_count(api, 0, QE_OK, 0.002);
    qe_api_stats_count(api, 0, QE_ERR_THROTTLED, 0.002);
    qe_counter_add(&api->retries, 4);
    qe_counter_add(&api->throttles, 5);
    render(&page, stats);
#define LIST "{source=\"shop\",operation=\"list\""
    assert_has(&page, "queue_exporter_api_requests_total" LIST "} 2\n");
    assert_has(&page,
               "queue_exporter_api_request_failures_total" LIST ",reason=\"throttled\"} 1\n");
    assert_has(&page, "queue_exporter_api_request_failures_total" LIST ",reason=\"timeout\"} 0\n");
    assert_lacks(&page, "reason=\"cancelled\"");
    assert_lacks(&page, "reason=\"ok\"");
    assert_has(&page, "queue_exporter_api_request_duration_seconds_count" LIST "} 2\n");
    assert_has(&page, "queue_exporter_api_requests_total{source=\"shop\",operation=\"stats\"} 0\n");
    assert_has(&page, "queue_exporter_api_retries_total{source=\"shop\"} 4\n");
    assert_has(&page, "queue_exporter_api_throttles_total{source=\"shop\"} 5\n");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void what_requests_cost_is_shown_by_service(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_api_stats *api = add_api(stats, "shop");
    struct qe_strbuf page;

    (void)state;
    render(&page, stats);
#define QUEUES "{source=\"shop\",service=\"queues\"}"
#define AGES "{source=\"shop\",service=\"ages\"}"
    assert_has(&page, "queue_exporter_api_billable_requests_total" QUEUES " 0\n");
    assert_has(&page, "queue_exporter_api_cost_dollars_total" AGES " 0\n");
    assert_has(&page, "queue_exporter_interval_stretch_ratio" AGES " 1\n");
    assert_lacks(&page, "queue_exporter_monthly_budget_dollars"); /* none is set */
    qe_strbuf_deinit(&page);
    for (size_t i = 0; i < 3; i++) {
        qe_api_stats_bill(api, 0, 1, 0.40 / 1e6);
    }
    qe_api_stats_bill(api, 1, 500, 0.005);
    atomic_store(&api->interval_stretch_permille[1], 2500);
    atomic_store(&api->monthly_budget_microdollars, 20500000);
    render(&page, stats);
    assert_has(&page, "queue_exporter_api_billable_requests_total" QUEUES " 3\n");
    assert_has(&page, "queue_exporter_api_billable_requests_total" AGES " 500\n");
    assert_has(&page, "queue_exporter_api_cost_dollars_total" QUEUES " 0.0000012\n");
    assert_has(&page, "queue_exporter_api_cost_dollars_total" AGES " 0.005\n");
    assert_has(&page, "queue_exporter_interval_stretch_ratio" QUEUES " 1\n");
    assert_has(&page, "queue_exporter_interval_stretch_ratio" AGES " 2.5\n");
    assert_has(&page, "queue_exporter_monthly_budget_dollars{source=\"shop\"} 20.5\n");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void a_source_without_a_bill_has_no_cost(void **state)
{
    static const struct qe_api_names free_of_charge = {s_operations, 2, NULL};
    struct qe_stats *stats = new_stats();
    struct qe_err err = {0};
    struct qe_api_stats *api = qe_stats_api(stats, "free", &free_of_charge, &err);
    struct qe_strbuf page;

    (void)state;
    assert_non_null(api);
    atomic_store(&api->active, true);
    render(&page, stats);
    assert_has(&page, "queue_exporter_api_retries_total{source=\"free\"} 0\n");
    assert_lacks(&page, "queue_exporter_api_billable");
    assert_lacks(&page, "queue_exporter_api_cost");
    assert_lacks(&page, "queue_exporter_interval_stretch");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void clock_and_credentials_are_shown_once_they_are_known(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_api_stats *api = add_api(stats, "shop");
    struct qe_strbuf page;

    (void)state;
    render(&page, stats);
    assert_lacks(&page, "queue_exporter_clock_skew_seconds");
    assert_lacks(&page, "queue_exporter_credentials");
    qe_strbuf_deinit(&page);
    atomic_store(&api->clock_skew_ms, -1500);
    atomic_store(&api->has_clock_skew, true);
    atomic_store(&api->renews_credentials, true);
    render(&page, stats);
    assert_has(&page, "queue_exporter_clock_skew_seconds{source=\"shop\"} -1.5\n");
    assert_has(&page, "queue_exporter_credentials_refresh_failures_total{source=\"shop\"} 0\n");
    assert_lacks(&page, "queue_exporter_credentials_expiry");
    qe_strbuf_deinit(&page);
    atomic_store(&api->credentials_expiry_unix_ms, INT64_C(1700000000250));
    atomic_store(&api->has_credentials, true);
    atomic_store(&api->credentials_refresh_failures, 7);
    render(&page, stats);
    assert_has(&page, "queue_exporter_credentials_expiry_timestamp_seconds{source=\"shop\"} "
                      "1700000000.25\n");
    assert_has(&page, "queue_exporter_credentials_refresh_failures_total{source=\"shop\"} 7\n");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void the_exporter_describes_itself(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_strbuf page;

    (void)state;
    qe_process_stats_count_http(qe_stats_process(stats), QE_HTTP_READY, 503);
    render(&page, stats);
    assert_has(&page, "queue_exporter_http_requests_total{handler=\"ready\",code=\"503\"} 1\n");
    assert_has(&page, "queue_exporter_http_requests_total{handler=\"metrics\",code=\"200\"} 0\n");
    assert_has(&page, "queue_exporter_log_messages_total{level=\"error\"} ");
    assert_has(&page, "queue_exporter_config_last_reload_successful 0\n");
    assert_lacks(&page, "queue_exporter_config_last_reload_success_timestamp_seconds");
    assert_has(&page, "process_cpu_seconds_total 1.25\n");
    assert_has(&page, "process_open_fds 7\n");
    assert_has(&page, "process_start_time_seconds 1700000000.25\n");
    qe_strbuf_deinit(&page);
    atomic_store(&qe_stats_process(stats)->config_last_reload_successful, true);
    atomic_store(&qe_stats_process(stats)->config_last_reload_success_unix_ms, 1500);
    render(&page, stats);
    assert_has(&page, "queue_exporter_config_last_reload_successful 1\n");
    assert_has(&page, "queue_exporter_config_last_reload_success_timestamp_seconds 1.5\n");
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

static void what_the_kernel_does_not_tell_is_left_out(void **state)
{
    const struct qe_process unknown = {QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN,
                                       QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN, QE_PROCESS_UNKNOWN,
                                       QE_PROCESS_UNKNOWN};
    struct qe_strbuf page;

    (void)state;
    qe_strbuf_init(&page, 0);
    qe_live_render(&page, NULL, &s_build, &unknown, QE_FORMAT_OPENMETRICS);
    assert_lacks(&page, "process_");
    assert_has(&page, "queue_exporter_build_info{");
    assert_has(&page, "# EOF\n");
    qe_strbuf_deinit(&page);
}

static void circuit_has_one_state_and_is_absent_without_a_breaker(void **state)
{
    struct world world;
    struct qe_strbuf page;

    (void)state;
    world_init(&world);
    struct qe_consumer_stats *consumer = add_consumer(world.stats, "", "orders");

    (void)add_consumer(world.stats, "", "without");
    atomic_store(&consumer->has_circuit, true);
    atomic_store(&consumer->circuit, (int64_t)QE_CIRCUIT_OPEN);
    qe_strbuf_init(&page, 0);
    qe_live_render(&page, world.stats, &s_build, &s_process, QE_FORMAT_TEXT);
    assert_has(&page,
               "queue_consumer_circuit_state{source=\"shop\",queue=\"orders\",state=\"closed\"} 0\n"
               "queue_consumer_circuit_state{source=\"shop\",queue=\"orders\",state=\"open\"} 1\n"
               "queue_consumer_circuit_state{source=\"shop\",queue=\"orders\",state=\"half_open\"} "
               "0\n");
    assert_lacks(&page, "queue_consumer_circuit_state{source=\"shop\",queue=\"without\"");
    qe_strbuf_deinit(&page);
    world_deinit(&world);
}

/* A family nobody can fill has no place in the catalogue. */
static void every_family_appears_when_there_is_something_to_say(void **state)
{
    struct world world;
    struct qe_queue_list list = {0};
    struct qe_sample samples[2] = {{0}};

    (void)state;
    world_init(&world);
    struct qe_consumer_stats *consumer = add_consumer(world.stats, "", "orders");
    struct qe_api_stats *api = add_api(world.stats, "shop");

    atomic_store(&consumer->last_success_unix_ms, 1);
    atomic_store(&consumer->has_circuit, true);

    atomic_store(&api->monthly_budget_microdollars, 1);
    atomic_store(&api->has_clock_skew, true);
    atomic_store(&api->has_credentials, true);
    atomic_store(&api->renews_credentials, true);
    atomic_store(&qe_stats_process(world.stats)->config_last_reload_success_unix_ms, 1);
    world_link(world_add(&list, "", "orders", QE_KIND_EMBEDDED), "", "orders-dlq");
    world_add(&list, "", "orders-dlq", QE_KIND_EMBEDDED)->is_delay_queue = true;
    struct qe_queue_set *set = world_set(&list);

    for (unsigned i = 0; i < QE_FIELD_COUNT; i++) {
        qe_sample_set(&samples[0], (enum qe_field)i, 1); /* one receive: worth a warning */
        qe_sample_set(&samples[1], (enum qe_field)i, 1);
    }
    world_publish_of(world_open(&world, "shop", "embedded"), set, samples, world_cluster(), "fast");
    qe_queue_set_release(set);
    char *page = world_page(&world, QE_FORMAT_OPENMETRICS);

    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        char header[128];

        (void)snprintf(header, sizeof header, "# TYPE %s %s\n", qe_catalogue[i].name,
                       qe_metric_type_name(qe_catalogue[i].type));
        /* These need an objective, which test_page.c has, or a window, which test_render.c has. */
        if (strstr(page, header) == NULL && i != QE_FAMILY_OBJECTIVE_OLDEST_AGE &&
            i != QE_FAMILY_STATE && i != QE_FAMILY_DRAIN && i != QE_FAMILY_DEAD_LETTER_CHANGE &&
            i != QE_FAMILY_DEAD_LETTER_CHANGE_SPAN) {
            fail_msg("no %s", qe_catalogue[i].name);
        }
    }
    qe_free(page);
    world_deinit(&world);
}

struct whole {
    struct qe_stats *stats;
    const char *text;
};

static int render_all(void *context, struct qe_err *err)
{
    const struct whole *whole = context;
    struct qe_strbuf page;

    qe_strbuf_init(&page, 0);
    qe_live_render(&page, whole->stats, &s_build, &s_process, QE_FORMAT_TEXT);
    int rc = qe_strbuf_error(&page, err);

    if (rc == 0) { /* a page that is not reported as failed is whole */
        assert_string_equal(qe_strbuf_text(&page), whole->text);
    }

    qe_strbuf_deinit(&page);
    return rc;
}

static void the_live_part_survives_running_out_of_memory(void **state)
{
    struct qe_stats *stats = new_stats();
    struct qe_strbuf page;

    (void)state;
    (void)add_consumer(stats, "", "orders");
    (void)add_api(stats, "shop");
    render(&page, stats);
    struct whole whole = {stats, qe_strbuf_text(&page)};

    qe_check_torture(render_all, &whole);
    qe_strbuf_deinit(&page);
    qe_stats_destroy(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_consumer_starts_with_every_counter_at_0),
        cmocka_unit_test(what_a_consumer_did_is_shown),
        cmocka_unit_test(a_configured_reason_is_there_from_the_start),
        cmocka_unit_test(who_does_not_run_is_not_shown),
        cmocka_unit_test(requests_to_a_source_are_counted_by_operation_and_reason),
        cmocka_unit_test(what_requests_cost_is_shown_by_service),
        cmocka_unit_test(a_source_without_a_bill_has_no_cost),
        cmocka_unit_test(clock_and_credentials_are_shown_once_they_are_known),
        cmocka_unit_test(the_exporter_describes_itself),
        cmocka_unit_test(what_the_kernel_does_not_tell_is_left_out),
        cmocka_unit_test(circuit_has_one_state_and_is_absent_without_a_breaker),
        cmocka_unit_test(every_family_appears_when_there_is_something_to_say),
        cmocka_unit_test(the_live_part_survives_running_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
