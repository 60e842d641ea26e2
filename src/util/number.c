#include "util/number.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_INTEGER_MAX 9007199254740992.0 /* 2^53: every integer up to here is a double */
#define DECIMALS_MAX 9

static const char s_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                 "25262728293031323334353637383940414243444546474849"
                                 "50515253545556575859606162636465666768697071727374"
                                 "75767778798081828384858687888990919293949596979899";

/* Writes the digits so that they end before `end`; returns where they begin. */
static inline char *digits_before(uint64_t value, char *end)
{
    char *at = end;

    for (; value >= 100; value /= 100) {
        at -= 2;
        memcpy(at, s_pairs + value % 100 * 2, 2);
    }
    if (value >= 10) {
        at -= 2;
        memcpy(at, s_pairs + value * 2, 2);
    } else {
        at--;
        *at = (char)('0' + (char)value);
    }
    return at;
}

/* Known before the digits are written, so that they are written where they stay. */
static size_t count_digits(uint64_t value)
{
    size_t count = 1;

    for (; value >= 10000; value /= 10000) {
        count += 4;
    }
    return count + (value >= 10 ? 1 : 0) + (value >= 100 ? 1 : 0) + (value >= 1000 ? 1 : 0);
}

size_t qe_number_write_u64(uint64_t value, char *out)
{
    size_t count = count_digits(value);

    (void)digits_before(value, out + count);
    return count;
}

/* Finds the fewest decimals whose value is exactly `value` (>= 0): n / 10^k is one correctly
 * rounded division of two exact doubles, so it is what any correct reader makes of the text.
 * Returns the length, 0 when there are none. */
static size_t write_decimal(double value, char *out)
{
    static const double powers[DECIMALS_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4,
                                                    1e5, 1e6, 1e7, 1e8, 1e9};

    for (size_t decimals = 1; decimals <= DECIMALS_MAX; decimals++) {
        double scaled = value * powers[decimals];

        if (scaled >= EXACT_INTEGER_MAX - 1.0) {
            return 0;
        }
        int64_t n = (int64_t)(scaled + 0.5);

        /* The product is off by less than 2^-51 of itself when the division below is exact: most
         * candidates are ruled out without the division. */
        if (fabs(scaled - (double)n) > scaled * 0x1p-51 || (double)n / powers[decimals] != value) {
            continue;
        }
        char digits[24];
        char *end = digits + sizeof digits;
        char *begin = digits_before((uint64_t)n, end);

        while ((size_t)(end - begin) <= decimals) { /* at least one digit before the point */
            begin--;
            *begin = '0';
        }
        size_t whole = (size_t)(end - begin) - decimals;

        memcpy(out, begin, whole);
        out[whole] = '.';
        memcpy(out + whole + 1, begin + whole, decimals);
        return whole + 1 + decimals;
    }
    return 0;
}

/* Up to 15 digits always survive the way text - double - text, so the first precision that reads
 * back equal is the shortest; subnormals have fewer. */
static size_t write_shortest(double value, char *out)
{
    char text[48];

    for (int precision = value < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        (void)snprintf(text, sizeof text, "%.*g", precision, value);
        /* Both snprintf and strtod use the locale's decimal point: they agree. */
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    size_t length = 0;
    bool in_point = false;

    for (const char *at = text; *at != '\0'; at++) {
        if ((*at >= '0' && *at <= '9') || *at == 'e' || *at == '+' || *at == '-') {
            out[length] = *at;
            length++;
            in_point = false;
        } else if (!in_point) { /* whatever bytes the locale takes for its decimal point */
            out[length] = '.';
            length++;
            in_point = true;
        }
    }
    return length;
}

static size_t write_special(double value, char *out)
{
    const char *text = isnan(value) ? "NaN" : (value > 0 ? "+Inf" : "-Inf");
    size_t length = 0;

    for (; text[length] != '\0'; length++) {
        out[length] = text[length];
    }
    return length;
}

size_t qe_number_write_double(double value, char *out)
{
    /* Counts first: most values are. Through a signed integer, which is one instruction. */
    if (!signbit(value) && value <= EXACT_INTEGER_MAX && (double)(int64_t)value == value) {
        return qe_number_write_u64((uint64_t)(int64_t)value, out);
    }
    if (!isfinite(value)) {
        return write_special(value, out);
    }
    size_t sign = 0;

    if (signbit(value)) {
        out[0] = '-';
        sign = 1;
        value = -value;
    }
    if (value <= EXACT_INTEGER_MAX && (double)(uint64_t)value == value) {
        return sign + qe_number_write_u64((uint64_t)value, out + sign);
    }
    size_t length = write_decimal(value, out + sign);

    return sign + (length > 0 ? length : write_shortest(value, out + sign));
}
