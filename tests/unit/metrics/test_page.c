#include <stdio.h>

#include "fixture.h"
#include "golden.h"
#include "metrics/catalogue.h"

/* Two sources: "a" with a queue, its DLQ and a queue on a vhost of which little is known; "b" with
 * one queue. */
static struct qe_queue_set *set_a(void)
{
    struct qe_queue_list list = {0};
    struct qe_queue *orders = world_add(&list, "", "orders", QE_KIND_STANDARD);
    struct qe_err err = {0};

    qe_free(orders->arn);
    orders->arn = qe_strdup("arn:aws:sqs:eu-west-1:1:orders");
    assert_non_null(orders->arn);
    assert_ok(qe_queue_add_tag(orders, "team", "the \"red\" one", &err), err);
    assert_ok(qe_queue_add_tag(orders, "cost-centre", "7", &err), err);
    assert_ok(qe_queue_add_tag(orders, "empty", "", &err), err); /* as good as absent */
    world_link(orders, "", "orders-dlq");
    (void)world_add(&list, "", "orders-dlq", QE_KIND_STANDARD);
    world_link(world_add(&list, "/", "mail", QE_KIND_QUORUM), "/", "elsewhere");
    return world_set(&list);
}

static void samples_a(struct qe_sample samples[3])
{
    memset(samples, 0, 3 * sizeof *samples);
    qe_sample_set(&samples[0], QE_FIELD_READY_MESSAGES, 12);
    qe_sample_set(&samples[0], QE_FIELD_IN_FLIGHT_MESSAGES, 3);
    qe_sample_set(&samples[0], QE_FIELD_OLDEST_AGE_SECONDS, 12.345);
    samples[0].age_method = QE_AGE_CLOUDWATCH;
    qe_sample_set(&samples[0], QE_FIELD_RETENTION_SECONDS, 345600);
    qe_sample_set(&samples[0], QE_FIELD_PUBLISHED_TOTAL, 1234567890);
    qe_sample_set(&samples[0], QE_FIELD_MAX_RECEIVES, 1);
    qe_sample_set(&samples[1], QE_FIELD_READY_MESSAGES, 0);
    qe_sample_set(&samples[1], QE_FIELD_IN_FLIGHT_MESSAGES, 0);
    qe_sample_set(&samples[2], QE_FIELD_READY_MESSAGES, 7);
}

static double objective(const void *context, const char *source, const char *vhost,
                        const char *queue)
{
    (void)context;
    (void)source;
    (void)vhost;
    return strcmp(queue, "orders") == 0 ? 300 : -1;
}

static void publish_a(struct qe_slot *slot, struct qe_queue_set *set)
{
    struct qe_err err = {0};
    struct qe_batch batch = {0};
    struct qe_sample samples[3];
    struct qe_poll_report report = world_report(4);

    report.objective = objective;
    report.queues_dropped = 1;
    samples_a(samples);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    qe_batch_set(&batch, 0, &samples[0]);
    qe_batch_set(&batch, 1, &samples[1]);
    qe_batch_set(&batch, 2, &samples[2]);
    assert_ok(qe_slot_publish(slot, &batch, &report, &err), err);
    qe_batch_deinit(&batch);
}

static void publish_b(struct qe_slot *slot)
{
    struct qe_queue_list list = {0};
    struct qe_sample sample = {0};

    (void)world_add(&list, "", "audit", QE_KIND_EMBEDDED);
    struct qe_queue_set *set = world_set(&list);

    qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, 1e15);
    qe_sample_set(&sample, QE_FIELD_CONSUMERS, 2);
    world_publish(slot, set, &sample);
    qe_queue_set_release(set);
}

static void world_two_sources(struct world *world)
{
    struct qe_queue_set *set = set_a();

    world_init(world);
    /* Opened in the other order: the page is sorted. */
    publish_b(world_open(world, "b", "embedded"));
    publish_a(world_open(world, "a", "sqs"), set);
    qe_queue_set_release(set);
}

/* The poll part of a page: up to the first live family. */
static void cut_live(char *page)
{
    char *live = strstr(page, "# HELP queue_exporter_http");
    char *live_openmetrics = strstr(page, "# TYPE queue_exporter_http");

    live = live == NULL || (live_openmetrics != NULL && live_openmetrics < live) ? live_openmetrics
                                                                                 : live;
    assert_non_null(live);
    *live = '\0';
}

static void check_golden(enum qe_format format, const char *const *golden)
{
    struct world world;

    world_two_sources(&world);
    char *page = world_page(&world, format);
    const char *at = page;

    cut_live(page);
    for (size_t i = 0; golden[i] != NULL || *at != '\0'; i++) {
        const char *expected = golden[i] != NULL ? golden[i] : "(the end)";
        size_t length = strcspn(at, "\n");

        if (length != strlen(expected) || memcmp(at, expected, length) != 0) {
            (void)printf("---- page\n%s----\n", page); /* cmocka cuts long messages */
            fail_msg("line %zu is\n%.*s\nexpected\n%s", i + 1, (int)length, at, expected);
        }
        assert_int_equal(at[length], '\n');
        at += length + 1;
    }
    qe_free(page);
    world_deinit(&world);
}

static void the_text_page_is_as_written_down(void **state)
{
    (void)state;
    check_golden(QE_FORMAT_TEXT, s_golden_text);
}

static void the_openmetrics_page_is_as_written_down(void **state)
{
    (void)state;
    check_golden(QE_FORMAT_OPENMETRICS, s_golden_openmetrics);
}

static char *samples_only(const char *page)
{
    char *out = qe_calloc(strlen(page) + 1, 1);
    size_t length = 0;

    assert_non_null(out);
    for (const char *line = page; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t line_bytes = strcspn(line, "\n") + 1;

        /* What the kernel says moves between two pages. */
        if (line[0] != '#' && strncmp(line, "process_", 8) != 0) {
            memcpy(out + length, line, line_bytes);
            length += line_bytes;
        }
    }
    return out;
}

static void both_formats_have_the_same_samples(void **state)
{
    struct world world;

    (void)state;
    world_two_sources(&world);
    char *text = world_page(&world, QE_FORMAT_TEXT);
    char *openmetrics = world_page(&world, QE_FORMAT_OPENMETRICS);
    char *text_samples = samples_only(text);
    char *openmetrics_samples = samples_only(openmetrics);

    assert_string_equal(text_samples, openmetrics_samples);
    assert_string_equal(openmetrics + strlen(openmetrics) - 7, "\n# EOF\n");
    assert_null(strstr(text, "# EOF"));
    assert_null(strstr(text, "\n\n"));
    qe_free(text_samples);
    qe_free(openmetrics_samples);
    qe_free(text);
    qe_free(openmetrics);
    world_deinit(&world);
}

/* Name and labels of the line, with the blank behind them. */
static void cut_series(const char *line, char *out, size_t out_bytes)
{
    size_t count = strcspn(line, "\n");

    for (; count > 0 && line[count] != ' '; count--) {
        /* back to the blank before the value */
    }
    assert_true(count + 2 < out_bytes);
    memcpy(out, line, count + 1);
    out[count + 1] = '\0';
}

static bool begins_a_later_line(const char *series, const char *line)
{
    for (const char *at = line; (at = strstr(at + 1, series)) != NULL;) {
        if (at[-1] == '\n') {
            return true;
        }
    }
    return false;
}

/* No validator finds them, and Prometheus keeps the first without a word. */
static void no_series_appears_twice(void **state)
{
    struct world world;

    (void)state;
    world_two_sources(&world);
    char *page = world_page(&world, QE_FORMAT_TEXT);

    for (const char *line = page; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char series[512];

        cut_series(line, series, sizeof series);
        if (line[0] != '#' && begins_a_later_line(series, line)) {
            fail_msg("twice: %s", series);
        }
    }
    qe_free(page);
    world_deinit(&world);
}

static void gzip_is_one_member_with_the_same_bytes(void **state)
{
    static const enum qe_format formats[] = {QE_FORMAT_TEXT, QE_FORMAT_OPENMETRICS};
    struct world world;

    (void)state;
    world_two_sources(&world);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        size_t packed_bytes = 0;
        size_t plain_bytes = 0;
        char *plain = world_page(&world, formats[i]);
        char *packed = world_bytes(&world, formats[i], true, &packed_bytes);
        char *got = gunzip(packed, packed_bytes, &plain_bytes);
        char *plain_samples = samples_only(plain);
        char *got_samples = samples_only(got);

        assert_int_equal(strlen(got), plain_bytes);
        assert_string_equal(got_samples, plain_samples);
        assert_true(packed_bytes < plain_bytes);
        qe_free(plain_samples);
        qe_free(got_samples);
        qe_free(got);
        qe_free(packed);
        qe_free(plain);
    }
    world_deinit(&world);
}

static void without_sources_there_is_still_a_page(void **state)
{
    struct world world;
    size_t count = 0;
    size_t plain_bytes = 0;

    (void)state;
    world_init(&world);
    char *page = world_page(&world, QE_FORMAT_TEXT);
    char *packed = world_bytes(&world, QE_FORMAT_OPENMETRICS, true, &count);
    char *plain = gunzip(packed, count, &plain_bytes);

    assert_null(strstr(page, "queue_source_up"));
    assert_non_null(strstr(page, "queue_exporter_build_info{version=\"0.1.0\",revision=\"abc\","
                                 "compiler=\"gcc \\\"12\\\"\",os=\"linux\",arch=\""));
    assert_non_null(strstr(plain, "# EOF\n"));
    qe_free(plain);
    qe_free(packed);
    qe_free(page);
    world_deinit(&world);
}

static void a_source_never_polled_has_counters_but_no_state(void **state)
{
    struct world world;

    (void)state;
    world_init(&world);
    (void)world_open(&world, "new", "embedded");
    char *page = world_page(&world, QE_FORMAT_TEXT);

    assert_null(strstr(page, "queue_source_up"));
    assert_null(strstr(page, "queue_exporter_queues"));
    assert_null(strstr(page, "last_poll_success"));
    assert_non_null(strstr(page, "queue_exporter_polls_total{source=\"new\"} 0\n"));
    assert_non_null(
        strstr(page, "queue_exporter_poll_failures_total{source=\"new\",reason=\"timeout\"} 0\n"));
    assert_null(strstr(page, "reason=\"cancelled\""));
    qe_free(page);
    world_deinit(&world);
}

static void a_stale_sample_is_gone_and_the_status_says_why(void **state)
{
    struct world world;
    struct qe_err err = {0};
    struct qe_queue_set *set = set_a();
    struct qe_poll_report failed = world_report(4);

    (void)state;
    world_init(&world);
    struct qe_slot *slot = world_open(&world, "a", "sqs");

    publish_a(slot, set);
    qe_queue_set_release(set);
    failed.now_unix_ms += FIXTURE_STALE_MS / 2;
    failed.now_mono_ms += FIXTURE_STALE_MS / 2;
    failed.error.code = QE_ERR_TIMEOUT;
    assert_ok(qe_slot_publish(slot, NULL, &failed, &err), err);
    char *page = world_page(&world, QE_FORMAT_TEXT);

    assert_non_null(strstr(page, "queue_source_up{source=\"a\"} 0\n"));
    assert_non_null(strstr(page, "queue_messages_ready{source=\"a\",queue=\"orders\"} 12\n"));
    qe_free(page);
    assert_ok(qe_store_expire(world.store, FIXTURE_NOW_MONO_MS + FIXTURE_STALE_MS + 1, &err), err);
    page = world_page(&world, QE_FORMAT_TEXT);
    assert_null(strstr(page, "queue_messages_ready"));
    assert_null(strstr(page, "queue_oldest_message_age_seconds"));
    assert_non_null(
        strstr(page, "queue_exporter_poll_failures_total{source=\"a\",reason=\"timeout\"} 1\n"));
    assert_non_null(strstr(page,
                           "queue_last_success_timestamp_seconds{source=\"a\",queue=\"orders\"} "
                           "1700000000.5\n"));
    assert_non_null(strstr(page, "queue_exporter_queues{source=\"a\",state=\"stale\"} 3\n"));
    assert_non_null(strstr(page, "queue_info{source=\"a\",queue=\"orders\""));
    qe_free(page);
    world_deinit(&world);
}

static void hostile_names_stay_inside_their_quotes(void **state)
{
    struct world world;
    struct qe_queue_list list = {0};
    struct qe_sample samples[2] = {{0}};

    (void)state;
    (void)world_add(&list, "v\\", "a\"} 1\n# EOF\n", QE_KIND_CLASSIC);
    (void)world_add(&list, "v\\", "Zo\xc3\xab\xff", QE_KIND_CLASSIC);
    struct qe_queue_set *set = world_set(&list);

    qe_sample_set(&samples[0], QE_FIELD_READY_MESSAGES, 5);
    qe_sample_set(&samples[1], QE_FIELD_READY_MESSAGES, 5);
    world_init(&world);
    world_publish(world_open(&world, "s", "rabbitmq"), set, samples);
    qe_queue_set_release(set);
    char *page = world_page(&world, QE_FORMAT_OPENMETRICS);

    assert_non_null(strstr(page, "queue_messages_ready{source=\"s\",vhost=\"v\\\\\",queue=\""
                                 "Zo\xc3\xab\\\\xFF\"} 5\n"));
    assert_non_null(strstr(page, "queue_messages_ready{source=\"s\",vhost=\"v\\\\\",queue=\""
                                 "a\\\"} 1\\n# EOF\\n\"} 5\n"));
    assert_ptr_equal(strstr(page, "\n# EOF\n"), page + strlen(page) - 7);
    qe_free(page);
    world_deinit(&world);
}

/* --- running out of memory --- */

static int make_page(void *context, struct qe_err *err)
{
    struct world *world = context;
    struct qe_page *page = NULL;

    if (qe_page_new(world->store, &s_build, QE_FORMAT_OPENMETRICS, true, &page, err) != 0) {
        assert_null(page);
        return -1;
    }
    qe_page_destroy(page);
    return 0;
}

static void a_page_survives_running_out_of_memory(void **state)
{
    struct world world;

    (void)state;
    world_two_sources(&world);
    qe_check_torture(make_page, &world);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: the format's headers are made once per process, and that must survive too. */
        cmocka_unit_test(a_page_survives_running_out_of_memory),
        cmocka_unit_test(the_text_page_is_as_written_down),
        cmocka_unit_test(the_openmetrics_page_is_as_written_down),
        cmocka_unit_test(both_formats_have_the_same_samples),
        cmocka_unit_test(no_series_appears_twice),
        cmocka_unit_test(gzip_is_one_member_with_the_same_bytes),
        cmocka_unit_test(without_sources_there_is_still_a_page),
        cmocka_unit_test(a_source_never_polled_has_counters_but_no_state),
        cmocka_unit_test(a_stale_sample_is_gone_and_the_status_says_why),
        cmocka_unit_test(hostile_names_stay_inside_their_quotes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
