/* The text that a node's metrics are told in. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/family.h"
#include "support/check.h"
#include "support/shared.h"
#include "util/mem.h"

#define NAMES_MAX 8

static struct qe_strbuf s_told;
static char s_names[NAMES_MAX][64]; /* "vhost|queue" of each number */
static size_t s_names_count;

static size_t number_of(void *context, const struct qe_rmq_named *queue)
{
    char name[64];

    (void)context;
    /* No queue here is called as what is only escaped. */
    if (memchr(queue->vhost, '\\', queue->vhost_bytes) != NULL && queue->vhost_bytes > 1) {
        return SIZE_MAX;
    }
    if (queue->name_bytes > 1 && memcmp(queue->name, "q\\", 2) == 0) {
        return SIZE_MAX;
    }
    (void)snprintf(name, sizeof name, "%.*s|%.*s", (int)queue->vhost_bytes, queue->vhost,
                   (int)queue->name_bytes, queue->name);
    for (size_t i = 0; i < s_names_count; i++) {
        if (strcmp(s_names[i], name) == 0) {
            return i;
        }
    }
    assert_true(s_names_count < NAMES_MAX);
    memcpy(s_names[s_names_count], name, sizeof name);
    return s_names_count++;
}

static void print_told(const struct qe_rmq_told *told)
{
    for (size_t i = 0; i < told->count; i++) {
        for (int value = 0; value < QE_RMQ_VALUE_COUNT; value++) {
            if (qe_rmq_has(&told->items[i].reading, (enum qe_rmq_value)value)) {
                (void)qe_strbuf_printf(&s_told, "%s %d=%.10g;", s_names[told->items[i].queue],
                                       value, told->items[i].reading.values[value]);
            }
        }
    }
}

static int read_text(struct qe_rmq_families *families, const char *text, size_t bytes,
                     struct qe_err *err)
{
    struct qe_rmq_told told = {0};
    int rc = -1;

    s_names_count = 0;
    qe_strbuf_deinit(&s_told);
    qe_strbuf_init(&s_told, 0);
    qe_rmq_families_init(families, number_of, NULL, &told);
    if (qe_rmq_families_feed(families, text, bytes, err) == 0) {
        rc = qe_rmq_families_end(families, err);
    }
    if (rc == 0) {
        print_told(&told);
        rc = qe_strbuf_error(&s_told, err);
    }
    qe_rmq_families_deinit(families);
    qe_rmq_told_deinit(&told);
    return rc;
}

#define P "rabbitmq_detailed_queue_"

static void values_of_queues_are_told_and_the_rest_is_passed_over(void **state)
{
    static const struct {
        const char *text;
        const char *told;
        const char *why;
    } rows[] = {
        {"", "", "nothing"},
        {"# HELP x\n\n# TYPE x gauge\n\r\n", "", "comments and blanks"},
        {P "messages_ready{vhost=\"/\",queue=\"a\"} 5\n", "/|a 0=5;", "plain"},
        {P "messages_ready{queue=\"a\",vhost=\"/\"} 5 1700000000000\r\n", "/|a 0=5;",
         "labels in another order, a time, a CR"},
        {P "messages_unacked{vhost=\"/\",queue=\"a\",} 1e3\n", "/|a 1=1000;", "exponent, comma"},
        {P "messages_bytes{vhost=\"/\",queue=\"a\"} 7\n", "/|a 4=7;", "bytes"},
        {P "head_message_timestamp{vhost=\"/\",queue=\"a\"} NaN\n", "", "no timestamp"},
        {P "messages_ready{vhost=\"/\",queue=\"a\"} -1\n", "", "no count"},
        {P "messages_ready{vhost=\"/\",queue=\"a\"} +Inf\n", "", "no number"},
        {P "messages_ready{vhost=\"/\"} 5\n" P "messages_ready 5\n", "", "totals of a node"},
        {P "messages_ready{vhost=\"\\\\\",queue=\"q\\\"\\n\"} 5\n", "\\|q\"\n 0=5;", "escapes"},
        {P "messages_ready{vhost=\"a/b\",queue=\"\xC3\xBC } 4\"} 5\n", "a/b|\xC3\xBC } 4 0=5;",
         "brackets and blanks in a name"},
        {P "messages_ready{vhost=\"/\",queue=\"we\"ird\\x\"} 5\n", "/|we\"ird\\x 0=5;",
         "RabbitMQ escapes nothing"},
        {P "messages_ready{vhost=\"/\",queue=\"a\\nb\"} 5\n", "/|a\\nb 0=5;",
         "so this is a backslash and an n"},
        {P "messages_ready{vhost=\"/\",queue=\"x{y=\"z\"}\"} 5\n", "/|x{y=\"z\"} 0=5;",
         "labels in a name"},
        {P "messages_ready{vhost=\"/\",queue=\"q\\\"} 5\n", "", "a queue that is not known yet"},
        {P "process_memory_bytes{vhost=\"/\",queue=\"a\"} 5\nerlang_vm{x=\"1\"} 3\n", "",
         "what is not asked for"},
        {P "consumers{a=\"1\",b=\"2\",c=\"3\",d=\"4\",vhost=\"/\",queue=\"a\"} 5\n", "/|a 3=5;",
         "further labels"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_rmq_families families;
        struct qe_err err = {0};

        assert_ok(read_text(&families, rows[i].text, strlen(rows[i].text), &err), err);
        if (strcmp(qe_strbuf_text(&s_told), rows[i].told) != 0) {
            fail_msg("%s: %s", rows[i].why, qe_strbuf_text(&s_told));
        }
    }
    qe_strbuf_deinit(&s_told);
}

static void what_is_no_such_text_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {P "messages_ready{vhost=\"/\",queue=\"a\"} 5", "line 1: cut short"},
        {"# x\n" P "messages_ready{vhost=\"/\",queue=\"a\"} 5\nrabbit", "line 3: cut short"},
        {P "messages_ready{vhost=\"/\",queue=\"a\" 5\n", "line 1: neither"},
        {P "messages_ready{vhost=\"/\",queue=\"a} 5\n", "line 1: neither"},
        {P "messages_ready{vhost=\"/\",queue=\"a\"} five\n", "line 1: neither"},
        {P "messages_ready{vhost=\"/\",queue=\"a\"}\n", "line 1: neither"},
        {"# x\n{\"error\":\"not_found\"}\n", "line 2: a line without a name"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_rmq_families families;
        struct qe_err err = {0};

        assert_int_equal(read_text(&families, rows[i].text, strlen(rows[i].text), &err), -1);
        assert_int_equal(err.code, QE_ERR_PROTOCOL);
        if (strstr(err.message, rows[i].says) == NULL) {
            fail_msg("row %zu: %s", i, err.message);
        }
    }
    qe_strbuf_deinit(&s_told);
}

static void the_node_that_answers_is_told(void **state)
{
    static const char text[] = P "consumers{vhost=\"/\",queue=\"a\"} 1\n"
                                 "rabbitmq_identity_info{rabbitmq_node=\"rabbit@a\","
                                 "rabbitmq_cluster=\"shop\"} 1\n";
    struct qe_rmq_families families;
    struct qe_err err = {0};

    (void)state;
    assert_ok(read_text(&families, text, sizeof text - 1, &err), err);
    assert_string_equal(families.node, "rabbit@a");
    assert_string_equal(families.cluster, "shop");
    qe_strbuf_deinit(&s_told);
}

/* Recorded answers; what they say is known from the same broker's management API. */
static void recorded_answers_are_read(void **state)
{
    static const struct {
        const char *path;
        const char *told;
    } rows[] = {
        {"samples/rabbitmq/3.10.8-prom-detailed-queue.txt",
         "lab1|q.00000 0=5;lab1|q.00000 1=0;lab1|q.00000 3=0;lab1|q.00000 4=1000;lab1|q.00000 "
         "5=1795319158;lab1|q.00000 10=5;"},
        {"samples/rabbitmq/4.0.5-prom-detailed-queue.txt",
         "lab1|q.00000 0=5;lab1|q.00000 1=0;lab1|q.00000 3=0;lab1|q.00000 4=1000;lab1|q.00000 "
         "5=1795318510;lab1|q.00000 10=5;"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[QE_SHARED_PATH_BYTES];
        struct qe_rmq_families families;
        struct qe_strbuf text = {0};
        struct qe_err err = {0};

        if (!qe_shared_path(rows[i].path, path)) {
            qe_shared_skip(rows[i].path);
        }
        qe_shared_read(path, &text);
        assert_ok(read_text(&families, qe_strbuf_text(&text), text.length_bytes, &err), err);
        assert_string_equal(qe_strbuf_text(&s_told), rows[i].told);
        qe_strbuf_deinit(&text);
    }
    qe_strbuf_deinit(&s_told);
}

static int read_escaped(void *context, struct qe_err *err)
{
    static const char text[] = P "messages_ready{vhost=\"\\\\\",queue=\"q\\\"\\n\"} 5\n";
    struct qe_rmq_families families;
    const int rc = read_text(&families, text, sizeof text - 1, err);

    (void)context;
    qe_strbuf_deinit(&s_told);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(read_escaped, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_queues_are_told_and_the_rest_is_passed_over),
        cmocka_unit_test(what_is_no_such_text_is_refused_with_its_line),
        cmocka_unit_test(the_node_that_answers_is_told),
        cmocka_unit_test(recorded_answers_are_read),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return qe_shared_result(cmocka_run_group_tests(tests, NULL, NULL));
}
