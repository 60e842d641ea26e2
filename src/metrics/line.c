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

/* --- whole lines: one reservation for all pieces, because a scrape writes hundreds of them --- */

static char *copy(char *at, const char *text, size_t count)
{
    memcpy(at, text, count);
    return at + count;
}

static void set_end(struct qe_strbuf *out, const char *end)
{
    out->length_bytes = (size_t)(end - out->data);
}

void qe_label_word(struct qe_strbuf *out, const char *name, const char *word)
{
    size_t name_bytes = strlen(name);
    size_t word_bytes = strlen(word);
    bool is_first = out->length_bytes == 0 || out->data[out->length_bytes - 1] == '{';
    char *at = qe_strbuf_reserve(out, name_bytes + word_bytes + 4);

    if (at == NULL) {
        return;
    }
    at = copy(at, ",", is_first ? 0 : 1);
    at = copy(at, name, name_bytes);
    at = copy(at, "=\"", 2);
    at = copy(at, word, word_bytes);
    set_end(out, copy(at, "\"", 1));
}

/* Name, suffix and labels, then room for `more` bytes at what is returned; NULL without memory. */
static char *begin(struct qe_strbuf *out, const char *const pieces[3], size_t more)
{
    size_t counts[3] = {strlen(pieces[0]), strlen(pieces[1]), strlen(pieces[2])};
    char *at = qe_strbuf_reserve(out, counts[0] + counts[1] + counts[2] + more);

    for (size_t i = 0; at != NULL && i < 3; i++) {
        at = copy(at, pieces[i], counts[i]);
    }
    return at;
}

void qe_line_begin(struct qe_strbuf *out, enum qe_family family, const char *labels)
{
    const char *const pieces[3] = {qe_catalogue[family].name, qe_family_suffix(family), labels};
    const char *at = begin(out, pieces, 0);

    if (at != NULL) {
        set_end(out, at);
    }
}

void qe_line_end_u64(struct qe_strbuf *out, uint64_t value)
{
    char *at = qe_strbuf_reserve(out, QE_NUMBER_MAX_BYTES + 3);

    if (at != NULL) {
        at = copy(at, "} ", 2);
        at += qe_number_write_u64(value, at);
        set_end(out, copy(at, "\n", 1));
    }
}

void qe_line_end_double(struct qe_strbuf *out, double value)
{
    char *at = qe_strbuf_reserve(out, QE_NUMBER_MAX_BYTES + 3);

    if (at != NULL) {
        at = copy(at, "} ", 2);
        at += qe_number_write_double(value, at);
        set_end(out, copy(at, "\n", 1));
    }
}

/* "name value\n" or "name{labels} value\n". */
static void whole_line(struct qe_strbuf *out, const char *const pieces[3], const char *number,
                       size_t number_bytes)
{
    char *at = begin(out, pieces, number_bytes + 3);

    if (at != NULL) {
        at = copy(at, "} ", pieces[2][0] != '\0' ? 2 : 0);
        at = copy(at, " ", pieces[2][0] != '\0' ? 0 : 1);
        at = copy(at, number, number_bytes);
        set_end(out, copy(at, "\n", 1));
    }
}

void qe_line_u64(struct qe_strbuf *out, enum qe_family family, const char *labels, uint64_t value)
{
    const char *const pieces[3] = {qe_catalogue[family].name, qe_family_suffix(family), labels};
    char number[QE_NUMBER_MAX_BYTES];

    whole_line(out, pieces, number, qe_number_write_u64(value, number));
}

void qe_line_double(struct qe_strbuf *out, enum qe_family family, const char *labels, double value)
{
    const char *const pieces[3] = {qe_catalogue[family].name, qe_family_suffix(family), labels};
    char number[QE_NUMBER_MAX_BYTES];

    whole_line(out, pieces, number, qe_number_write_double(value, number));
}

void qe_line_histogram(struct qe_strbuf *out, enum qe_family family, const char *labels,
                       const struct qe_histogram *histogram)
{
    const struct qe_histogram_layout *layout = histogram->layout;
    const char *name = qe_catalogue[family].name;
    const char *const bucket[3] = {name, "_bucket", labels[0] != '\0' ? labels : "{"};
    const char *const sum[3] = {name, "_sum", labels};
    const char *const count[3] = {name, "_count", labels};
    char number[QE_NUMBER_MAX_BYTES];
    uint64_t below = 0;

    for (size_t i = 0; i <= layout->count; i++) {
        const char *le = i < layout->count ? layout->le[i] : "+Inf";
        char *at = begin(out, bucket, QE_SHORT_TEXT_BYTES + QE_NUMBER_MAX_BYTES);

        if (at == NULL) {
            return;
        }
        below += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        at = labels[0] != '\0' ? copy(at, ",le=\"", 5) : copy(at, "le=\"", 4);
        at = copy(at, le, strlen(le));
        at = copy(at, "\"} ", 3);
        at += qe_number_write_u64(below, at);
        set_end(out, copy(at, "\n", 1));
    }
    whole_line(out, sum, number, qe_number_write_double(qe_histogram_sum(histogram), number));
    whole_line(out, count, number, qe_number_write_u64(below, number));
}
