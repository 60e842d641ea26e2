#include <float.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "util/clock.h"
#include "util/number.h"

#define ROUNDS 1000000

static void to_text(double value, char out[QE_NUMBER_MAX_BYTES + 1])
{
    size_t length = qe_number_write_double(value, out);

    assert_true(length > 0 && length <= QE_NUMBER_MAX_BYTES);
    out[length] = '\0';
}

static void known_numbers_are_written_as_expected(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1, "-1"},
        {10, "10"},
        {99, "99"},
        {100, "100"},
        {120000, "120000"},
        {1e15, "1000000000000000"},
        {9007199254740991, "9007199254740991"},
        {9007199254740992, "9007199254740992"}, /* 2^53: the last without exponent */
        {-9007199254740992, "-9007199254740992"},
        {0x1p54, "18014398509481984"},
        {0.1, "0.1"},
        {-0.5, "-0.5"},
        {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {2.5, "2.5"},
        {1792.0625, "1792.0625"},
        {1764007200.123, "1764007200.123"}, /* a Unix time with milliseconds */
        {0.000001, "0.000001"},
        {1e-9, "0.000000001"},
        {1e-10, "1e-10"},
        {1e300, "1e+300"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {4.9406564584124654e-324, "5e-324"}, /* the smallest subnormal */
        {2251799813685248.5, "2251799813685248.5"},
        {0.999999999999999, "0.999999999999999"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[QE_NUMBER_MAX_BYTES + 1];

        to_text(rows[i].value, text);
        assert_string_equal(text, rows[i].text);
        assert_true(strtod(text, NULL) == rows[i].value);
    }
}

static void what_is_not_a_number_has_its_prometheus_name(void **state)
{
    (void)state;
    char text[QE_NUMBER_MAX_BYTES + 1];

    to_text((double)NAN, text);
    assert_string_equal(text, "NaN");
    to_text(-(double)NAN, text);
    assert_string_equal(text, "NaN");
    to_text((double)INFINITY, text);
    assert_string_equal(text, "+Inf");
    to_text(-(double)INFINITY, text);
    assert_string_equal(text, "-Inf");
}

/* Reads back equal, to the bit, and no longer than %.17g. */
static void check_round_trip(double value)
{
    char text[QE_NUMBER_MAX_BYTES + 1];
    char *end = NULL;

    to_text(value, text);
    double back = strtod(text, &end);

    /* Equal, and for zero of the same sign. */
    if (*end != '\0' || back != value || signbit(back) != signbit(value)) {
        fail_msg("%a became %s", value, text);
    }
    double magnitude = fabs(value);

    if (magnitude == floor(magnitude) && magnitude <= 0x1p53 && strpbrk(text, ".e") != NULL) {
        fail_msg("the integer %.0f became %s", value, text);
    }
}

static void random_bits_read_back_equal(void **state)
{
    (void)state;
    struct qe_random random;

    qe_random_init(&random, 20260101);
    for (int i = 0; i < ROUNDS / 2; i++) {
        uint64_t bits = qe_random_next(&random);
        double value = 0;

        if (i % 16 == 0) {
            bits &= ~(UINT64_C(0x7ff) << 52); /* subnormal */
        }
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            check_round_trip(value);
        }
    }
}

static void random_decimals_and_integers_read_back_equal(void **state)
{
    (void)state;
    struct qe_random random;

    qe_random_init(&random, 20260102);
    for (int i = 0; i < ROUNDS / 2; i++) {
        uint64_t bits = qe_random_next(&random);
        double whole = (double)(bits >> (11 + bits % 50)); /* any magnitude up to 2^53 */

        check_round_trip(whole);
        check_round_trip(-whole);
        check_round_trip(whole / pow(10, (double)(bits % 16)));
        check_round_trip(qe_random_unit(&random));
    }
}

static void a_decimal_keeps_the_digits_it_was_written_with(void **state)
{
    (void)state;
    struct qe_random random;

    /* 15 digits survive text - double - text, so the same digits must come out. */
    qe_random_init(&random, 7);
    for (int i = 0; i < ROUNDS / 10; i++) {
        uint64_t bits = qe_random_next(&random);
        char wanted[48];
        char text[QE_NUMBER_MAX_BYTES + 1];

        (void)snprintf(wanted, sizeof wanted, "%" PRIu64 ".%03" PRIu64 "1", bits % 1000000000,
                       (bits >> 40) % 1000);
        to_text(strtod(wanted, NULL), text);
        assert_string_equal(text, wanted);
    }
}

static void the_locale_plays_no_part(void **state)
{
    (void)state;
    char text[QE_NUMBER_MAX_BYTES + 1];

    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL &&
        setlocale(LC_NUMERIC, "fr_FR.UTF-8") == NULL) {
        print_message("no locale with a decimal comma is installed: not tried\n");
        skip();
    }
    to_text(0.1 + 0.2, text);
    (void)setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "0.30000000000000004");
}

static void unsigned_integers_are_exact(void **state)
{
    (void)state;
    uint64_t value = 1;

    for (int digits = 1; digits <= 20; digits++) {
        for (uint64_t offset = 0; offset < 3; offset++) {
            char wanted[32];
            char text[QE_NUMBER_MAX_BYTES + 1];

            (void)snprintf(wanted, sizeof wanted, "%" PRIu64, value - 1 + offset);
            text[qe_number_write_u64(value - 1 + offset, text)] = '\0';
            assert_string_equal(text, wanted);
        }
        value *= 10;
    }
    char text[QE_NUMBER_MAX_BYTES + 1];

    text[qe_number_write_u64(UINT64_MAX, text)] = '\0';
    assert_string_equal(text, "18446744073709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_numbers_are_written_as_expected),
        cmocka_unit_test(what_is_not_a_number_has_its_prometheus_name),
        cmocka_unit_test(random_bits_read_back_equal),
        cmocka_unit_test(random_decimals_and_integers_read_back_equal),
        cmocka_unit_test(a_decimal_keeps_the_digits_it_was_written_with),
        cmocka_unit_test(the_locale_plays_no_part),
        cmocka_unit_test(unsigned_integers_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
