#include "metrics/negotiate.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define Q_ONE 1000000 /* q-values are compared as millionths: no locale, no rounding */

/* A piece of a header line. */
struct span {
    const char *at;
    size_t length;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span span)
{
    for (; span.length > 0 && is_space(*span.at); span.length--) {
        span.at++;
    }
    for (; span.length > 0 && is_space(span.at[span.length - 1]); span.length--) {
        /* only the length shrinks */
    }
    return span;
}

/* Cuts the next item off `rest`: up to `separator` outside a quoted string. False at the end. */
static bool next_item(struct span *rest, char separator, struct span *out)
{
    bool quoted = false;
    size_t length = 0;

    if (rest->at == NULL) {
        return false;
    }
    for (; length < rest->length; length++) {
        char c = rest->at[length];

        if (quoted && c == '\\' && length + 1 < rest->length) {
            length++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == separator && !quoted) {
            break;
        }
    }
    *out = trim((struct span){rest->at, length});
    if (length < rest->length) {
        rest->at += length + 1;
        rest->length -= length + 1;
    } else {
        *rest = (struct span){NULL, 0};
    }
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is(struct span span, const char *text)
{
    size_t i = 0;

    for (; i < span.length && text[i] != '\0'; i++) {
        if (lower(span.at[i]) != text[i]) {
            return false;
        }
    }
    return i == span.length && text[i] == '\0';
}

/* "0.75" as millionths; 0 for anything that is not a number from 0 to 1. */
static uint32_t parse_q(struct span text)
{
    uint32_t value = 0;
    uint32_t unit = Q_ONE;

    if (text.length == 0 || text.at[0] < '0' || text.at[0] > '1') {
        return 0;
    }
    for (size_t i = 0; i < text.length; i++) {
        char c = text.at[i];

        if (i == 1 && c == '.') {
            continue;
        }
        if (c < '0' || c > '9' || i == 1) {
            return 0;
        }
        value += (uint32_t)(c - '0') * unit;
        unit /= 10;
    }
    return value <= Q_ONE ? value : 0;
}

/* "name=value" with the value's quotes taken off; a bare name has an empty value. */
static void split_parameter(struct span item, struct span *name, struct span *value)
{
    size_t equals = 0;

    for (; equals < item.length && item.at[equals] != '='; equals++) {
        /* looks for the sign */
    }
    *name = trim((struct span){item.at, equals});
    *value = (struct span){item.at + item.length, 0};
    if (equals < item.length) {
        *value = trim((struct span){item.at + equals + 1, item.length - equals - 1});
    }
    if (value->length >= 2 && value->at[0] == '"' && value->at[value->length - 1] == '"') {
        value->at++;
        value->length -= 2;
    }
}

/* One media range of an Accept line. */
struct range {
    struct span type;
    struct span version; /* length 0: none given */
    uint32_t q;
    bool escaping;
};

static struct range parse_range(struct span text)
{
    struct range range = {.q = Q_ONE};
    struct span item;

    (void)next_item(&text, ';', &range.type);
    while (next_item(&text, ';', &item)) {
        struct span name;
        struct span value;

        split_parameter(item, &name, &value);
        if (is(name, "q")) {
            range.q = parse_q(value);
        } else if (is(name, "version")) {
            range.version = value;
        } else if (is(name, "escaping")) {
            range.escaping = true;
        }
    }
    return range;
}

/* How exactly a range names what we offer: 0 not at all, 1 any type, 2 any text, 3 the type. */
static int match(const struct range *range, struct qe_negotiated *out)
{
    *out = (struct qe_negotiated){.escaping = range->escaping};
    if (is(range->type, "*/*")) {
        return 1;
    }
    if (is(range->type, "text/*")) {
        return 2;
    }
    if (is(range->type, "text/plain")) {
        return range->version.length == 0 || is(range->version, "0.0.4") ? 3 : 0;
    }
    if (is(range->type, "application/openmetrics-text")) {
        out->format = QE_FORMAT_OPENMETRICS;
        out->openmetrics_0_0_1 = is(range->version, "0.0.1");
        return range->version.length == 0 || is(range->version, "1.0.0") || out->openmetrics_0_0_1
                   ? 3
                   : 0;
    }
    return 0;
}

struct qe_negotiated qe_negotiate_accept(const char *accept)
{
    struct qe_negotiated best = {.format = QE_FORMAT_TEXT};
    struct span rest = {accept, accept != NULL ? strlen(accept) : 0};
    struct span text;
    uint32_t best_q = 0;
    int best_match = 0;

    while (next_item(&rest, ',', &text)) {
        struct range range = parse_range(text);
        struct qe_negotiated offer;
        int matched = match(&range, &offer);

        if (matched == 0 || range.q == 0) {
            continue;
        }
        /* Of equals the first wins, as in a stable sort. */
        if (range.q > best_q || (range.q == best_q && matched > best_match)) {
            best = offer;
            best_q = range.q;
            best_match = matched;
        }
    }
    return best;
}

const char *qe_negotiated_content_type(struct qe_negotiated negotiated)
{
    static const char *const types[3][2] = {
        {"text/plain; version=0.0.4; charset=utf-8",
         "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
        {"application/openmetrics-text; version=1.0.0; charset=utf-8",
         "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"},
        {"application/openmetrics-text; version=0.0.1; charset=utf-8",
         "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores"},
    };
    size_t row = 0;

    if (negotiated.format == QE_FORMAT_OPENMETRICS) {
        row = negotiated.openmetrics_0_0_1 ? 2 : 1;
    }
    return types[row][negotiated.escaping ? 1 : 0];
}

bool qe_negotiate_gzip(const char *accept_encoding)
{
    struct span rest = {accept_encoding, accept_encoding != NULL ? strlen(accept_encoding) : 0};
    struct span text;
    uint32_t any = 0;
    uint32_t gzip = 0;
    uint32_t identity = 0; /* always acceptable, preferred only when the client ranks it higher */
    bool gzip_named = false;

    while (next_item(&rest, ',', &text)) {
        struct range coding = parse_range(text);

        if (is(coding.type, "gzip") || is(coding.type, "x-gzip")) {
            gzip = coding.q > gzip ? coding.q : gzip;
            gzip_named = true;
        } else if (is(coding.type, "*")) {
            any = coding.q;
        } else if (is(coding.type, "identity")) {
            identity = coding.q;
        }
    }
    gzip = gzip_named ? gzip : any;
    return gzip > 0 && gzip >= identity;
}
