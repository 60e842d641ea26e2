/* A node's metrics are told in the same order each time: knowing it changes nothing but the cost.
 */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/family.h"
#include "support/check.h"
#include "util/clock.h"

#define QUEUES_COUNT 12
#define UNKNOWN_COUNT 3 /* the last of them are told of, and in no list */
#define ROUNDS 400

static const char *const s_names[QUEUES_COUNT] = {
    "a",     "orders",       "orders.dlq", "we\"ird\\x", "a\"} 5",  "x{y=\"z\"}",
    "q\\nb", "\xC3\xBC } 4", "",           "new",        "newer 1", "newest\",queue=\"a"};

static size_t number_of(void *context, const struct qe_rmq_named *queue)
{
    size_t *looked_for = context;

    *looked_for += 1;
    for (size_t i = 0; i < QUEUES_COUNT - UNKNOWN_COUNT; i++) {
        if (strlen(s_names[i]) == queue->name_bytes && queue->vhost_bytes == 1 &&
            memcmp(s_names[i], queue->name, queue->name_bytes) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* What is told of each queue, < 0 nothing; order[]: in which order. */
struct made {
    size_t order[QUEUES_COUNT];
    size_t count;
    double values[QUEUES_COUNT][QE_RMQ_VALUE_COUNT];
};

static const struct {
    const char *family;
    int value; /* < 0: not wanted */
} s_families[] = {
    {"messages_ready", QE_RMQ_READY}, {"messages_unacked", QE_RMQ_UNACKNOWLEDGED},
    {"messages", QE_RMQ_MESSAGES},    {"process_reductions_total", -1},
    {"consumers", QE_RMQ_CONSUMERS},  {"messages_bytes", QE_RMQ_BYTES},
};
#define FAMILIES_COUNT (sizeof s_families / sizeof s_families[0])

static void make_order(struct made *made, struct qe_random *random)
{
    made->count = 0;
    for (size_t i = 0; i < QUEUES_COUNT; i++) {
        if (qe_random_next(random) % 8 != 0) {
            made->order[made->count++] = i;
        }
    }
    for (size_t i = made->count; i > 1; i--) {
        const size_t other = (size_t)(qe_random_next(random) % i);
        const size_t swapped = made->order[i - 1];

        made->order[i - 1] = made->order[other];
        made->order[other] = swapped;
    }
}

static void write_number(struct qe_strbuf *out, double *value, struct qe_random *random)
{
    static const struct {
        const char *text;
        double number;
    } odd[] = {{"1e3", 1000}, {"NaN", -1},  {"-1", -1},
               {"2.5", 2.5},  {"+Inf", -1}, {"12345678901234567890", 12345678901234567890.0}};

    if (qe_random_next(random) % 8 == 0) {
        const size_t which = (size_t)(qe_random_next(random) % (sizeof odd / sizeof odd[0]));

        (void)qe_strbuf_append_text(out, odd[which].text);
        *value = odd[which].number >= 0 ? odd[which].number : *value;
    } else {
        *value = (double)(qe_random_next(random) % 100000);
        (void)qe_strbuf_printf(out, "%.0f", *value);
    }
}

/* The text of an answer; now and then a queue is left out of a family, or told of twice. */
static void write_text(struct made *made, struct qe_random *random, struct qe_strbuf *out)
{
    qe_strbuf_reset(out);
    for (size_t i = 0; i < QUEUES_COUNT; i++) {
        for (size_t value = 0; value < QE_RMQ_VALUE_COUNT; value++) {
            made->values[i][value] = -1;
        }
    }
    for (size_t family = 0; family < FAMILIES_COUNT; family++) {
        (void)qe_strbuf_append_text(out, "# TYPE x gauge\n");
        for (size_t at = 0; at < made->count; at++) {
            const size_t queue = made->order[at];
            const size_t times = qe_random_next(random) % 30 == 0 ? qe_random_next(random) % 3 : 1;

            for (size_t i = 0; i < times; i++) {
                double ignored = 0;

                (void)qe_strbuf_printf(out, "rabbitmq_detailed_queue_%s{vhost=\"/\",queue=\"%s\"} ",
                                       s_families[family].family, s_names[queue]);
                write_number(out,
                             s_families[family].value < 0
                                 ? &ignored
                                 : &made->values[queue][s_families[family].value],
                             random);
                (void)qe_strbuf_append_char(out, '\n');
            }
        }
    }
}

/* In pieces of up to `piece_max` bytes. */
static void read_text(struct qe_rmq_told *told, const struct qe_strbuf *text, size_t piece_max,
                      struct qe_random *random, size_t *looked_for)
{
    struct qe_rmq_families families;
    struct qe_err err = {0};
    size_t piece = 0;

    *looked_for = 0;
    qe_rmq_families_init(&families, number_of, looked_for, told);
    for (size_t at = 0; at < text->length_bytes; at += piece) {
        piece = 1 + (size_t)(qe_random_next(random) % piece_max);
        piece = piece < text->length_bytes - at ? piece : text->length_bytes - at;
        assert_ok(qe_rmq_families_feed(&families, text->data + at, piece, &err), err);
    }
    assert_ok(qe_rmq_families_end(&families, &err), err);
    qe_rmq_families_deinit(&families);
}

// NOLINTNEXTLINE(readability-function-size) assertions expand to branches
static void check(const struct qe_rmq_told *told, const struct made *made, size_t round)
{
    struct qe_rmq_reading seen[QUEUES_COUNT] = {{0}};

    for (size_t i = 0; i < told->count; i++) {
        if (told->items[i].reading.known != 0) {
            assert_true(told->items[i].queue < QUEUES_COUNT - UNKNOWN_COUNT);
            assert_int_equal(seen[told->items[i].queue].known, 0);
            seen[told->items[i].queue] = told->items[i].reading;
        }
    }
    for (size_t i = 0; i < QUEUES_COUNT - UNKNOWN_COUNT; i++) {
        for (size_t value = 0; value < QE_RMQ_VALUE_COUNT; value++) {
            const double got =
                qe_rmq_has(&seen[i], (enum qe_rmq_value)value) ? seen[i].values[value] : -1;

            if (got < made->values[i][value] || got > made->values[i][value]) {
                fail_msg("round %zu, queue %s, value %zu: %g, not %g", round, s_names[i], value,
                         got, made->values[i][value]);
            }
        }
    }
}

static void whatever_the_order_and_the_pieces_each_queue_has_its_own_values(void **state)
{
    struct qe_rmq_told told = {0};
    struct qe_strbuf text = {0};
    struct qe_random random;
    struct made made;
    size_t looked_for = 0;

    (void)state;
    qe_random_init(&random, 1);
    for (size_t round = 0; round < ROUNDS; round++) {
        if (round % 3 == 0) { /* else as before: what it costs is the next test's */
            make_order(&made, &random);
        }
        if (round % 50 == 49) {
            qe_rmq_told_forget(&told);
        }
        write_text(&made, &random, &text);
        read_text(&told, &text, round % 2 == 0 ? 7 : text.length_bytes + 1, &random, &looked_for);
        check(&told, &made, round);
        if (round % 7 != 0) { /* else it was another broker's: what it told is not taken */
            qe_rmq_told_end(&told);
        }
    }
    qe_rmq_told_deinit(&told);
    qe_strbuf_deinit(&text);
}

static void names_are_looked_for_once_until_the_order_changes(void **state)
{
#define LINE(family, queue)                                                                        \
    "rabbitmq_detailed_queue_" family "{vhost=\"/\",queue=\"" queue "\"} 1\n"
#define BOTH(first, second)                                                                        \
    LINE("messages_ready", first)                                                                  \
    LINE("messages_ready", second) LINE("consumers", first) LINE("consumers", second)
    static const struct {
        const char *text;
        size_t looked_for;
        const char *why;
    } rows[] = {
        {BOTH("a", "orders"), 2, "learns"},
        {BOTH("a", "orders"), 0, "knows"},
        {BOTH("orders", "a"), 4, "the other way round"},
        {BOTH("orders", "a"), 2, "so it learns anew"},
        {BOTH("orders", "a"), 0, "and knows"},
        {LINE("consumers", "orders"), 0, "one is gone"},
        {LINE("consumers", "orders"), 1, "which is learnt"},
        {LINE("consumers", "orders"), 0, "and known"},
        {LINE("consumers", "orders") LINE("consumers", "new"), 2, "one that is in no list, twice"},
        {LINE("consumers", "orders") LINE("consumers", "new"), 3, "as it stands, and unescaped"},
        {LINE("consumers", "orders") LINE("consumers", "new"), 0, "is known not to be"},
    };
    struct qe_rmq_told told = {0};
    struct qe_random random;

    (void)state;
    qe_random_init(&random, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_strbuf text = {0};
        size_t looked_for = 0;

        (void)qe_strbuf_append_text(&text, rows[i].text);
        read_text(&told, &text, text.length_bytes + 1, &random, &looked_for);
        qe_rmq_told_end(&told);
        if (looked_for != rows[i].looked_for) {
            fail_msg("%s: looked for %zu names", rows[i].why, looked_for);
        }
        qe_strbuf_deinit(&text);
    }
    qe_rmq_told_deinit(&told);
}

static void a_line_without_an_end_is_refused(void **state)
{
    struct qe_rmq_told told = {0};
    struct qe_rmq_families families;
    struct qe_err err = {0};
    char piece[1000];
    size_t looked_for = 0;
    int rc = 0;

    (void)state;
    memset(piece, 'x', sizeof piece);
    qe_rmq_families_init(&families, number_of, &looked_for, &told);
    for (size_t i = 0; i < 1000 && rc == 0; i++) {
        rc = qe_rmq_families_feed(&families, piece, sizeof piece, &err);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    assert_string_equal(err.message, "line 1: endless");
    qe_rmq_families_deinit(&families);
    qe_rmq_told_deinit(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_the_order_and_the_pieces_each_queue_has_its_own_values),
        cmocka_unit_test(names_are_looked_for_once_until_the_order_changes),
        cmocka_unit_test(a_line_without_an_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
