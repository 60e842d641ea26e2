#include <stdbool.h>

#include "metrics/line_internal.h"
#include "util/text.h"

/* Length of the UTF-8 character at `at`, 0 when there is none. */
static size_t utf8_character(const char *at)
{
    for (size_t length = 1; length <= 4; length++) {
        if (at[length - 1] == '\0') {
            return 0;
        }
        if (qe_text_is_utf8(at, length)) {
            return length;
        }
    }
    return 0;
}

static void escape_byte(struct qe_strbuf *out, unsigned char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    char text[5] = {'\\', '\\', 'x', digits[byte >> 4], digits[byte & 0xf]};

    (void)qe_strbuf_append(out, text, sizeof text);
}

/* Appends the run of bytes that stand for themselves; returns its length. */
static size_t plain_run(struct qe_strbuf *out, const char *at, bool is_utf8)
{
    size_t length = strcspn(at, "\\\"\n");

    for (size_t i = 0; !is_utf8 && i < length; i++) {
        length = (unsigned char)at[i] < 0x80 ? length : i;
    }
    (void)qe_strbuf_append(out, at, length);
    return length;
}

/* Appends what begins with a byte that is not plain; returns its length in the value. */
static size_t special(struct qe_strbuf *out, const char *at)
{
    if (*at == '\n') {
        (void)qe_strbuf_append_text(out, "\\n");
        return 1;
    }
    if (*at == '\\' || *at == '"') {
        (void)qe_strbuf_append_char(out, '\\');
        (void)qe_strbuf_append_char(out, *at);
        return 1;
    }
    size_t length = utf8_character(at);

    if (length > 0) {
        (void)qe_strbuf_append(out, at, length);
        return length;
    }
    escape_byte(out, (unsigned char)*at);
    return 1;
}

void qe_label_escape(struct qe_strbuf *out, const char *value)
{
    bool is_utf8 = qe_text_is_utf8(value, strlen(value));
    const char *at = value + plain_run(out, value, is_utf8);

    for (; *at != '\0'; at += plain_run(out, at, is_utf8)) {
        at += special(out, at);
    }
}

void qe_label_add(struct qe_strbuf *out, const char *name, const char *value)
{
    if (out->length_bytes == 0 || out->data[out->length_bytes - 1] != '{') {
        (void)qe_strbuf_append_char(out, ',');
    }
    (void)qe_strbuf_append_text(out, name);
    (void)qe_strbuf_append_text(out, "=\"");
    qe_label_escape(out, value);
    (void)qe_strbuf_append_char(out, '"');
}

void qe_label_add_known(struct qe_strbuf *out, const char *name, const char *value)
{
    if (value[0] != '\0') {
        qe_label_add(out, name, value);
    }
}

void qe_label_queue(struct qe_strbuf *out, const char *source, const char *vhost, const char *queue)
{
    (void)qe_strbuf_append_char(out, '{');
    qe_label_add(out, "source", source);
    qe_label_add_known(out, "vhost", vhost);
    qe_label_add(out, "queue", queue);
}

static void short_append(struct qe_short_text *out, const char *text)
{
    for (size_t i = 0; text[i] != '\0' && out->length < QE_SHORT_TEXT_BYTES; i++) {
        out->bytes[out->length] = text[i];
        out->length++;
    }
}

struct qe_short_text qe_line_name(enum qe_family family)
{
    struct qe_short_text name = {0};

    short_append(&name, qe_catalogue[family].name);
    short_append(&name, qe_family_suffix(family));
    return name;
}

struct qe_short_text qe_line_tail(const char *name, const char *value)
{
    struct qe_short_text tail = {0};

    if (name != NULL) {
        short_append(&tail, ",");
        short_append(&tail, name);
        short_append(&tail, "=\"");
        short_append(&tail, value);
        short_append(&tail, "\"");
    }
    short_append(&tail, "} ");
    return tail;
}

void qe_line_end_u64(struct qe_strbuf *out, uint64_t value)
{
    char text[2 + QE_NUMBER_MAX_BYTES + 1] = "} ";
    size_t length = 2 + qe_number_write_u64(value, text + 2);

    text[length] = '\n';
    (void)qe_strbuf_append(out, text, length + 1);
}

void qe_line_end_double(struct qe_strbuf *out, double value)
{
    char text[2 + QE_NUMBER_MAX_BYTES + 1] = "} ";
    size_t length = 2 + qe_number_write_double(value, text + 2);

    text[length] = '\n';
    (void)qe_strbuf_append(out, text, length + 1);
}

static void begin(struct qe_strbuf *out, enum qe_family family, const char *suffix,
                  const char *labels)
{
    (void)qe_strbuf_append_text(out, qe_catalogue[family].name);
    (void)qe_strbuf_append_text(out, suffix);
    (void)qe_strbuf_append_text(out, labels);
}

/* "name value\n" or "name{labels} value\n". */
static void finish(struct qe_strbuf *out, const char *labels, const char *number, size_t length)
{
    (void)qe_strbuf_append_text(out, labels[0] != '\0' ? "} " : " ");
    (void)qe_strbuf_append(out, number, length);
    (void)qe_strbuf_append_char(out, '\n');
}

void qe_line_u64(struct qe_strbuf *out, enum qe_family family, const char *labels, uint64_t value)
{
    char number[QE_NUMBER_MAX_BYTES];

    begin(out, family, qe_family_suffix(family), labels);
    finish(out, labels, number, qe_number_write_u64(value, number));
}

void qe_line_double(struct qe_strbuf *out, enum qe_family family, const char *labels, double value)
{
    char number[QE_NUMBER_MAX_BYTES];

    begin(out, family, qe_family_suffix(family), labels);
    finish(out, labels, number, qe_number_write_double(value, number));
}

void qe_line_histogram(struct qe_strbuf *out, enum qe_family family, const char *labels,
                       const struct qe_histogram *histogram)
{
    const struct qe_histogram_layout *layout = histogram->layout;
    char number[QE_NUMBER_MAX_BYTES];
    uint64_t below = 0;

    for (size_t i = 0; i <= layout->count; i++) {
        below += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        begin(out, family, "_bucket", labels[0] != '\0' ? labels : "{");
        qe_label_add(out, "le", i < layout->count ? layout->le[i] : "+Inf");
        qe_line_end_u64(out, below);
    }
    begin(out, family, "_sum", labels);
    finish(out, labels, number, qe_number_write_double(qe_histogram_sum(histogram), number));
    begin(out, family, "_count", labels);
    finish(out, labels, number, qe_number_write_u64(below, number));
}
