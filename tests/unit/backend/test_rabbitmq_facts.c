/* What working on a queue goes by: a list of this handle's, or a newer one of who calls. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "support/check.h"
#include "util/mem.h"

/* A handle that has listed, and a consumer of its queue "q". */
struct bench {
    struct qe_rmq_settings settings;
    struct qe_rmq rmq;
    struct qe_rmq_work work;
    struct qe_amqp_connection connection;
    struct qe_amqp_delays delays;
    struct qe_amqp_consumer *consumer;
    struct qe_amqp_consumer *consumers[1];
};
static struct bench s_bench; /* large for a stack */

static void list(struct bench *bench, const char *text)
{
    struct qe_err err = {0};
    struct qe_json *json = qe_json_parse(text, strlen(text), &err);
    struct qe_rmq_definition definition;

    assert_non_null(json);
    assert_ok(qe_rmq_definition_parse(json, &definition, &err), err);
    qe_rmq_table_destroy(bench->rmq.table);
    bench->rmq.table = qe_rmq_table_new(&err);
    assert_non_null(bench->rmq.table);
    assert_ok(qe_rmq_table_add_take(bench->rmq.table, &definition, &err), err);
    qe_json_destroy(json);
}

static struct bench *begin(void)
{
    struct bench *bench = &s_bench;
    struct qe_err err = {0};

    *bench = (struct bench){.settings = {.delay_method = QE_RMQ_DELAY_PLUGIN}};
    bench->rmq.settings = &bench->settings;
    bench->rmq.work = &bench->work;
    bench->connection = (struct qe_amqp_connection){.rmq = &bench->rmq, .vhost = "/"};
    bench->consumer = qe_amqp_consumer_new(&bench->rmq, &bench->connection, "/", "q", &err);
    assert_non_null(bench->consumer);
    bench->consumers[0] = bench->consumer;
    bench->work.consumers = bench->consumers;
    bench->work.consumers_count = 1;
    qe_amqp_delays_init(&bench->delays, &bench->connection);
    return bench;
}

static void end(struct bench *bench)
{
    qe_amqp_delays_deinit(&bench->delays);
    qe_amqp_consumer_destroy(bench->consumer);
    qe_rmq_table_destroy(bench->rmq.table);
}

static bool is_past_limit(const struct bench *bench)
{
    const struct qe_message message = {.receives = 3};

    return qe_amqp_is_past_limit(bench->consumer, &message);
}

static void nothing_is_taken_for_granted_of_a_queue_that_nobody_listed(void **state)
{
    struct bench *bench = begin();

    (void)state;
    assert_false(is_past_limit(bench));
    assert_false(qe_amqp_is_single_active(bench->consumer));
    assert_false(qe_amqp_minds_returns(bench->consumer));
    assert_false(qe_amqp_plugin_suits(&bench->delays, "q"));
    end(bench);
}

static void what_the_caller_knows_is_newer_than_the_list_of_this_handle(void **state)
{
    struct bench *bench = begin();
    struct qe_queue told = {.kind = QE_KIND_QUORUM, .delivery_known = true, .deliveries_most = 2};

    (void)state;
    list(bench, "{\"vhost\":\"/\",\"name\":\"q\",\"type\":\"quorum\"}");
    assert_false(is_past_limit(bench));
    assert_true(qe_amqp_minds_returns(bench->consumer));
    qe_amqp_consumer_heed(bench->consumer, &told);
    assert_true(is_past_limit(bench));
    told.deliveries_most = 3;
    told.is_single_active = true;
    qe_amqp_consumer_heed(bench->consumer, &told);
    assert_false(is_past_limit(bench));
    assert_true(qe_amqp_is_single_active(bench->consumer));
    end(bench);
}

static void a_caller_that_knows_nothing_is_no_news(void **state)
{
    struct bench *bench = begin();
    const struct qe_queue by_name = {.kind = QE_KIND_EMBEDDED};
    const struct qe_queue told = {
        .kind = QE_KIND_QUORUM, .delivery_known = true, .deliveries_most = 9};

    (void)state;
    list(bench, "{\"vhost\":\"/\",\"name\":\"q\",\"type\":\"quorum\","
                "\"arguments\":{\"x-delivery-limit\":2}}");
    qe_amqp_consumer_heed(bench->consumer, &by_name);
    assert_true(is_past_limit(bench));
    assert_true(qe_amqp_minds_returns(bench->consumer));
    qe_amqp_consumer_heed(bench->consumer, &told);
    qe_amqp_consumer_heed(bench->consumer, &by_name);
    assert_false(is_past_limit(bench)); /* what was told before stands */
    end(bench);
}

/* A due message that is refused would be lost. */
static void the_plugin_delays_for_no_queue_that_has_come_to_refuse(void **state)
{
    struct bench *bench = begin();
    struct qe_queue told = {.kind = QE_KIND_CLASSIC, .delivery_known = true, .deliveries_most = -1};

    (void)state;
    list(bench, "{\"vhost\":\"/\",\"name\":\"q\",\"type\":\"classic\"}");
    assert_true(qe_amqp_plugin_suits(&bench->delays, "q"));
    told.may_refuse = true;
    qe_amqp_consumer_heed(bench->consumer, &told);
    assert_false(qe_amqp_plugin_suits(&bench->delays, "q"));
    told.may_refuse = false;
    qe_amqp_consumer_heed(bench->consumer, &told);
    assert_true(qe_amqp_plugin_suits(&bench->delays, "q"));
    end(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_taken_for_granted_of_a_queue_that_nobody_listed),
        cmocka_unit_test(what_the_caller_knows_is_newer_than_the_list_of_this_handle),
        cmocka_unit_test(a_caller_that_knows_nothing_is_no_news),
        cmocka_unit_test(the_plugin_delays_for_no_queue_that_has_come_to_refuse),
    };
    return cmocka_run_group_tests_name("rabbitmq facts", tests, NULL, NULL);
}
