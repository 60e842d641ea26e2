#include "consumer/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "util/log.h"

int qe_output_init(struct qe_output *output, const struct qe_origin *origin, const char *handler,
                   struct qe_err *err)
{
    *output = (struct qe_output){.origin = *origin,
                                 .handler = handler,
                                 .tokens = QE_OUTPUT_LINES_BURST,
                                 .filled_mono_ms = qe_clock_mono_ms()};
    int rc = pthread_mutex_init(&output->lock, NULL);

    return rc == 0 ? 0 : qe_err_set_errno(err, rc, "output of handler %s", handler);
}

void qe_output_deinit(struct qe_output *output)
{
    (void)pthread_mutex_destroy(&output->lock);
}

/* Whether a line may go into the log now; *out_left_out did not since the last. */
static bool may_log(struct qe_output *output, uint64_t *out_left_out)
{
    const int64_t now = qe_clock_mono_ms();
    bool may = false;

    pthread_mutex_lock(&output->lock);
    output->tokens += (double)(now - output->filled_mono_ms) * QE_OUTPUT_LINES_PER_SECOND / 1000.0;
    output->filled_mono_ms = now;
    if (output->tokens > QE_OUTPUT_LINES_BURST) {
        output->tokens = QE_OUTPUT_LINES_BURST;
    }
    if (output->tokens >= 1) {
        output->tokens -= 1;
        *out_left_out = output->left_out;
        output->left_out = 0;
        may = true;
    } else {
        output->left_out++;
    }
    pthread_mutex_unlock(&output->lock);
    return may;
}

static void end_line(struct qe_output_lines *lines)
{
    const struct qe_output *output = lines->output;
    uint64_t left_out = 0;

    while (lines->length > 0 && strchr(" \t\r", lines->line[lines->length - 1]) != NULL) {
        lines->length--;
    }
    lines->line[lines->length] = '\0';
    if (lines->length > 0) {
        memcpy(lines->last, lines->line, lines->length + 1);
        if (may_log(lines->output, &left_out)) {
            char left_out_text[24];

            (void)snprintf(left_out_text, sizeof left_out_text, "%" PRIu64, left_out);
            qe_log(QE_LOG_INFO, "output of the handler", "source", output->origin.source, "queue",
                   output->origin.queue, "handler", output->handler, "id", lines->id, "stream",
                   lines->stream, "line", lines->line, "cut", lines->is_cut ? "true" : NULL,
                   "lines_left_out", left_out > 0 ? left_out_text : NULL, NULL);
        }
    }
    lines->length = 0;
    lines->is_cut = false;
}

bool qe_output_take(void *self, const char *bytes, size_t count)
{
    struct qe_output_lines *lines = self;

    for (const char *end = bytes + count; bytes < end;) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t piece = (size_t)((newline != NULL ? newline : end) - bytes);
        size_t room = sizeof lines->line - 1 - lines->length;
        size_t taken = piece < room ? piece : room;

        for (size_t i = 0; i < taken; i++) {
            lines->line[lines->length++] = bytes[i] != '\0' ? bytes[i] : '?';
        }
        lines->is_cut = lines->is_cut || taken < piece;
        bytes += piece;
        if (newline != NULL) {
            end_line(lines);
            bytes++;
        }
    }
    return true;
}

void qe_output_flush(struct qe_output_lines *lines)
{
    end_line(lines);
}
