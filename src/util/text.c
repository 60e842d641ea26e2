/* strtod_l: numbers must not depend on the locale a library may have set. */
#define _GNU_SOURCE
#include "util/text.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTE_MAX_BYTES 64 /* how much of a wrong text an error repeats */
#define NEAREST_MAX_BYTES 64

static locale_t s_c_locale;
static pthread_once_t s_c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    s_c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int invalid(struct qe_err *err, const char *text, const char *wanted)
{
    size_t length = strlen(text);
    size_t shown = qe_text_cut(text, length, QUOTE_MAX_BYTES);

    return qe_err_set(err, QE_ERR_INVALID, "\"%.*s%s\" %s", (int)shown, text,
                      shown < length ? "..." : "", wanted);
}

/* Reads digits at *at; false when there are none or the value passes `max`. */
static bool read_digits(const char **at, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    const char *c = *at;

    if (!is_digit(*c)) {
        return false;
    }
    for (; is_digit(*c); c++) {
        uint64_t digit = (uint64_t)(*c - '0');

        if (digit > max || value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *at = c;
    *out = value;
    return true;
}

int qe_text_to_u64(const char *text, uint64_t max, uint64_t *out, struct qe_err *err)
{
    const char *at = text;
    uint64_t value = 0;

    if (!read_digits(&at, max, &value) || *at != '\0') {
        char wanted[64];

        (void)snprintf(wanted, sizeof wanted, "is not a whole number from 0 to %llu",
                       (unsigned long long)max);
        return invalid(err, text, wanted);
    }
    *out = value;
    return 0;
}

static const char *skip_digits(const char *at)
{
    for (; is_digit(*at); at++) {
    }
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent. strtod alone
 * would also take hexadecimal, "nan" and leading blanks. */
static bool is_decimal(const char *text)
{
    const char *at = text + (*text == '-' || *text == '+');
    const char *whole = at;

    at = skip_digits(at);
    size_t digits = (size_t)(at - whole);

    if (*at == '.') {
        const char *fraction = at + 1;

        at = skip_digits(fraction);
        digits += (size_t)(at - fraction);
    }
    if (digits == 0) {
        return false;
    }
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '-' || at[1] == '+');
        if (!is_digit(*at)) {
            return false;
        }
        at = skip_digits(at);
    }
    return *at == '\0';
}

int qe_text_to_double(const char *text, double *out, struct qe_err *err)
{
    if (!is_decimal(text)) {
        return invalid(err, text, "is not a number");
    }
    (void)pthread_once(&s_c_locale_once, make_c_locale);
    double value =
        s_c_locale == (locale_t)0 ? strtod(text, NULL) : strtod_l(text, NULL, s_c_locale);

    if (!isfinite(value)) {
        return invalid(err, text, "is too large a number");
    }
    *out = value;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: the order in which they may follow each other. "ms" stands before "m" and "s" in
 * spelling only, so units are compared whole. */
static const struct unit s_duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define DURATION_UNITS_COUNT (sizeof s_duration_units / sizeof s_duration_units[0])

static const struct unit s_size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"TB", 1000000000000},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"kB", 1000},
    {"B", 1},
};
#define SIZE_UNITS_COUNT (sizeof s_size_units / sizeof s_size_units[0])

static size_t letters(const char *at)
{
    size_t count = 0;

    for (; (at[count] >= 'a' && at[count] <= 'z') || (at[count] >= 'A' && at[count] <= 'Z');
         count++) {
    }
    return count;
}

/* Index of the unit spelled at `at`, or `count`. */
static size_t find_unit(const struct unit *units, size_t count, const char *at, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == length && memcmp(units[i].name, at, length) == 0) {
            return i;
        }
    }
    return count;
}

int qe_text_to_duration_ms(const char *text, int64_t *out_ms, struct qe_err *err)
{
    static const char *const wanted = "is not a duration: write it as 250ms, 30s, 5m, 4h or 14d";
    uint64_t total = 0;
    size_t next_unit = 0;
    const char *at = text;

    if (strcmp(text, "0") == 0) {
        *out_ms = 0;
        return 0;
    }
    if (*text == '\0') {
        return invalid(err, text, wanted);
    }
    while (*at != '\0') {
        uint64_t value = 0;

        if (!read_digits(&at, INT64_MAX, &value)) {
            return invalid(err, text, wanted);
        }
        size_t length = letters(at);
        size_t unit = find_unit(s_duration_units, DURATION_UNITS_COUNT, at, length);

        if (unit < next_unit || unit == DURATION_UNITS_COUNT) {
            return invalid(err, text, wanted);
        }
        if (value > ((uint64_t)INT64_MAX - total) / s_duration_units[unit].factor) {
            return invalid(err, text, "is too long a duration");
        }
        total += value * s_duration_units[unit].factor;
        next_unit = unit + 1;
        at += length;
    }
    *out_ms = (int64_t)total;
    return 0;
}

int qe_text_to_size_bytes(const char *text, uint64_t *out_bytes, struct qe_err *err)
{
    static const char *const wanted = "is not a size: write it as 512B, 64KiB, 1MiB or 2GiB";
    const char *at = text;
    uint64_t value = 0;

    if (!read_digits(&at, UINT64_MAX, &value)) {
        return invalid(err, text, wanted);
    }
    size_t unit = find_unit(s_size_units, SIZE_UNITS_COUNT, at, strlen(at));

    if (unit == SIZE_UNITS_COUNT) {
        if (value != 0 || *at != '\0') {
            return invalid(err, text, wanted);
        }
        unit = SIZE_UNITS_COUNT - 1;
    }
    if (value > UINT64_MAX / s_size_units[unit].factor) {
        return invalid(err, text, "is too large a size");
    }
    *out_bytes = value * s_size_units[unit].factor;
    return 0;
}

char *qe_text_from_duration(int64_t duration_ms, char out[32])
{
    bool negative = duration_ms < 0;
    uint64_t rest = negative ? 0 - (uint64_t)duration_ms : (uint64_t)duration_ms;
    size_t length = 0;

    if (duration_ms == 0) {
        memcpy(out, "0s", 3);
        return out;
    }
    if (negative) {
        out[0] = '-';
        length = 1;
    }
    /* Longest: "-106751991167d7h12m55s808ms", 28 bytes with the NUL. */
    for (size_t i = 0; i < DURATION_UNITS_COUNT; i++) {
        uint64_t value = rest / s_duration_units[i].factor;

        if (value == 0) {
            continue;
        }
        rest %= s_duration_units[i].factor;
        int wrote = snprintf(out + length, 32 - length, "%llu%s", (unsigned long long)value,
                             s_duration_units[i].name);

        length += wrote < 0 ? 0 : (size_t)wrote;
    }
    return out;
}

char *qe_text_from_size(uint64_t size_bytes, char out[32])
{
    const struct unit *best = &s_size_units[SIZE_UNITS_COUNT - 1];

    for (size_t i = 0; i < SIZE_UNITS_COUNT && size_bytes > 0; i++) {
        if (size_bytes % s_size_units[i].factor == 0 && s_size_units[i].factor > best->factor) {
            best = &s_size_units[i];
        }
    }
    (void)snprintf(out, 32, "%llu%s", (unsigned long long)(size_bytes / best->factor), best->name);
    return out;
}

/* Days since 1970-01-01 to the civil date, valid for every int64_t of milliseconds. Own code
 * because gmtime_r takes the C library's time zone lock on every log line.
 * Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days. */
static void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t shifted = days + 719468; /* count from 0000-03-01: leap days come last */
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned day_of_era = (unsigned)(shifted - era * 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted_month = (5 * day_of_year + 2) / 153;

    *day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    *month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    *year = (int64_t)year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

char *qe_text_from_unix_ms(int64_t unix_ms, char out[32])
{
    int64_t days = unix_ms / 86400000;
    int64_t rest = unix_ms % 86400000;
    int64_t year = 0;
    unsigned month = 0;
    unsigned day = 0;

    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    unsigned ms = (unsigned)rest;

    civil_from_days(days, &year, &month, &day);
    /* Some remainders change nothing: they show the compiler that the text always fits. */
    (void)snprintf(out, 32, "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", (int)year, month % 100,
                   day % 100, ms / 3600000 % 24, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
    return out;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool qe_text_equal_nocase(const char *a, const char *b)
{
    size_t i = 0;

    for (; a[i] != '\0' && lower(a[i]) == lower(b[i]); i++) {
    }
    return a[i] == b[i];
}

bool qe_text_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool qe_text_is_header_value(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

size_t qe_text_char_bytes(const char *bytes, size_t count)
{
    if (count == 0) {
        return 0;
    }
    unsigned char first = (unsigned char)bytes[0];

    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) { /* a continuation, an overlong form, past U+10FFFF */
        return 0;
    }
    size_t length = first < 0xe0 ? 2 : (first < 0xf0 ? 3 : 4);

    if (count < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    unsigned char second = (unsigned char)bytes[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool surrogate = first == 0xed && second > 0x9f;
    bool past_end = first == 0xf4 && second > 0x8f;

    return overlong || surrogate || past_end ? 0 : length;
}

bool qe_text_is_utf8(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t length = qe_text_char_bytes(bytes + i, count - i);

        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

size_t qe_text_cut(const char *bytes, size_t count, size_t max_bytes)
{
    size_t length = count < max_bytes ? count : max_bytes;

    /* Look back at most 3 bytes for a character that begins before the cut and ends behind it.
     * When everything fits, the text may still end in half a character: cut elsewhere before. */
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        unsigned char c = (unsigned char)bytes[length - back];

        if ((c & 0xc0) == 0x80) {
            continue;
        }
        size_t wanted = c < 0xc2 ? 1 : (c < 0xe0 ? 2 : (c < 0xf0 ? 3 : 4));

        return wanted > back && c <= 0xf4 ? length - back : length;
    }
    return length;
}

/* Optimal string alignment distance: insertion, deletion, change, and swap of neighbours cost 1.
 * Both texts are at most NEAREST_MAX_BYTES long. */
static size_t distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t rows[3][NEAREST_MAX_BYTES + 1] = {{0}};

    for (size_t j = 0; j <= b_bytes; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *now = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t best = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);

            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < best) {
                best = two_above[j - 2] + 1;
            }
            now[j] = best;
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

const char *qe_text_nearest(const char *text, const char *const *names, size_t count)
{
    size_t text_bytes = strnlen(text, NEAREST_MAX_BYTES + 1);
    const char *nearest = NULL;
    /* One slip per three letters still reads as the same word; more would be guessing. */
    size_t limit = text_bytes / 3 > 0 ? text_bytes / 3 : 1;

    if (text_bytes > NEAREST_MAX_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t name_bytes = strnlen(names[i], NEAREST_MAX_BYTES + 1);

        if (name_bytes > NEAREST_MAX_BYTES) {
            continue;
        }
        size_t slips = distance(text, text_bytes, names[i], name_bytes);

        if (slips <= limit && slips < name_bytes) {
            nearest = names[i];
            limit = slips == 0 ? 0 : slips - 1; /* only a better one replaces it */
            if (slips <= 1) {
                break;
            }
        }
    }
    return nearest;
}
