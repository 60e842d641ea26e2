/* What is known of messages that are under way when their channel ends. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "support/check.h"

#define COUNT 3

struct results {
    struct qe_err of[COUNT + 1];
    size_t count;
};

static void done(void *context, size_t index, const struct qe_err *result)
{
    struct results *results = context;

    results->of[index] = *result;
    results->count++;
}

/* As if so many were written and not confirmed, when the broker says `why`. */
static void end_with(size_t under_way, bool is_connection_lost, const struct qe_err *why,
                     struct results *out)
{
    static struct qe_amqp_connection connection; /* large */
    static struct qe_amqp_publisher publisher;
    const struct qe_amqp_batch batch = {.context = out, .count = under_way, .done = done};

    /* Only compared with NULL. */
    connection.state = is_connection_lost ? NULL : (amqp_connection_state_t)&connection;
    *out = (struct results){0};
    qe_amqp_publisher_init(&publisher, NULL, &connection);
    publisher.batch = &batch;
    publisher.first_tag = 1;
    publisher.window_count = under_way;
    for (size_t i = 0; i < under_way; i++) {
        publisher.window[i] = (struct qe_amqp_pending){.index = i};
    }
    qe_amqp_publisher_closed(&publisher, why);
    assert_int_equal(out->count, under_way);
    assert_int_equal(publisher.window_count, 0);
    qe_amqp_publisher_deinit(&publisher);
}

static void what_ended_the_channel_is_told_only_of_the_message_that_did_it(void **state)
{
    struct qe_err no_exchange = {0};
    struct qe_err late = {0};
    struct results results;

    (void)state;
    (void)qe_err_set(&no_exchange, QE_ERR_NOT_FOUND, "no exchange 'news'");
    (void)qe_err_set(&late, QE_ERR_TIMEOUT, "RabbitMQ does not confirm in time");
    end_with(1, false, &no_exchange, &results);
    assert_int_equal(results.of[0].code, QE_ERR_NOT_FOUND);
    end_with(COUNT, false, &no_exchange, &results);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(results.of[i].code, QE_ERR_NETWORK); /* the first may have arrived */
        assert_non_null(strstr(results.of[i].message, "no exchange 'news'"));
    }
    end_with(1, true, &no_exchange, &results);
    assert_int_equal(results.of[0].code, QE_ERR_NETWORK); /* nobody says that it was this one */
    end_with(COUNT, true, &late, &results);
    assert_int_equal(results.of[COUNT - 1].code, QE_ERR_TIMEOUT);
}

/* Of one id, which publishers choose, to one place: which of them came back is not told. */
static void of_several_alike_that_one_comes_back_all_count_as_returned(void **state)
{
    static struct qe_amqp_connection connection; /* large, as the next */
    static struct qe_amqp_publisher publisher;
    static const uint64_t keys[COUNT + 1] = {7, 7, 8, 7};
    struct results results = {0};
    const struct qe_amqp_batch batch = {.context = &results, .count = COUNT + 1, .done = done};
    struct qe_amqp_content content = {.key = 7, .reason = "NO_ROUTE"};

    (void)state;
    qe_amqp_publisher_init(&publisher, NULL, &connection);
    publisher.batch = &batch;
    publisher.first_tag = 1;
    publisher.window_count = COUNT + 1;
    for (size_t i = 0; i < COUNT + 1; i++) {
        publisher.window[i] = (struct qe_amqp_pending){.index = i, .key = keys[i]};
    }
    qe_amqp_publisher_confirmed(&publisher, 4, false, true); /* the last one is in already */
    qe_amqp_publisher_returned(&publisher, &content);
    qe_amqp_publisher_confirmed(&publisher, 4, true, true);
    assert_int_equal(results.count, COUNT + 1);
    assert_int_equal(results.of[0].code, QE_ERR_NOT_FOUND);
    assert_int_equal(results.of[1].code, QE_ERR_NOT_FOUND); /* else one that is gone is in */
    assert_int_equal(results.of[2].code, QE_OK);
    assert_int_equal(results.of[3].code, QE_OK);
    qe_amqp_publisher_deinit(&publisher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_several_alike_that_one_comes_back_all_count_as_returned),
        cmocka_unit_test(what_ended_the_channel_is_told_only_of_the_message_that_did_it),
    };
    return cmocka_run_group_tests_name("rabbitmq publisher", tests, NULL, NULL);
}
