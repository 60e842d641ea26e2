#include "aws/skew.h"

#include <string.h>

#define ANSWER_MAX_MS INT64_C(900000)
#define DATE_BYTES 29 /* "Sun, 22 Nov 2026 23:55:01 GMT" */

static bool digits(const char *text, size_t count, int64_t *out)
{
    int64_t number = 0;

    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        number = number * 10 + (text[i] - '0');
    }
    *out = number;
    return true;
}

static bool month(const char *text, int64_t *out)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int64_t i = 0; i < 12; i++) {
        if (memcmp(text, names + 3 * i, 3) == 0) {
            *out = i + 1;
            return true;
        }
    }
    return false;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar; years 1970 and later. */
static int64_t days_of(int64_t year, int64_t month_number, int64_t day)
{
    /* Years that begin in March: the leap day comes last. */
    const int64_t y = month_number <= 2 ? year - 1 : year;
    const int64_t m = month_number <= 2 ? month_number + 9 : month_number - 3;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* The one form that is sent nowadays (RFC 9110, IMF-fixdate). */
static bool parse_date(const char *text, int64_t *out_unix_s)
{
    int64_t day = 0;
    int64_t month_number = 0;
    int64_t year = 0;
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;

    if (strlen(text) != DATE_BYTES || memcmp(text + 3, ", ", 2) != 0 || text[7] != ' ' ||
        text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':' ||
        strcmp(text + 25, " GMT") != 0) {
        return false;
    }
    if (!digits(text + 5, 2, &day) || !month(text + 8, &month_number) ||
        !digits(text + 12, 4, &year) || !digits(text + 17, 2, &hour) ||
        !digits(text + 20, 2, &minute) || !digits(text + 23, 2, &second)) {
        return false;
    }
    if (year < 1970 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    *out_unix_s = ((days_of(year, month_number, day) * 24 + hour) * 60 + minute) * 60 + second;
    return true;
}

bool qe_aws_skew_learn(struct qe_aws_skew *skew, const struct qe_http_reply *reply)
{
    char date[64];
    char age[64];
    int64_t unix_s = 0;

    if (reply->err.code != QE_OK || qe_http_reply_header(reply, "Age", age, sizeof age) ||
        reply->received_unix_ms - reply->sent_unix_ms > ANSWER_MAX_MS ||
        reply->received_unix_ms < reply->sent_unix_ms ||
        !qe_http_reply_header(reply, "Date", date, sizeof date) || !parse_date(date, &unix_s)) {
        return false;
    }
    skew->offset_ms = unix_s * 1000 - reply->received_unix_ms;
    skew->is_known = true;
    return true;
}

int64_t qe_aws_skew_offset_ms(const struct qe_aws_skew *skew)
{
    return skew->is_known && !skew->is_ignored ? skew->offset_ms : 0;
}

bool qe_aws_skew_explains(const struct qe_aws_skew *skew, int64_t used_offset_ms)
{
    const int64_t changed_ms = skew->offset_ms - used_offset_ms;

    return skew->is_known && !skew->is_ignored &&
           (changed_ms >= QE_AWS_SKEW_MIN_MS || changed_ms <= -QE_AWS_SKEW_MIN_MS);
}
