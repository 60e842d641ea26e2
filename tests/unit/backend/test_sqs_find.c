/* A queue found by its name: one question, and none where a list alone can say. */
#include "sqs_service.h"

#define FOUND(url) "{\"QueueUrl\":\"" url "\"}"

static int find(const struct desk *desk, const char *name, struct qe_queue *out, struct qe_err *err)
{
    return qe_driver_sqs.find(desk->sqs, name, in_ms(1000), out, err);
}

static void one_question_finds_it(void **state)
{
    static const struct step steps[] = {{QE_SQS_GET_QUEUE_URL, .answer = FOUND(FIFO_URL)},
                                        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_queue queue = {0};
    struct qe_err err = {0};

    play(steps);
    assert_ok(find(desk, "orders.fifo", &queue, &err), err);
    expect_end();
    expect_body(0, "{\"QueueName\":\"orders.fifo\"}");
    assert_string_equal(queue.name, "orders.fifo");
    assert_string_equal(queue.address, FIFO_URL);
    assert_int_equal(queue.kind, QE_KIND_FIFO);
    qe_queue_deinit(&queue);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const struct step steps[] = {
        {QE_SQS_GET_QUEUE_URL, .failure = QE_ERR_NOT_FOUND, .code = "QueueDoesNotExist"},
        {.answer = NULL}};
    const struct desk *desk = *state;
    struct qe_queue queue = {0};
    struct qe_err err = {0};

    play(steps);
    assert_int_equal(find(desk, "nowhere", &queue, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_null(queue.name);
}

/* Settings that choose queues choose here, too; nothing is asked. */
static void what_only_a_list_can_say_is_left_to_it(void **state)
{
    static char s_prefix[] = "orders";
    static char s_url[] = "https://sqs.eu-west-1.amazonaws.com/222222222222/orders";
    static char *s_urls[] = {s_url};
    static char *s_names[] = {s_prefix};
    static const struct step nothing[] = {{.answer = NULL}};
    static const struct step once[] = {{QE_SQS_GET_QUEUE_URL, .answer = FOUND(QUEUE_URL)},
                                       {.answer = NULL}};
    static const struct {
        const char *name;
        const char *prefix;
        bool with_names;
        bool with_urls;
        bool is_asked;
    } rows[] = {
        {"orders", NULL, false, false, true},
        {"orders", s_prefix, false, false, true},
        {"dead-orders", s_prefix, false, false, false},
        {"orders", NULL, true, false, true},
        {"others", NULL, true, false, false},
        {"orders-x", s_prefix, true, false, true},
        {"orders", NULL, false, true, false},
        {"222222222222/orders", NULL, false, false, false},
    };
    struct desk *desk = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_sqs_settings *settings = &desk->settings;
        const struct qe_sqs_settings before = *settings;
        struct qe_queue queue = {0};
        struct qe_err err = {0};

        settings->queue_name_prefix = rows[i].prefix == NULL ? NULL : s_prefix;
        settings->queue_names =
            (struct qe_text_list){.items = s_names, .count = rows[i].with_names ? 1 : 0};
        settings->queue_urls =
            (struct qe_text_list){.items = s_urls, .count = rows[i].with_urls ? 1 : 0};
        play(rows[i].is_asked ? once : nothing);
        const int rc = find(desk, rows[i].name, &queue, &err);

        *settings = before;
        if (rc != (rows[i].is_asked ? 0 : -1) ||
            err.code != (rows[i].is_asked ? QE_OK : QE_ERR_UNSUPPORTED)) {
            fail_msg("row %zu: %d, %s", i, rc, err.message);
        }
        qe_queue_deinit(&queue);
        desk_deinit(desk);
        assert_ok(desk_init(desk, &err), err);
    }
}

static int scenario(void *context, struct qe_err *err)
{
    static const struct step steps[] = {{QE_SQS_GET_QUEUE_URL, .answer = FOUND(QUEUE_URL)},
                                        {.answer = NULL}};
    static struct desk s_desk;
    struct qe_queue queue = {0};

    (void)context;
    play(steps);
    int rc = desk_init(&s_desk, err);

    rc = rc == 0 ? find(&s_desk, "orders", &queue, err) : rc;
    qe_queue_deinit(&queue);
    desk_deinit(&s_desk);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_question_finds_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(what_only_a_list_can_say_is_left_to_it, setup, teardown),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests_name("sqs find", tests, NULL, NULL);
}
