#include "aws/timestamp.h"

#include <stdbool.h>

#define SECONDS_A_DAY INT64_C(86400)

struct cursor {
    const char *next;
    bool failed;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly `digits` digits within [min, max]. */
static int take_number(struct cursor *cursor, int digits, int min, int max)
{
    int number = 0;

    for (int i = 0; i < digits && !cursor->failed; i++) {
        cursor->failed = !is_digit(*cursor->next);
        if (!cursor->failed) {
            number = number * 10 + (*cursor->next++ - '0');
        }
    }
    cursor->failed = cursor->failed || number < min || number > max;
    return number;
}

static void take_char(struct cursor *cursor, const char *one_of)
{
    for (const char *c = one_of; *c != '\0' && !cursor->failed; c++) {
        if (*cursor->next == *c) {
            cursor->next++;
            return;
        }
    }
    cursor->failed = true;
}

/* Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's days_from_civil). */
static int64_t days_from_civil(int year, int month, int day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t year_of_era = y - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static int64_t take_fraction_ms(struct cursor *cursor)
{
    int64_t fraction_ms = 0;

    if (*cursor->next != '.') {
        return 0;
    }
    cursor->next++;
    cursor->failed = cursor->failed || !is_digit(*cursor->next);
    for (int64_t weight = 100; is_digit(*cursor->next); cursor->next++, weight /= 10) {
        fraction_ms += weight * (*cursor->next - '0');
    }
    return fraction_ms;
}

/* Seconds east of Greenwich. */
static int64_t take_zone(struct cursor *cursor)
{
    const char sign = *cursor->next;

    if (cursor->failed || sign == 'Z' || sign == 'z') {
        cursor->next += cursor->failed ? 0 : 1;
        return 0;
    }
    take_char(cursor, "+-");
    const int64_t hours = take_number(cursor, 2, 0, 23);

    if (*cursor->next == ':') {
        cursor->next++;
    }
    const int64_t minutes = take_number(cursor, 2, 0, 59);
    const int64_t offset_s = (hours * 60 + minutes) * 60;

    return sign == '-' ? -offset_s : offset_s;
}

int qe_aws_parse_timestamp(const char *text, int64_t *out_unix_ms, struct qe_err *err)
{
    struct cursor cursor = {.next = text};
    const int year = take_number(&cursor, 4, 1970, 9999);

    take_char(&cursor, "-");
    const int month = take_number(&cursor, 2, 1, 12);

    take_char(&cursor, "-");
    const int day = take_number(&cursor, 2, 1, 31);

    take_char(&cursor, "Tt ");
    const int64_t hour = take_number(&cursor, 2, 0, 23);

    take_char(&cursor, ":");
    const int64_t minute = take_number(&cursor, 2, 0, 59);

    take_char(&cursor, ":");
    const int64_t second = take_number(&cursor, 2, 0, 60);
    const int64_t fraction_ms = take_fraction_ms(&cursor);
    const int64_t offset_s = take_zone(&cursor);

    if (cursor.failed || *cursor.next != '\0') {
        return qe_err_set(err, QE_ERR_PROTOCOL, "a time that is not like 2026-01-02T03:04:05Z");
    }
    const int64_t days = days_from_civil(year, month, day);

    *out_unix_ms =
        (days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second - offset_s) * 1000 + fraction_ms;
    return 0;
}
