/* How sample lines are written: labels, and the fast path for one line per queue. For this folder
 * and its tests. Every buffer's error sticks (util/strbuf.h): callers check once at the end. */
#ifndef QE_METRICS_LINE_INTERNAL_H
#define QE_METRICS_LINE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "metrics/catalogue.h"
#include "model/histogram.h"
#include "util/number.h"
#include "util/strbuf.h"

/* Fixed-size copies of short texts compile to a few moves; a call per piece would cost more than
 * the bytes. Hence names and tails sit in fields of this size, and lines are written with that much
 * slack behind them. */
#define QE_SHORT_TEXT_BYTES 64
#define QE_LABEL_CHUNK_BYTES 32

struct qe_short_text {
    size_t length;
    char bytes[QE_SHORT_TEXT_BYTES];
};

/* Appends a label value's text, escaped for both formats. A byte that is not UTF-8 becomes the four
 * characters \xHH: one such name must not cost the whole scrape. */
void qe_label_escape(struct qe_strbuf *out, const char *value);
/* Appends name="value", with a comma before it unless a '{' stands there. */
void qe_label_add(struct qe_strbuf *out, const char *name, const char *value);
/* As qe_label_add, but nothing when the value is empty: an absent label equals an empty one. */
void qe_label_add_known(struct qe_strbuf *out, const char *name, const char *value);
/* As qe_label_add for words of ours, in which there is nothing to escape. */
void qe_label_word(struct qe_strbuf *out, const char *name, const char *word);
/* Appends {source="...",vhost="...",queue="..." without the closing brace; vhost only when not
 * empty. */
void qe_label_queue(struct qe_strbuf *out, const char *source, const char *vhost,
                    const char *queue);

/* A line needed `part` and it failed: then the page failed. Before `part` is reset, which would
 * hide it. */
static inline void qe_line_check(struct qe_strbuf *out, const struct qe_strbuf *part)
{
    out->failed = part->failed != QE_OK ? part->failed : out->failed;
}

/* The name of a family's samples, counters with _total. */
struct qe_short_text qe_line_name(enum qe_family family);
/* What ends a line's labels: name="value" (name NULL: nothing) and "} ". Cut to fit, which only a
 * test can notice: values are words of ours. */
struct qe_short_text qe_line_tail(const char *name, const char *value);

/* Begins a line whose labels go on: "name{...", labels without the closing brace. */
void qe_line_begin(struct qe_strbuf *out, enum qe_family family, const char *labels);
/* Ends a line whose labels are written: "} value\n". */
void qe_line_end_u64(struct qe_strbuf *out, uint64_t value);
void qe_line_end_double(struct qe_strbuf *out, double value);
/* A whole line. labels: "{...", without the closing brace, or "" for none. */
void qe_line_u64(struct qe_strbuf *out, enum qe_family family, const char *labels, uint64_t value);
void qe_line_double(struct qe_strbuf *out, enum qe_family family, const char *labels, double value);
/* Lines of a histogram: cumulative buckets, of which the last (+Inf) is also the count. Safe while
 * others observe. */
void qe_line_histogram(struct qe_strbuf *out, enum qe_family family, const char *labels,
                       const struct qe_histogram *histogram);

/* Writes one line at `at`, which has room for qe_line_room() bytes; returns its end. labels has
 * QE_LABEL_CHUNK_BYTES readable bytes behind it. */
static inline size_t qe_line_room(size_t labels_bytes)
{
    return 2 * (size_t)QE_SHORT_TEXT_BYTES + labels_bytes + QE_LABEL_CHUNK_BYTES +
           QE_NUMBER_MAX_BYTES + 1;
}

static inline char *qe_line_write(char *at, const struct qe_short_text *name, const char *labels,
                                  size_t labels_bytes, const struct qe_short_text *tail)
{
    memcpy(at, name->bytes, QE_SHORT_TEXT_BYTES);
    at += name->length;
    for (size_t i = 0; i < labels_bytes; i += QE_LABEL_CHUNK_BYTES) {
        memcpy(at + i, labels + i, QE_LABEL_CHUNK_BYTES);
    }
    at += labels_bytes;
    memcpy(at, tail->bytes, QE_SHORT_TEXT_BYTES);
    return at + tail->length;
}

#endif
