#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "net/http_client.h"
#include "util/text.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Copies [from, end) without blanks around it; false when it does not fit. */
static bool copy_trimmed(const char *from, const char *end, char *out, size_t out_bytes)
{
    while (from < end && is_blank(*from)) {
        from++;
    }
    while (end > from && is_blank(end[-1])) {
        end--;
    }
    const size_t length = (size_t)(end - from);

    if (length >= out_bytes) {
        return false;
    }
    memcpy(out, from, length);
    out[length] = '\0';
    return true;
}

bool qe_http_reply_header(const struct qe_http_reply *reply, const char *name, char *out,
                          size_t out_bytes)
{
    const size_t name_length = strlen(name);
    const char *line = reply->headers.data;
    const char *end = line == NULL ? NULL : line + reply->headers.length_bytes;
    bool found = false;

    out[0] = '\0';
    for (const char *next = line; next < end; line = next) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));

        next = line_end == NULL ? end : line_end + 1;
        if ((size_t)(next - line) > name_length && line[name_length] == ':' &&
            strncasecmp(line, name, name_length) == 0) {
            found = copy_trimmed(line + name_length + 1, next, out, out_bytes);
        }
    }
    if (!found) {
        out[0] = '\0';
    }
    return found;
}

int64_t qe_http_reply_retry_after_ms(const struct qe_http_reply *reply, int64_t now_unix_ms,
                                     int64_t max_ms)
{
    char text[64];
    uint64_t seconds = 0;
    struct qe_err ignored = {0};
    int64_t wait_ms = -1;

    if (!qe_http_reply_header(reply, "Retry-After", text, sizeof text) || text[0] == '\0') {
        return -1;
    }
    if (strspn(text, "0123456789") == strlen(text)) {
        wait_ms = qe_text_to_u64(text, (uint64_t)max_ms / 1000, &seconds, &ignored) == 0
                      ? (int64_t)seconds * 1000
                      : max_ms;
    } else {
        const time_t at = curl_getdate(text, NULL);

        if (at < 0) {
            return -1;
        }
        wait_ms = (int64_t)at * 1000 - now_unix_ms;
    }
    return wait_ms < 0 ? 0 : wait_ms < max_ms ? wait_ms : max_ms;
}

void qe_http_reply_deinit(struct qe_http_reply *reply)
{
    qe_strbuf_deinit(&reply->body);
    qe_strbuf_deinit(&reply->headers);
    *reply = (struct qe_http_reply){0};
}
