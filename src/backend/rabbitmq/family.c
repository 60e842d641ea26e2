#include "backend/rabbitmq/family.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"
#include "util/strbuf.h"

#define PREFIX "rabbitmq_detailed_queue_"
#define IDENTITY "rabbitmq_identity_info"
#define LABELS_MAX 8
#define NUMBER_BYTES 40

struct slice {
    const char *at;
    size_t bytes;
};

/* A value of a label, still escaped. */
struct label {
    struct slice name;
    struct slice value;
    bool is_escaped;
};

struct line {
    struct slice name;
    struct label labels[LABELS_MAX];
    size_t labels_count;
    double value;
};

static bool is(struct slice slice, const char *text)
{
    return strlen(text) == slice.bytes && memcmp(slice.at, text, slice.bytes) == 0;
}

/* Up to the first of `stops`, or the end. */
static struct slice until(const char **at, const char *end, const char *stops)
{
    struct slice slice = {.at = *at};

    for (; *at < end && strchr(stops, **at) == NULL; (*at)++) {
        slice.bytes++;
    }
    return slice;
}

static bool take(const char **at, const char *end, char c)
{
    if (*at >= end || **at != c) {
        return false;
    }
    (*at)++;
    return true;
}

/* name="value" */
static bool read_label(const char **at, const char *end, struct label *out)
{
    *out = (struct label){.name = until(at, end, "=\"{},")};
    if (!take(at, end, '=') || !take(at, end, '"')) {
        return false;
    }
    out->value.at = *at;
    for (; *at < end && **at != '"'; (*at)++) {
        if (**at == '\\') {
            out->is_escaped = true;
            (*at)++;
            if (*at >= end) {
                return false;
            }
        }
    }
    out->value.bytes = (size_t)(*at - out->value.at);
    return take(at, end, '"');
}

static bool read_labels(const char **at, const char *end, struct line *line)
{
    if (!take(at, end, '{')) {
        return true;
    }
    for (; !take(at, end, '}');) {
        struct label label;

        if (!read_label(at, end, &label)) {
            return false;
        }
        if (line->labels_count < LABELS_MAX) {
            line->labels[line->labels_count++] = label;
        }
        (void)take(at, end, ',');
    }
    return true;
}

/* "Nan", "+Inf" and the like stand for what is not known. */
static bool read_number(struct slice slice, double *out)
{
    char text[NUMBER_BYTES];
    char *end = NULL;

    if (slice.bytes == 0 || slice.bytes >= sizeof text) {
        return false;
    }
    memcpy(text, slice.at, slice.bytes);
    text[slice.bytes] = '\0';
    *out = strtod(text, &end);
    return *end == '\0';
}

static bool read_line(const char *at, const char *end, struct line *line)
{
    line->labels_count = 0;
    line->name = until(&at, end, "{ ");
    if (line->name.bytes == 0 || !read_labels(&at, end, line) || !take(&at, end, ' ')) {
        return false;
    }
    return read_number(until(&at, end, " \r"), &line->value);
}

static const struct label *label_of(const struct line *line, const char *name)
{
    for (size_t i = 0; i < line->labels_count; i++) {
        if (is(line->labels[i].name, name)) {
            return &line->labels[i];
        }
    }
    return NULL;
}

/* The label's value as it is: borrowed from the text, or written to `room`. */
static int plain(const struct label *label, struct qe_strbuf *room, struct slice *out,
                 struct qe_err *err)
{
    *out = label->value;
    if (!label->is_escaped) {
        return 0;
    }
    qe_strbuf_reset(room);
    for (size_t i = 0; i < label->value.bytes; i++) {
        char c = label->value.at[i];

        if (c == '\\' && i + 1 < label->value.bytes) {
            i++;
            c = label->value.at[i] == 'n' ? '\n' : label->value.at[i];
        }
        (void)qe_strbuf_append_char(room, c);
    }
    out->at = qe_strbuf_text(room);
    out->bytes = room->length_bytes;
    return qe_strbuf_error(room, err);
}

/* --- what is wanted of it --- */

static bool value_of(struct slice name, enum qe_rmq_value *out)
{
    static const struct {
        const char *name;
        enum qe_rmq_value value;
    } names[] = {
        {"messages_ready", QE_RMQ_READY},
        {"messages_unacked", QE_RMQ_UNACKNOWLEDGED},
        {"consumers", QE_RMQ_CONSUMERS},
        {"messages_bytes", QE_RMQ_BYTES},
        {"head_message_timestamp", QE_RMQ_HEAD_TIMESTAMP},
    };
    const size_t prefix_bytes = sizeof PREFIX - 1;

    if (name.bytes <= prefix_bytes || memcmp(name.at, PREFIX, prefix_bytes) != 0) {
        return false;
    }
    const struct slice rest = {.at = name.at + prefix_bytes, .bytes = name.bytes - prefix_bytes};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (is(rest, names[i].name)) {
            *out = names[i].value;
            return true;
        }
    }
    return false;
}

static void keep(const struct line *line, const char *label_name, char *out, size_t out_bytes)
{
    const struct label *label = label_of(line, label_name);

    if (label != NULL && label->value.bytes < out_bytes) {
        memcpy(out, label->value.at, label->value.bytes);
        out[label->value.bytes] = '\0';
    }
}

static int tell(struct qe_rmq_families *families, const struct line *line, enum qe_rmq_value value,
                struct qe_strbuf room[2], struct qe_err *err)
{
    const struct label *vhost = label_of(line, "vhost");
    const struct label *queue = label_of(line, "queue");
    struct slice vhost_plain;
    struct slice queue_plain;

    if (vhost == NULL || queue == NULL || !isfinite(line->value) || line->value < 0) {
        return 0;
    }
    if (plain(vhost, &room[0], &vhost_plain, err) != 0 ||
        plain(queue, &room[1], &queue_plain, err) != 0) {
        return -1;
    }
    const struct qe_rmq_named named = {.vhost = vhost_plain.at,
                                       .vhost_bytes = vhost_plain.bytes,
                                       .name = queue_plain.at,
                                       .name_bytes = queue_plain.bytes};

    return families->value(families->context, &named, value, line->value, err) < 0 ? -1 : 0;
}

/* `{vhost="V",queue="Q"} NUMBER`, with V and Q as they stand; false: not of this form. */
static bool read_as_it_stands(const char *at, const char *end, struct qe_rmq_named *out,
                              double *out_number)
{
    static const char before[] = "{vhost=\"";
    static const char between[] = "\",queue=\"";
    const size_t before_bytes = sizeof before - 1;
    const size_t between_bytes = sizeof between - 1;
    const char *last = end;
    const char *queue = NULL;

    if ((size_t)(end - at) < before_bytes || memcmp(at, before, before_bytes) != 0) {
        return false;
    }
    at += before_bytes;
    for (; last > at && last[-1] != ' '; last--) {
    }
    if (last - at < 3 || last[-2] != '}' || last[-3] != '"' ||
        !read_number((struct slice){.at = last, .bytes = (size_t)(end - last)}, out_number)) {
        return false;
    }
    last -= 3;
    for (queue = at; queue + between_bytes <= last; queue++) {
        if (*queue == '"' && memcmp(queue, between, between_bytes) == 0) {
            *out = (struct qe_rmq_named){.vhost = at,
                                         .vhost_bytes = (size_t)(queue - at),
                                         .name = queue + between_bytes,
                                         .name_bytes = (size_t)(last - queue) - between_bytes};
            return true;
        }
    }
    return false;
}

static int take_line(struct qe_rmq_families *families, const char *at, const char *end,
                     struct qe_strbuf room[2], struct qe_err *err)
{
    const char *name_end = at;
    const struct slice name = until(&name_end, end, "{ ");
    enum qe_rmq_value value = QE_RMQ_VALUE_COUNT;
    struct qe_rmq_named named;
    struct line line;
    double number = 0;
    bool stands = false;

    const bool is_value = value_of(name, &value);
    const bool is_identity = !is_value && is(name, IDENTITY);

    if (!is_value && !is_identity) {
        return name.bytes > 0 ? 0 : qe_err_set(err, QE_ERR_PROTOCOL, "a line without a name");
    }
    stands = is_value && read_as_it_stands(name_end, end, &named, &number);
    if (stands && isfinite(number) && number >= 0) {
        const int rc = families->value(families->context, &named, value, number, err);

        if (rc != 0) {
            return rc < 0 ? -1 : 0;
        }
    }
    if (!read_line(at, end, &line)) {
        return stands ? 0 : qe_err_set(err, QE_ERR_PROTOCOL, "neither a comment nor a sample");
    }
    if (is_identity) {
        keep(&line, "rabbitmq_node", families->node, sizeof families->node);
        keep(&line, "rabbitmq_cluster", families->cluster, sizeof families->cluster);
        return 0;
    }
    return tell(families, &line, value, room, err);
}

int qe_rmq_families_read(struct qe_rmq_families *families, const char *text, size_t bytes,
                         struct qe_err *err)
{
    const char *const end = text + bytes;
    struct qe_strbuf room[2];
    size_t number = 1;
    int rc = 0;

    qe_strbuf_init(&room[0], 0);
    qe_strbuf_init(&room[1], 0);
    families->node[0] = '\0';
    families->cluster[0] = '\0';
    for (const char *at = text; at < end; number++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));

        if (line_end == NULL) { /* a number that lacks its last digits would be another one */
            rc = qe_err_set(err, QE_ERR_PROTOCOL, "cut short");
            break;
        }
        if (at < line_end && *at != '#' && *at != '\r') {
            rc = take_line(families, at, line_end, room, err);
        }
        if (rc != 0) {
            break;
        }
        at = line_end + 1;
    }
    qe_strbuf_deinit(&room[0]);
    qe_strbuf_deinit(&room[1]);
    return rc == 0 ? 0 : qe_err_wrap(err, "line %zu", number);
}
