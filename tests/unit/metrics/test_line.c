#include <stdlib.h>
#include <string.h>

#include "metrics/line_internal.h"
#include "support/check.h"

static void label_values_are_escaped(void **state)
{
    static const struct {
        const char *value;
        const char *text;
        const char *why;
    } rows[] = {
        {"orders", "orders", "plain"},
        {"", "", "empty"},
        {"a\"b", "a\\\"b", "a quote"},
        {"a\\b", "a\\\\b", "a backslash"},
        {"a\nb", "a\\nb", "a line feed"},
        {"\\\"\n", "\\\\\\\"\\n", "nothing but"},
        {"Zo\xc3\xab \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\x87",
         "Zo\xc3\xab \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x90\x87", "UTF-8 stays"},
        {"a\xffz", "a\\\\xFFz", "no UTF-8 at all"},
        {"\xc3\xab\xc3\"", "\xc3\xab\\\\xC3\\\"", "a character cut short, before a quote"},
        {"\xe6\x97", "\\\\xE6\\\\x97", "a character cut short, at the end"},
        {"\xed\xa0\x80", "\\\\xED\\\\xA0\\\\x80", "a surrogate"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_strbuf out;

        qe_strbuf_init(&out, 0);
        qe_label_escape(&out, rows[i].value);
        if (strcmp(qe_strbuf_text(&out), rows[i].text) != 0) {
            fail_msg("%s: got %s", rows[i].why, qe_strbuf_text(&out));
        }
        qe_strbuf_deinit(&out);
    }
}

static void an_empty_vhost_is_left_out(void **state)
{
    struct qe_strbuf out;

    (void)state;
    qe_strbuf_init(&out, 0);
    qe_label_queue(&out, "a", "", "q");
    assert_string_equal(qe_strbuf_text(&out), "{source=\"a\",queue=\"q\"");
    qe_strbuf_reset(&out);
    qe_label_queue(&out, "a", "/", "q");
    assert_string_equal(qe_strbuf_text(&out), "{source=\"a\",vhost=\"/\",queue=\"q\"");
    qe_strbuf_deinit(&out);
}

static void a_histogram_is_cumulative_and_ends_in_its_count(void **state)
{
    struct qe_histogram histogram;
    struct qe_strbuf out;

    (void)state;
    qe_histogram_init(&histogram, &qe_histogram_receives);
    qe_histogram_observe(&histogram, 1);
    qe_histogram_observe(&histogram, 3);
    qe_histogram_observe(&histogram, 1000);
    qe_strbuf_init(&out, 0);
    qe_line_histogram(&out, QE_FAMILY_CONSUMER_MESSAGE_RECEIVES, "{source=\"a\"", &histogram);
    const char *text = qe_strbuf_text(&out);

#define BUCKET "queue_consumer_message_receives_bucket{source=\"a\",le="
    assert_ptr_equal(
        strstr(text, BUCKET "\"1.0\"} 1\n" BUCKET "\"2.0\"} 1\n" BUCKET "\"3.0\"} 2\n"), text);
    assert_non_null(strstr(text, BUCKET "\"100.0\"} 2\n" BUCKET "\"+Inf\"} 3\n"
                                        "queue_consumer_message_receives_sum{source=\"a\"} 1004\n"
                                        "queue_consumer_message_receives_count{source=\"a\"} 3\n"));
    qe_strbuf_reset(&out);
    qe_line_histogram(&out, QE_FAMILY_CONSUMER_MESSAGE_RECEIVES, "", &histogram);
    assert_non_null(strstr(qe_strbuf_text(&out),
                           "queue_consumer_message_receives_bucket{le=\"+Inf\"} 3\n"
                           "queue_consumer_message_receives_sum 1004\n"));
    qe_strbuf_deinit(&out);
}

/* Without it, 1.0 and 1 would be two series, depending on format and server version. */
static void every_bound_is_written_with_a_point(void **state)
{
    static const struct qe_histogram_layout *const layouts[] = {
        &qe_histogram_durations, &qe_histogram_waits, &qe_histogram_receives};

    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        for (size_t k = 0; k < layouts[i]->count; k++) {
            assert_non_null(strchr(layouts[i]->le[k], '.'));
            assert_double_equal(strtod(layouts[i]->le[k], NULL), layouts[i]->bounds[k]);
        }
    }
}

static void the_fast_path_writes_what_the_plain_one_does(void **state)
{
    char longest[300];
    struct qe_strbuf out;

    (void)state;
    memset(longest, 'q', sizeof longest);
    longest[0] = '{';
    qe_strbuf_init(&out, 0);
    for (size_t length = 1; length + QE_LABEL_CHUNK_BYTES < sizeof longest; length++) {
        const struct qe_short_text name = qe_line_name(QE_FAMILY_MESSAGES_ACKNOWLEDGED);
        const struct qe_short_text tail = qe_line_tail("method", "head_timestamp");
        char *at = qe_strbuf_reserve(&out, qe_line_room(length));

        assert_non_null(at);
        char *end = qe_line_write(at, &name, longest, length, &tail);
        size_t expected = strlen("queue_messages_acknowledged_total") + length +
                          strlen(",method=\"head_timestamp\"} ");

        assert_int_equal(end - at, expected);
        assert_memory_equal(at, "queue_messages_acknowledged_total{", 34);
        assert_memory_equal(end - 26, ",method=\"head_timestamp\"} ", 26);
        qe_strbuf_reset(&out);
    }
    qe_strbuf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(an_empty_vhost_is_left_out),
        cmocka_unit_test(a_histogram_is_cumulative_and_ends_in_its_count),
        cmocka_unit_test(every_bound_is_written_with_a_point),
        cmocka_unit_test(the_fast_path_writes_what_the_plain_one_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
