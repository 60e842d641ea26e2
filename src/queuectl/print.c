/* Messages on the screen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/ctl.h"
#include "queuectl/line.h"
#include "util/clock.h"
#include "util/columns.h"
#include "util/text.h"

static size_t write_safely(FILE *out, const char *text, size_t count, bool with_layout)
{
    size_t sum = 0;
    size_t bytes = 0;
    size_t columns = 0;

    for (size_t i = 0; i < count; i += bytes) {
        bool layout = with_layout && (text[i] == '\n' || text[i] == '\t');

        bytes = layout ? 1 : qe_columns_next(text + i, count - i, &columns);
        if (bytes > 0) {
            sum += layout ? 1 : columns;
            if (out != NULL) {
                (void)fwrite(text + i, 1, bytes, out);
            }
            continue;
        }
        bytes = 1;
        sum += 4;
        if (out != NULL) {
            (void)fprintf(out, "\\x%02x", (unsigned char)text[i]);
        }
    }
    return sum;
}

size_t ctl_write_safely(FILE *out, const char *text, size_t count)
{
    return write_safely(out, text, count, true);
}

size_t ctl_write_name(FILE *out, const char *name)
{
    return write_safely(out, name, strlen(name), false);
}

size_t ctl_columns(const char *name)
{
    return ctl_write_name(NULL, name);
}

void ctl_put_padded(const char *name, size_t width)
{
    size_t columns = ctl_write_name(stdout, name);

    (void)printf("%*s", columns < width ? (int)(width - columns) : 0, "");
}

void ctl_complain(const char *command, const struct qe_err *err)
{
    (void)fprintf(stderr, "queuectl %s: ", command);
    (void)ctl_write_name(stderr, err->message); /* one line, which may name queues */
    (void)fputc('\n', stderr);
}

int ctl_flush(struct qe_err *err)
{
    ctl_hold_signals();
    int rc = fflush(stdout);

    ctl_let_signals();
    if (rc != 0) {
        return qe_err_set_errno(err, errno, "cannot write to standard output");
    }
    return ferror(stdout) == 0 ? 0 : qe_err_set(err, QE_ERR_IO, "cannot write to standard output");
}

static void print_attributes(const struct qe_attributes *attributes)
{
    for (size_t i = 0; i < attributes->count; i++) {
        (void)fputs("  ", stdout);
        (void)ctl_write_name(stdout, attributes->items[i].name);
        (void)fputs(" = ", stdout);
        (void)ctl_write_name(stdout, attributes->items[i].value);
        (void)putchar('\n');
    }
}

static void print_for_people(const struct qe_message *message)
{
    char age[32];
    int64_t now_unix_ms = qe_clock_unix_ms();

    (void)fputs("id ", stdout);
    (void)ctl_write_name(stdout, qe_message_name(message));
    if (message->receives > 0) {
        (void)printf(", received %" PRIu32 "x", message->receives);
    }
    if (message->sent_unix_ms > 0 && now_unix_ms >= message->sent_unix_ms) {
        (void)printf(
            ", sent %s ago",
            qe_text_from_duration((now_unix_ms - message->sent_unix_ms) / 1000 * 1000, age));
    }
    if (message->visible_unix_ms > now_unix_ms) {
        (void)printf(", available in %s",
                     qe_text_from_duration(message->visible_unix_ms - now_unix_ms, age));
    }
    if (*message->group != '\0') {
        (void)fputs(", group ", stdout);
        (void)ctl_write_name(stdout, message->group);
    }
    (void)printf(", %zu bytes\n", message->body_bytes);
    print_attributes(&message->attributes);
    (void)ctl_write_safely(stdout, message->body, message->body_bytes);
    (void)fputs("\n\n", stdout);
}

int ctl_print_message(const struct qe_message *message, bool json, struct qe_err *err)
{
    if (json) {
        return ctl_line_write(stdout, message, err);
    }
    print_for_people(message);
    return 0;
}
