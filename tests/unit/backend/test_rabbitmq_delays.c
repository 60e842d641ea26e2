/* Which way a delayed message takes, and what it tells the delayed-message plugin. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "backend/rabbitmq/record.h"
#include "support/check.h"

#define Q(name, more) "{\"vhost\":\"/\",\"name\":\"" name "\"" more "}"

static void add(struct qe_rmq_table *table, const char *text)
{
    struct qe_err err = {0};
    struct qe_json *json = qe_json_parse(text, strlen(text), &err);
    struct qe_rmq_definition definition;

    assert_non_null(json);
    assert_ok(qe_rmq_definition_parse(json, &definition, &err), err);
    assert_ok(qe_rmq_table_add_take(table, &definition, &err), err);
    qe_json_destroy(json);
}

static void the_plugin_is_used_only_where_it_loses_nothing_in_a_restart(void **state)
{
    static const struct {
        const char *queue;
        const char *exchange;
        int64_t header_ms;
        const char *why;
    } rows[] = {
        {"classic", "qe.delay.plugin", 1300, "exactly as long"},
        {"quorum", "qe.delay.2s", 0, "has no leader while the broker starts"},
        {"stream", "qe.delay.2s", 0, "neither"},
        {"refusing", "qe.delay.2s", 0, "would lose what it has no room for"},
        {"exclusive", "qe.delay.2s", 0, "cannot be bound by others"},
        {"unknown", "qe.delay.2s", 0, "not listed yet"},
    };
    static struct qe_rmq rmq; /* as the next: large for a stack */
    static struct qe_amqp_delays delays;
    static struct qe_rmq_work work; /* nothing was received from any of them */
    struct qe_rmq_settings settings = {.delay_method = QE_RMQ_DELAY_PLUGIN};
    struct qe_amqp_connection connection = {.rmq = &rmq, .vhost = "/"};
    struct qe_err err = {0};

    (void)state;
    rmq.settings = &settings;
    rmq.work = &work;
    rmq.table = qe_rmq_table_new(&err);
    assert_non_null(rmq.table);
    add(rmq.table, Q("classic", ",\"type\":\"classic\""));
    add(rmq.table, Q("exclusive", ",\"exclusive\":true"));
    add(rmq.table, Q("quorum", ",\"type\":\"quorum\""));
    add(rmq.table,
        Q("refusing", ",\"arguments\":{\"x-max-length\":9,\"x-overflow\":\"reject-publish\"}"));
    add(rmq.table, Q("stream", ",\"type\":\"stream\""));
    qe_amqp_delays_init(&delays, &connection);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct qe_amqp_delay_way way = qe_amqp_delays_way(&delays, rows[i].queue, 1300);

        if (strcmp(way.exchange, rows[i].exchange) != 0 || way.header_ms != rows[i].header_ms) {
            fail_msg("%s: %s", rows[i].queue, rows[i].why);
        }
    }
    settings.delay_method = QE_RMQ_DELAY_QUEUES;
    assert_string_equal(qe_amqp_delays_way(&delays, "classic", 1300).exchange, "qe.delay.2s");
    qe_amqp_delays_deinit(&delays);
    qe_rmq_table_destroy(rmq.table);
}

/* What the broker's plugin reads: how often `x-delay` is there, and its value. */
static size_t delays_of(const struct qe_amqp_letter *letter, int64_t *out_ms)
{
    amqp_basic_properties_t properties;
    amqp_pool_t pool;
    struct qe_err err = {0};
    size_t count = 0;

    init_amqp_pool(&pool, 4096);
    assert_ok(qe_amqp_write(letter, &pool, &properties, &err), err);
    for (int i = 0; i < properties.headers.num_entries; i++) {
        const amqp_table_entry_t *one = &properties.headers.entries[i];

        if (one->key.len == strlen("x-delay") && memcmp(one->key.bytes, "x-delay", 7) == 0) {
            *out_ms = one->value.value.i64;
            count++;
        }
    }
    empty_amqp_pool(&pool);
    return count;
}

static void a_delay_replaces_that_of_the_round_before(void **state)
{
    amqp_table_entry_t entries[] = {
        {.key = qe_amqp_text("content-type"), /* no attribute: headers are kept as they came */
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text("header")}},
        {.key = qe_amqp_text("x-delay"), .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = -5}},
    };
    amqp_basic_properties_t original = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                        .headers = {.num_entries = 2, .entries = entries}};
    struct qe_attributes attributes = {0};
    struct qe_amqp_raw raw = {0};
    struct qe_amqp_letter letter = {.exchange = "qe.delay.plugin",
                                    .routing_key = "q",
                                    .is_copy = true,
                                    .attributes = &attributes,
                                    .id = "id",
                                    .correlation_id = "",
                                    .reply_to = "",
                                    .delay_ms = 1300};
    struct qe_err err = {0};
    int64_t delay_ms = 0;

    (void)state;
    assert_ok(qe_attributes_add_typed(&attributes, "x-delay", "int64", "-5", &err), err);
    assert_int_equal(delays_of(&letter, &delay_ms), 1);
    assert_int_equal(delay_ms, 1300);
    qe_attributes_deinit(&attributes);
    assert_ok(qe_amqp_raw_read(&original, &raw, &err), err);
    letter.raw = &raw;
    assert_int_equal(delays_of(&letter, &delay_ms), 1);
    assert_int_equal(delay_ms, 1300);
    letter.delay_ms = 0; /* elsewhere it is a header like any other */
    assert_int_equal(delays_of(&letter, &delay_ms), 1);
    assert_int_equal(delay_ms, -5);
    qe_amqp_raw_deinit(&raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plugin_is_used_only_where_it_loses_nothing_in_a_restart),
        cmocka_unit_test(a_delay_replaces_that_of_the_round_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
