#include "consumer/handled.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "consumer/handlers.h"
#include "util/clock.h"
#include "util/text.h"

/* In place: one line of UTF-8, and no end inside a character. */
static void make_plain(char *text)
{
    char *to = text;

    for (size_t left = strlen(text); left > 0;) {
        size_t bytes = qe_text_char_bytes(text, left);
        size_t step = bytes == 0 ? 1 : bytes;

        if (bytes == 0) {
            *to++ = '?';
        } else if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *to++ = ' ';
        } else {
            memmove(to, text, bytes);
            to += bytes;
        }
        text += step;
        left -= step;
    }
    while (to > text && to[-1] == ' ') {
        to--;
    }
    *to = '\0';
}

static void set_detail(struct qe_handled *out, const char *lead, const char *text)
{
    const size_t room = sizeof out->detail - 1;
    size_t length = (size_t)snprintf(out->detail, sizeof out->detail, "%s%s", lead,
                                     *lead != '\0' && *text != '\0' ? ": " : "");

    if (length < room) {
        size_t cut = qe_text_cut(text, strlen(text), room - length);

        memcpy(out->detail + length, text, cut);
        out->detail[length + cut] = '\0';
    }
    make_plain(out->detail);
}

const char *qe_reason_words_find(const struct qe_reason_words *words, const char *text,
                                 const char **out_rest)
{
    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->items[i];
        const char *rest = text + strlen(word);

        if (qe_text_starts_with(text, word) && (*rest == '\0' || *rest == ':')) {
            rest += *rest == ':' ? 1 : 0;
            *out_rest = rest + strspn(rest, " \t");
            return word;
        }
    }
    return NULL;
}

void qe_handled_fail(struct qe_handled *out, enum qe_outcome outcome, enum qe_fail_reason reason,
                     const char *fmt, ...)
{
    char text[sizeof out->detail];
    va_list arguments;

    va_start(arguments, fmt);
    (void)vsnprintf(text, sizeof text, fmt, arguments);
    va_end(arguments);
    out->outcome = outcome;
    out->reason = reason;
    out->label = NULL;
    set_detail(out, "", text);
}

void qe_handled_fail_saying(struct qe_handled *out, enum qe_outcome outcome,
                            const struct qe_reason_words *words, const char *lead, const char *said)
{
    const char *rest = said;

    out->outcome = outcome;
    out->reason = outcome == QE_OUTCOME_REJECT ? QE_FAIL_PERMANENT : QE_FAIL_HANDLER_ERROR;
    out->label = qe_reason_words_find(words, said, &rest);
    set_detail(out, out->label == NULL ? lead : "", rest);
}

int64_t qe_handler_deadline(const struct qe_handler_common *common,
                            const struct qe_handling *handling, bool *out_by_timeout)
{
    const int64_t own =
        common->timeout_ms > 0 ? qe_clock_mono_ms() + common->timeout_ms : INT64_MAX;

    *out_by_timeout = own < handling->deadline_mono_ms;
    return *out_by_timeout ? own : handling->deadline_mono_ms;
}
