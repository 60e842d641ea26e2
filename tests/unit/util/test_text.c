#include <string.h>

#include "support/check.h"
#include "util/clock.h"
#include "util/text.h"

static void whole_numbers_are_read_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "-1",
                                      "+1",
                                      "1.0",
                                      "0x10",
                                      "1e3",
                                      "abc",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    struct qe_err err = {0};
    uint64_t value = 7;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(qe_text_to_u64(bad[i], UINT64_MAX, &value, &err), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_true(value == 7); /* untouched */
    }
    assert_ok(qe_text_to_u64("18446744073709551615", UINT64_MAX, &value, &err), err);
    assert_true(value == UINT64_MAX);
    assert_ok(qe_text_to_u64("0010", 10, &value, &err), err);
    assert_true(value == 10);
    assert_int_equal(qe_text_to_u64("11", 10, &value, &err), -1);
    assert_string_equal(err.message, "\"11\" is not a whole number from 0 to 10");
    assert_int_equal(qe_text_to_u64("5", 3, &value, &err), -1); /* a digit above a small max */
}

static void an_error_repeats_a_cut_of_the_text(void **state)
{
    (void)state;
    char text[300];
    struct qe_err err = {0};
    uint64_t value = 0;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(qe_text_to_u64(text, 10, &value, &err), -1);
    assert_non_null(strstr(err.message, "xxx...\" is not a whole number"));
}

static void numbers_are_decimal_and_finite(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    ".",     "1.2.3", "0x1p3", "nan", "inf", "1e",
                                      "1e+", "1e999", " 1",    "1 ",    "1,5", "-",   "--1"};
    static const struct {
        const char *text;
        double value;
    } good[] = {{"1", 1},  {"-1.5", -1.5}, {"+2", 2},           {".5", 0.5},
                {"5.", 5}, {"1e3", 1000},  {"1.25E-2", 0.0125}, {"0.1", 0.1}};
    struct qe_err err = {0};
    double value = 7;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(qe_text_to_double(bad[i], &value, &err), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_double_equal(value, 7);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(qe_text_to_double(good[i].text, &value, &err), err);
        assert_double_equal(value, good[i].value);
    }
}

static void durations_are_read_as_prometheus_writes_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},         {"0s", 0},           {"250ms", 250},      {"30s", 30000},
                {"5m", 300000},   {"4h", 14400000},    {"14d", 1209600000}, {"1h30m", 5400000},
                {"1m30s", 90000}, {"1d1ms", 86400001}, {"90s", 90000}};
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "5 s",
                                      "-5s",
                                      "1.5s",
                                      "5x",
                                      "30s1m",
                                      "1m1m",
                                      "5S",
                                      "5sec",
                                      "1ms1s",
                                      "5s ",
                                      "9223372036854775808ms",
                                      "106751991168d",
                                      "106751991167d24h"};
    struct qe_err err = {0};
    int64_t ms = 7;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(qe_text_to_duration_ms(good[i].text, &ms, &err), err);
        assert_true(ms == good[i].ms);
    }
    ms = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (qe_text_to_duration_ms(bad[i], &ms, &err) != -1) {
            fail_msg("%s was accepted", bad[i]);
        }
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_true(ms == 7);
    }
}

static void sizes_need_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"512B", 512},
                {"64KiB", 65536},
                {"1MiB", 1048576},
                {"2GiB", UINT64_C(2147483648)},
                {"64kB", 64000},
                {"1MB", 1000000},
                {"3GB", UINT64_C(3000000000)},
                {"16777215TiB", UINT64_C(16777215) << 40}};
    static const char *const bad[] = {"",      "5",   "KiB", "1 KiB",      "1kib",
                                      "1.5MB", "-1B", "1K",  "16777216TiB"};
    struct qe_err err = {0};
    uint64_t bytes = 7;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(qe_text_to_size_bytes(good[i].text, &bytes, &err), err);
        assert_true(bytes == good[i].bytes);
    }
    bytes = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (qe_text_to_size_bytes(bad[i], &bytes, &err) != -1) {
            fail_msg("%s was accepted", bad[i]);
        }
        assert_true(bytes == 7);
    }
}

static void what_is_written_reads_back_equal(void **state)
{
    (void)state;
    struct qe_random random;
    struct qe_err err = {0};
    char text[32];

    qe_random_init(&random, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = qe_random_next(&random);
        uint64_t number = bits >> (1 + bits % 60);
        int64_t ms = -1;
        uint64_t bytes = 0;

        assert_ok(qe_text_to_duration_ms(qe_text_from_duration((int64_t)number, text), &ms, &err),
                  err);
        assert_true(ms == (int64_t)number);
        assert_ok(qe_text_to_size_bytes(qe_text_from_size(number, text), &bytes, &err), err);
        assert_true(bytes == number);
    }
    assert_string_equal(qe_text_from_duration(90000, text), "1m30s");
    assert_string_equal(qe_text_from_duration(0, text), "0s");
    assert_string_equal(qe_text_from_duration(-250, text), "-250ms");
    assert_string_equal(qe_text_from_duration(INT64_MIN, text), "-106751991167d7h12m55s808ms");
    assert_string_equal(qe_text_from_size(65536, text), "64KiB");
    assert_string_equal(qe_text_from_size(64000, text), "64kB"); /* 62.5KiB */
    assert_string_equal(qe_text_from_size(0, text), "0B");
    assert_string_equal(qe_text_from_size(1023, text), "1023B");
}

static void time_is_written_in_utc_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t unix_ms;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00.000Z"},
                {-1, "1969-12-31T23:59:59.999Z"},
                {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
                {INT64_C(1795377495123), "2026-11-22T19:58:15.123Z"},
                {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z"}, /* 2100 is no leap year */
                {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
                {INT64_MAX, "292278994-08-17T07:12:55.807Z"}};
    char text[32];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(qe_text_from_unix_ms(rows[i].unix_ms, text), rows[i].text);
    }
}

static void case_is_ignored_for_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(qe_text_equal_nocase("Content-TYPE", "content-type"));
    assert_true(qe_text_equal_nocase("", ""));
    assert_false(qe_text_equal_nocase("a", "ab"));
    assert_false(qe_text_equal_nocase("[", "{")); /* 0x20 apart, but no letters */
    assert_false(qe_text_equal_nocase("\xc3\x84", "\xc3\xa4"));
    assert_true(qe_text_starts_with("orders-dlq", "orders"));
    assert_true(qe_text_starts_with("orders", ""));
    assert_false(qe_text_starts_with("ord", "orders"));
}

static void utf8_is_checked_as_the_standard_says(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const struct {
        const char *text;
        const char *why;
    } bad[] = {
        {"\x80", "a continuation alone"},
        {"\xc0\x80", "overlong NUL"},
        {"\xc1\xbf", "overlong"},
        {"\xe0\x9f\xbf", "overlong"},
        {"\xf0\x8f\xbf\xbf", "overlong"},
        {"\xed\xa0\x80", "a surrogate"},
        {"\xf4\x90\x80\x80", "past U+10FFFF"},
        {"\xf5\x80\x80\x80", "past U+10FFFF"},
        {"\xc3", "cut"},
        {"\xe2\x82", "cut"},
        {"\xe2\x28\xa1", "no continuation"},
        {"a\xff", "never valid"},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(qe_text_is_utf8(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (qe_text_is_utf8(bad[i].text, strlen(bad[i].text))) {
            fail_msg("accepted: %s", bad[i].why);
        }
    }
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t ends[] = {0, 1, 3, 6, 10, 11};
    size_t length = strlen(text);

    for (size_t max = 0; max <= length + 2; max++) {
        size_t wanted = 0;

        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            wanted = ends[i] <= max ? ends[i] : wanted;
        }
        assert_int_equal(qe_text_cut(text, length, max), wanted);
    }
    assert_int_equal(qe_text_cut("\x80\x80\x80\x80\x80", 5, 4), 4); /* garbage is cut anywhere */
    assert_int_equal(qe_text_cut("\xff\xff", 2, 1), 1);
}

static void a_near_miss_is_suggested_and_a_guess_is_not(void **state)
{
    (void)state;
    static const char *const names[] = {
        "visibility_timeout", "retention", "delay", "name", "queue", "path"};
    size_t count = sizeof names / sizeof names[0];
    static const struct {
        const char *text;
        const char *wanted;
    } rows[] = {{"visiblity_timeout", "visibility_timeout"},
                {"retenttion", "retention"},
                {"dealy", "delay"}, /* two neighbours swapped are one slip */
                {"nmae", "name"},
                {"queues", "queue"},
                {"xyz", NULL},
                {"timeout", NULL},
                {"", NULL}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *nearest = qe_text_nearest(rows[i].text, names, count);

        if (rows[i].wanted == NULL) {
            assert_null(nearest);
        } else {
            assert_non_null(nearest);
            assert_string_equal(nearest, rows[i].wanted);
        }
    }
    char longest[100];

    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(qe_text_nearest(longest, names, count));
}

static void the_nearest_of_several_wins(void **state)
{
    (void)state;
    static const char *const names[] = {"poll_interval_x", "poll_timeout", "poll_interval"};

    assert_string_equal(qe_text_nearest("poll_intervall", names, 3), "poll_interval");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_read_strictly),
        cmocka_unit_test(an_error_repeats_a_cut_of_the_text),
        cmocka_unit_test(numbers_are_decimal_and_finite),
        cmocka_unit_test(durations_are_read_as_prometheus_writes_them),
        cmocka_unit_test(sizes_need_a_unit),
        cmocka_unit_test(what_is_written_reads_back_equal),
        cmocka_unit_test(time_is_written_in_utc_with_milliseconds),
        cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
        cmocka_unit_test(utf8_is_checked_as_the_standard_says),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(a_near_miss_is_suggested_and_a_guess_is_not),
        cmocka_unit_test(the_nearest_of_several_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
