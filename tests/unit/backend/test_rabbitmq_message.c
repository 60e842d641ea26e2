/* Messages as AMQP's properties and headers, out and in. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "backend/rabbitmq/work.h"
#include "support/check.h"
#include "util/text.h"

static const struct {
    const char *name;
    const char *type;
    const char *value;
} s_values[] = {
    {"text", "", "plain \xc3\xa9"},
    {"empty", "", ""},
    {"t", "boolean", "true"},
    {"f", "boolean", "false"},
    {"b", "int8", "-128"},
    {"B", "uint8", "255"},
    {"s", "int16", "-32768"},
    {"u", "uint16", "65535"},
    {"I", "int32", "-2147483648"},
    {"i", "uint32", "4294967295"},
    {"l", "int64", "-9223372036854775808"},
    {"L", "uint64", "18446744073709551615"},
    {"float", "float", "0.5"},
    {"d", "double", "0.10000000000000001"},
    {"D", "decimal", "12345e-2"},
    {"T", "timestamp", "1700000000"},
    {"V", "void", ""},
    {"x", "bytes", "AAEC/w=="},
    {"S", "longstr", "/w=="},
    {"Number", "Number", "7"}, /* SQS calls its types so */
    {"custom", "String.json", "{}"},
    {"content-type", "property", "application/json"},
    {"priority", "property", "9"},
};
#define VALUES_COUNT (sizeof s_values / sizeof s_values[0])

static void add_all(struct qe_attributes *attributes)
{
    struct qe_err err = {0};

    for (size_t i = 0; i < VALUES_COUNT; i++) {
        assert_ok(qe_attributes_add_typed(attributes, s_values[i].name, s_values[i].type,
                                          s_values[i].value, &err),
                  err);
    }
}

static struct qe_amqp_letter letter_of(const struct qe_attributes *attributes)
{
    return (struct qe_amqp_letter){.exchange = "",
                                   .routing_key = "q",
                                   .body = "b",
                                   .body_bytes = 1,
                                   .attributes = attributes,
                                   .id = "id-1",
                                   .correlation_id = "c-1",
                                   .reply_to = "r-1",
                                   .sent_unix_ms = INT64_C(1700000000123)};
}

/* Out and in again. */
static int pass(const struct qe_amqp_letter *letter, bool redelivered, struct qe_message *out,
                struct qe_err *err)
{
    amqp_basic_properties_t properties;
    amqp_pool_t pool;

    init_amqp_pool(&pool, 4096);
    int rc = qe_amqp_write(letter, &pool, &properties, err);

    rc = rc == 0 ? qe_message_init(out, err) : rc;
    if (rc == 0 && qe_amqp_read(&properties, redelivered, out, err) != 0) {
        qe_message_deinit(out);
        rc = -1;
    }
    empty_amqp_pool(&pool);
    return rc;
}

static const char *type_of(const struct qe_attributes *attributes, const char *name)
{
    for (size_t i = 0; i < attributes->count; i++) {
        if (strcmp(attributes->items[i].name, name) == 0) {
            return attributes->items[i].type;
        }
    }
    return "(none)";
}

static void every_value_comes_back_with_its_type(void **state)
{
    struct qe_attributes attributes = {0};
    struct qe_message message = {0};
    struct qe_err err = {0};

    (void)state;
    add_all(&attributes);
    const struct qe_amqp_letter letter = letter_of(&attributes);

    assert_ok(pass(&letter, false, &message, &err), err);
    assert_int_equal(message.attributes.count, VALUES_COUNT);
    for (size_t i = 0; i < VALUES_COUNT; i++) {
        assert_string_equal(qe_attributes_get(&message.attributes, s_values[i].name),
                            s_values[i].value);
    }
    for (size_t i = 0; i < VALUES_COUNT; i++) {
        assert_string_equal(type_of(&message.attributes, s_values[i].name), s_values[i].type);
    }
    assert_string_equal(message.id, "id-1");
    assert_true(message.id_is_publishers);
    assert_string_equal(message.correlation_id, "c-1");
    assert_string_equal(message.reply_to, "r-1");
    assert_int_equal(message.sent_unix_ms, INT64_C(1700000000123));
    assert_int_equal(message.receives, 1);
    qe_message_deinit(&message);
    qe_attributes_deinit(&attributes);
}

static void a_nested_value_survives_a_move(void **state)
{
    amqp_table_entry_t inner = {.key = qe_amqp_text("k"),
                                .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = -5}};
    amqp_field_value_t items[] = {
        {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {.num_entries = 1, .entries = &inner}},
        {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text("two")}};
    const amqp_field_value_t array = {.kind = AMQP_FIELD_KIND_ARRAY,
                                      .value.array = {.num_entries = 2, .entries = items}};
    struct qe_attributes attributes = {0};
    amqp_field_value_t back;
    amqp_pool_t pool;
    bool is_known = false;
    struct qe_err err = {0};

    (void)state;
    init_amqp_pool(&pool, 4096);
    assert_ok(qe_amqp_value_read("nested", &array, &attributes, &err), err);
    assert_string_equal(attributes.items[0].type, "array");
    assert_ok(qe_amqp_value_write(&attributes.items[0], &pool, &back, &is_known, &err), err);
    assert_true(is_known);
    assert_int_equal(back.kind, AMQP_FIELD_KIND_ARRAY);
    assert_int_equal(back.value.array.num_entries, 2);
    assert_int_equal(back.value.array.entries[0].value.table.entries[0].value.value.i64, -5);
    assert_int_equal(back.value.array.entries[1].value.bytes.len, 3);
    empty_amqp_pool(&pool);
    qe_attributes_deinit(&attributes);
}

static void a_value_that_is_not_its_type_is_refused(void **state)
{
    static const struct {
        const char *type;
        const char *value;
    } s_rows[] = {
        {"boolean", "yes"},    {"int8", "128"},    {"int8", "-129"},      {"uint8", "-1"},
        {"uint8", "256"},      {"int32", ""},      {"int64", "1.5"},      {"float", "x"},
        {"decimal", "12"},     {"decimal", "e-2"}, {"decimal", "1e-256"}, {"bytes", "?"},
        {"table", "AAAA"},     {"array", ""},      {"timestamp", "now"},  {"int64", "--1"},
        {"table", "/////w=="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_attributes attributes = {0};
        struct qe_message message = {0};
        struct qe_err err = {0};

        assert_ok(
            qe_attributes_add_typed(&attributes, "broken", s_rows[i].type, s_rows[i].value, &err),
            err);
        const struct qe_amqp_letter letter = letter_of(&attributes);

        assert_int_equal(pass(&letter, false, &message, &err), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_non_null(strstr(err.message, "broken"));
        qe_attributes_deinit(&attributes);
    }
}

static void what_does_not_fit_is_refused_before_it_is_sent(void **state)
{
    static char long_text[100001];
    struct qe_attributes attributes = {0};
    struct qe_message message = {0};
    struct qe_err err = {0};

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    struct qe_amqp_letter letter = letter_of(NULL);

    letter.correlation_id = long_text;
    assert_int_equal(pass(&letter, false, &message, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    letter = letter_of(NULL);
    letter.body_bytes = QE_MESSAGE_BODY_MAX_BYTES + 1;
    assert_int_equal(pass(&letter, false, &message, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    letter.is_copy = true; /* the broker has one of this size already */
    assert_ok(pass(&letter, false, &message, &err), err);
    qe_message_deinit(&message);
    assert_ok(qe_attributes_add(&attributes, "large", long_text, &err), err);
    letter = letter_of(&attributes);
    assert_int_equal(pass(&letter, false, &message, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_attributes_deinit(&attributes);
    long_text[256] = '\0';
    assert_ok(qe_attributes_add(&attributes, long_text, "v", &err), err);
    letter = letter_of(&attributes);
    assert_int_equal(pass(&letter, false, &message, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
    qe_attributes_deinit(&attributes);
}

/* A header of a message as it comes from the broker. */
static amqp_table_entry_t number(const char *name, int64_t value)
{
    return (amqp_table_entry_t){.key = qe_amqp_text(name),
                                .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = value}};
}

static uint32_t receives_of(amqp_table_entry_t *headers, int count, bool redelivered)
{
    const amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_HEADERS_FLAG, .headers = {.num_entries = count, .entries = headers}};
    struct qe_message message = {0};
    struct qe_err err = {0};

    assert_ok(qe_message_init(&message, &err), err);
    assert_ok(qe_amqp_read(&properties, redelivered, &message, &err), err);
    assert_int_equal(message.attributes.count, 0); /* none of them is an attribute */
    const uint32_t receives = message.receives;

    qe_message_deinit(&message);
    return receives;
}

static void receives_are_what_is_known_of_them(void **state)
{
    amqp_table_entry_t both[] = {number("x-delivery-count", 2), number("x-receives", 3)};
    amqp_table_entry_t broken[] = {number("x-delivery-count", -1), number("x-receives", -3)};

    (void)state;
    assert_int_equal(receives_of(NULL, 0, false), 1);
    assert_int_equal(receives_of(NULL, 0, true), 0); /* a classic queue says no more */
    assert_int_equal(receives_of(both, 1, true), 3);
    assert_int_equal(receives_of(both, 2, true), 6);
    assert_int_equal(receives_of(both + 1, 1, false), 4);
    assert_int_equal(receives_of(both + 1, 1, true), 0);
    assert_int_equal(receives_of(broken, 2, false), 1);
}

struct death {
    const char *queue;
    const char *reason;
    int64_t count;
};

static void read_deaths(const struct death *deaths, int count, struct qe_message *out)
{
    amqp_table_entry_t entries[4][4];
    amqp_field_value_t items[4];
    struct qe_err err = {0};

    for (int i = 0; i < count; i++) {
        entries[i][0] = number("count", deaths[i].count);
        entries[i][1] = (amqp_table_entry_t){
            .key = qe_amqp_text("queue"),
            .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text(deaths[i].queue)}};
        entries[i][2] = (amqp_table_entry_t){
            .key = qe_amqp_text("reason"),
            .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text(deaths[i].reason)}};
        entries[i][3] = (amqp_table_entry_t){
            .key = qe_amqp_text("time"),
            .value = {.kind = AMQP_FIELD_KIND_TIMESTAMP, .value.u64 = 1700000000}};
        items[i] = (amqp_field_value_t){.kind = AMQP_FIELD_KIND_TABLE,
                                        .value.table = {.num_entries = 4, .entries = entries[i]}};
    }
    amqp_table_entry_t header = {
        .key = qe_amqp_text("x-death"),
        .value = {.kind = AMQP_FIELD_KIND_ARRAY,
                  .value.array = {.num_entries = count, .entries = items}}};
    const amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                                .headers = {.num_entries = 1, .entries = &header}};

    assert_ok(qe_message_init(out, &err), err);
    assert_ok(qe_amqp_read(&properties, false, out, &err), err);
}

/* What is not known stays so in the copy, but at least that often it was: or a message that always
 * fails would never reach its limit. */
static void a_copy_of_what_was_not_counted_counts_at_least(void **state)
{
    struct qe_message message = {0};
    struct qe_err err = {0};

    (void)state;
    struct qe_amqp_letter letter = letter_of(NULL);
    assert_ok(pass(&letter, true, &message, &err), err); /* redelivered by a classic queue */
    for (uint32_t least = 2; least < 5; least++) {
        assert_int_equal(message.receives, 0);
        assert_int_equal(message.receives_least, least);
        letter.receives = message.receives;
        letter.receives_least = message.receives_least;
        qe_message_deinit(&message);
        assert_ok(pass(&letter, false, &message, &err), err);
    }
    qe_message_deinit(&message);
    letter.receives = 4;
    assert_ok(pass(&letter, false, &message, &err), err);
    assert_int_equal(message.receives, 5);
    assert_int_equal(message.receives_least, 0);
    qe_message_deinit(&message);
}

static void a_death_is_told_but_a_delay_is_none(void **state)
{
    static const struct death s_deaths[] = {
        {"qe.delay.5s", "expired", 3}, {"orders", "rejected", 1}, {"older", "maxlen", 1}};
    static const struct death s_again[] = {{"orders", "rejected", 2}};
    struct qe_message message = {0};

    (void)state;
    read_deaths(s_deaths, 3, &message);
    assert_string_equal(qe_attributes_get(&message.attributes, "dead-letter-reason"), "rejected");
    assert_string_equal(qe_attributes_get(&message.attributes, "dead-letter-source"), "orders");
    assert_int_equal(message.enqueued_unix_ms, INT64_C(1700000000000));
    qe_message_deinit(&message);
    read_deaths(s_again, 1, &message);
    assert_int_equal(message.enqueued_unix_ms, 0); /* the time told is that of the first */
    qe_message_deinit(&message);
    read_deaths(s_deaths, 1, &message);
    assert_int_equal(message.attributes.count, 0);
    qe_message_deinit(&message);
}

static int pass_all(void *context, struct qe_err *err)
{
    struct qe_message message = {0};
    const struct qe_amqp_letter letter = letter_of(context);
    const int rc = pass(&letter, false, &message, err);

    qe_message_deinit(&message);
    return rc;
}

/* Else a later dead-lettering would believe that those queues have theirs, and send none. */
static void a_copy_does_not_say_where_an_earlier_one_went(void **state)
{
    amqp_table_entry_t entries[] = {
        {.key = qe_amqp_text("content-type"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text("header")}},
        {.key = qe_amqp_text(QE_AMQP_COPIED),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = qe_amqp_text("a-dlq")}},
    };
    amqp_basic_properties_t original = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                        .headers = {.num_entries = 2, .entries = entries}};
    const struct qe_attributes none = {0};
    struct qe_amqp_letter letter = letter_of(&none);
    struct qe_amqp_raw raw = {0};
    struct qe_message message = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_amqp_raw_read(&original, &raw, &err), err);
    assert_non_null(raw.bytes);
    letter.is_copy = true;
    letter.raw = &raw;
    assert_ok(pass(&letter, false, &message, &err), err);
    assert_non_null(qe_attributes_get(&message.attributes, "content-type"));
    assert_null(qe_attributes_get(&message.attributes, QE_AMQP_COPIED));
    qe_message_deinit(&message);
    qe_amqp_raw_deinit(&raw);
}

static void running_out_of_memory_is_told(void **state)
{
    struct qe_attributes attributes = {0};

    (void)state;
    add_all(&attributes);
    qe_check_torture(pass_all, &attributes);
    qe_attributes_deinit(&attributes);
}

static void delay_takes_as_long_as_the_next_queue_for_delays(void **state)
{
    static const int64_t rows[][2] = {{0, 0},     {1, 100},     {100, 100},
                                      {101, 250}, {1100, 2000}, {INT64_C(25000000), 43200000}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(qe_rmq_delay_ms(rows[i][0]), rows[i][1]);
    }
}

static void a_landing_queue_has_a_name_of_its_own_however_long_its_targets(void **state)
{
    char target[QE_AMQP_SHORT_MAX_BYTES + 1];
    char landing[QE_AMQP_SHORT_MAX_BYTES + 1];
    char other[QE_AMQP_SHORT_MAX_BYTES + 1];

    (void)state;
    qe_amqp_delay_landing("orders", landing);
    assert_string_equal(landing, "qe.delay.to.orders");
    for (size_t i = 0; i + 1 < sizeof target; i += 3) {
        memcpy(target + i, "\xe2\x82\xac", 3); /* 85 signs of the euro */
    }
    target[sizeof target - 1] = '\0';
    qe_amqp_delay_landing(target, landing);
    assert_true(qe_text_is_utf8(landing, strlen(landing)));
    assert_in_range(strlen(landing), 250, QE_AMQP_SHORT_MAX_BYTES);
    memcpy(target + sizeof target - 4, "abc", 3);
    qe_amqp_delay_landing(target, other);
    assert_string_not_equal(landing, other);
    target[243] = '\0';
    qe_amqp_delay_landing(target, landing);
    assert_int_equal(strlen(landing), QE_AMQP_SHORT_MAX_BYTES);
    assert_string_equal(landing + strlen("qe.delay.to."), target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_landing_queue_has_a_name_of_its_own_however_long_its_targets),
        cmocka_unit_test(delay_takes_as_long_as_the_next_queue_for_delays),
        cmocka_unit_test(every_value_comes_back_with_its_type),
        cmocka_unit_test(a_nested_value_survives_a_move),
        cmocka_unit_test(a_value_that_is_not_its_type_is_refused),
        cmocka_unit_test(what_does_not_fit_is_refused_before_it_is_sent),
        cmocka_unit_test(receives_are_what_is_known_of_them),
        cmocka_unit_test(a_copy_of_what_was_not_counted_counts_at_least),
        cmocka_unit_test(a_death_is_told_but_a_delay_is_none),
        cmocka_unit_test(a_copy_does_not_say_where_an_earlier_one_went),
        cmocka_unit_test(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("rabbitmq message", tests, NULL, NULL);
}
