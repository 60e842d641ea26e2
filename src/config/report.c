#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "util/mem.h"
#include "util/url.h"

/* Room for the smallest example and for long lists of known keys. */
#define MESSAGE_MAX_BYTES 2048

void qe_report_init(struct qe_report *report, const char *file)
{
    *report = (struct qe_report){.file = file};
}

void qe_report_deinit(struct qe_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        qe_free(report->lines[i].message);
    }
    qe_free(report->lines);
    *report = (struct qe_report){0};
}

void qe_report_nomem(struct qe_report *report)
{
    report->out_of_memory = true;
}

size_t qe_report_errors(const struct qe_report *report)
{
    return report->count + report->dropped + (report->out_of_memory ? 1 : 0);
}

void qe_report_add(struct qe_report *report, size_t line, size_t column, const char *fmt, ...)
{
    char message[MESSAGE_MAX_BYTES];
    va_list args;

    if (report->count >= QE_CONFIG_ERRORS_MAX) {
        report->dropped++;
        return;
    }
    va_start(args, fmt);
    int length = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (length < 0) {
        message[0] = '\0';
    }
    char *copy = qe_strdup(message);
    if (copy == NULL || qe_grow(&report->lines, report->count, &report->capacity,
                                QE_CONFIG_ERRORS_MAX, sizeof *report->lines) != 0) {
        qe_free(copy);
        qe_report_nomem(report);
        return;
    }
    report->lines[report->count] = (struct qe_report_line){
        .line = line, .column = column, .order = report->count, .message = copy};
    report->count++;
}

static int compare_size(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int compare_lines(const void *a_item, const void *b_item)
{
    const struct qe_report_line *a = a_item;
    const struct qe_report_line *b = b_item;

    if (a->line != b->line) {
        return compare_size(a->line, b->line);
    }
    if (a->column != b->column) {
        return compare_size(a->column, b->column);
    }
    return compare_size(a->order, b->order);
}

/* A value used through several aliases is wrong once, where it stands. */
static bool repeats(const struct qe_report_line *lines, size_t index)
{
    for (size_t i = index; i > 0; i--) {
        const struct qe_report_line *before = &lines[i - 1];

        if (before->line != lines[index].line || before->column != lines[index].column) {
            return false;
        }
        if (strcmp(before->message, lines[index].message) == 0) {
            return true;
        }
    }
    return false;
}

void qe_report_write(struct qe_report *report, struct qe_strbuf *out)
{
    if (report->count > 1) {
        qsort(report->lines, report->count, sizeof *report->lines, compare_lines);
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct qe_report_line *line = &report->lines[i];

        if (repeats(report->lines, i)) {
            continue;
        }
        if (line->line == 0) {
            (void)qe_strbuf_printf(out, "%s: %s\n", report->file, line->message);
        } else {
            (void)qe_strbuf_printf(out, "%s:%zu:%zu: %s\n", report->file, line->line, line->column,
                                   line->message);
        }
    }
    if (report->dropped > 0) {
        (void)qe_strbuf_printf(out, "%s: ... and %zu more\n", report->file, report->dropped);
    }
    if (report->out_of_memory) {
        (void)qe_strbuf_printf(out, "%s: out of memory\n", report->file);
    }
}

/* Bytes that continue a UTF-8 character. */
static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0u) == 0x80u;
}

const char *qe_report_show(const char *text, char out[QE_SHOWN_BYTES])
{
    const size_t room = QE_SHOWN_BYTES - 4; /* "..." and NUL */
    /* cppcheck-suppress variableScope ; `text` points at it until the end */
    char url[QE_URL_SHOWN_BYTES];

    if (strstr(text, "://") != NULL && strchr(text, '@') != NULL) {
        text = qe_url_show(text, url); /* with its user and password */
    }
    size_t length = strlen(text);
    size_t shown = length <= room ? length : room;

    while (shown < length && shown > 0 && is_continuation(text[shown])) {
        shown--; /* never half a character */
    }
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)text[i];
        out[i] = c < 0x20 || c == 0x7F ? '?' : text[i];
    }
    memcpy(out + shown, shown < length ? "..." : "", shown < length ? 4 : 1);
    return out;
}
