/* Any bytes as the head of an answer: a header's value is one of its lines without the blanks
 * around it, and what Retry-After asks for is never more than the most, and the same whatever that
 * is. The first two bytes are the most, in seconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_client.h"

#define NOW_UNIX_MS INT64_C(1795311000000) /* 2026-11-22 */
#define MOST_MS INT64_C(43200000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void check_header(const struct qe_http_reply *reply, const char *name)
{
    char value[64];
    char shorter[8];
    const bool found = qe_http_reply_header(reply, name, value, sizeof value);
    const size_t length = strlen(value);

    require(found || length == 0, "what is not there is empty");
    require(strchr(value, '\n') == NULL, "a value is of one line");
    require(length == 0 ||
                (strchr(" \t\r", value[0]) == NULL && strchr(" \t\r", value[length - 1]) == NULL),
            "there are no blanks around it");
    const bool fits = qe_http_reply_header(reply, name, shorter, sizeof shorter);

    require(fits ? strcmp(value, shorter) == 0 : shorter[0] == '\0', "it fits whole, or not");
}

static void check_wait(struct qe_http_reply *reply, int64_t max_ms)
{
    const int64_t most = qe_http_reply_retry_after_ms(reply, NOW_UNIX_MS, MOST_MS);
    const int64_t wait = qe_http_reply_retry_after_ms(reply, NOW_UNIX_MS, max_ms);
    const int64_t later = qe_http_reply_retry_after_ms(reply, NOW_UNIX_MS + 5000, MOST_MS);
    char line[64];

    require(most >= -1 && most <= MOST_MS, "a wait has a limit");
    require(wait == least(most, max_ms), "the same, up to the most");
    require((later < 0) == (most < 0) && later <= most && (most >= MOST_MS || most - later <= 5000),
            "it is a while, or ends at one time");
    const int length = snprintf(line, sizeof line, "\nretry-after:\t%d \r\n", (int)(max_ms / 1000));

    if (qe_strbuf_append(&reply->headers, line, (size_t)length) == 0) {
        require(qe_http_reply_retry_after_ms(reply, NOW_UNIX_MS, MOST_MS) == max_ms,
                "the last one holds");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_http_reply reply = {0};

    if (size < 2 || memchr(data + 2, '\0', size - 2) != NULL) {
        return 0; /* libcurl gives no head with a NUL in it */
    }
    if (size == 2 || qe_strbuf_append(&reply.headers, data + 2, size - 2) == 0) {
        check_header(&reply, "Retry-After");
        check_header(&reply, "Date");
        check_wait(&reply, (data[0] << 8 | data[1]) * INT64_C(1000) % MOST_MS);
    }
    qe_http_reply_deinit(&reply);
    return 0;
}
