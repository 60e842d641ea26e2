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
#define DIGITS_MAX 15 /* exact in a double */
#define LINE_MAX_BYTES ((size_t)64 << 10)

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
    struct slice number;
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
    line->number = until(&at, end, " \r");
    return read_number(line->number, &line->value);
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
        {"messages", QE_RMQ_MESSAGES},
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

/* --- one line of a queue --- */

static void set(struct qe_rmq_told_queue *item, enum qe_rmq_value value, double number)
{
    if (item->queue != SIZE_MAX && isfinite(number) && number >= 0) {
        qe_rmq_set(&item->reading, value, number);
    }
}

/* Nearly every line: of the queue that comes next, with a plain number. */
static bool take_expected(struct qe_rmq_families *families, const char *labels, const char *end)
{
    const size_t expected = families->told->next;
    struct qe_rmq_told_queue *item = qe_rmq_told_next(families->told, labels, end);
    const char *const digits = item == NULL ? end : labels + item->labels_bytes;
    const char *at = digits;
    uint64_t number = 0;

    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
    }
    if (at != end || at == digits || at - digits > DIGITS_MAX) {
        families->told->next = expected;
        return false;
    }
    set(item, families->value, (double)number);
    return true;
}

static int tell(struct qe_rmq_families *families, size_t queue, struct slice labels, double number,
                struct qe_err *err)
{
    struct qe_rmq_told_queue *item = NULL;

    if (qe_rmq_told_find(families->told, queue, labels.at, labels.bytes, &item, err) != 0) {
        return -1;
    }
    if (item != NULL) {
        set(item, families->value, number);
    }
    return 0;
}

/* As the text format says. */
static int take_by_format(struct qe_rmq_families *families, const struct line *line,
                          struct slice labels, struct qe_err *err)
{
    const struct label *vhost = label_of(line, "vhost");
    const struct label *queue = label_of(line, "queue");
    struct slice vhost_plain;
    struct slice queue_plain;

    if (vhost == NULL || queue == NULL) { /* of a node as a whole */
        return 0;
    }
    if (plain(vhost, &families->room[0], &vhost_plain, err) != 0 ||
        plain(queue, &families->room[1], &queue_plain, err) != 0) {
        return -1;
    }
    const struct qe_rmq_named named = {.vhost = vhost_plain.at,
                                       .vhost_bytes = vhost_plain.bytes,
                                       .name = queue_plain.at,
                                       .name_bytes = queue_plain.bytes};

    /* What is read otherwise than it stands is no good for comparing. */
    if (labels.at + labels.bytes != line->number.at) {
        labels.bytes = 0;
    }
    return tell(families, families->number(families->context, &named), labels, line->value, err);
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

static int take_value(struct qe_rmq_families *families, const char *at, const char *labels_at,
                      const char *end, struct qe_err *err)
{
    struct slice labels = {.at = labels_at};
    struct qe_rmq_named named;
    struct line line;
    double number = 0;

    if (read_as_it_stands(labels_at, end, &named, &number)) {
        const size_t queue = families->number(families->context, &named);

        labels.bytes = (size_t)(named.name + named.name_bytes + strlen("\"} ") - labels_at);
        if (queue != SIZE_MAX) {
            return tell(families, queue, labels, number, err);
        }
    }
    if (read_line(at, end, &line)) {
        return take_by_format(families, &line, labels, err);
    }
    return labels.bytes > 0 ? tell(families, SIZE_MAX, labels, number, err)
                            : qe_err_set(err, QE_ERR_PROTOCOL, "neither a comment nor a sample");
}

static int take_identity(struct qe_rmq_families *families, const char *at, const char *end,
                         struct qe_err *err)
{
    struct line line;

    if (!read_line(at, end, &line)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "neither a comment nor a sample");
    }
    keep(&line, "rabbitmq_node", families->node, sizeof families->node);
    keep(&line, "rabbitmq_cluster", families->cluster, sizeof families->cluster);
    return 0;
}

/* --- lines, families, pieces --- */

static bool is_same_family(const struct qe_rmq_families *families, const char *at, const char *end)
{
    return families->family_bytes > 0 && (size_t)(end - at) >= families->family_bytes &&
           memcmp(at, families->family, families->family_bytes) == 0;
}

static void begin_family(struct qe_rmq_families *families, struct slice name)
{
    const bool fits = name.bytes < sizeof families->family;

    families->family_bytes = fits ? name.bytes + 1 : 0;
    if (fits) {
        memcpy(families->family, name.at, name.bytes);
        families->family[name.bytes] = '{';
    }
    families->is_value = value_of(name, &families->value);
    if (families->is_value) {
        qe_rmq_told_begin_family(families->told);
    }
}

static int take_line(struct qe_rmq_families *families, const char *at, const char *end,
                     struct qe_err *err)
{
    if (!is_same_family(families, at, end)) {
        const char *name_end = at;
        const struct slice name = until(&name_end, end, "{ ");

        if (name.bytes == 0) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "a line without a name");
        }
        if (is(name, IDENTITY)) {
            return take_identity(families, at, end, err);
        }
        begin_family(families, name);
    }
    if (!families->is_value) {
        return 0;
    }
    const char *labels = at + families->family_bytes - 1;

    return take_expected(families, labels, end) ? 0 : take_value(families, at, labels, end, err);
}

/* Lines as far as they are whole; *at: behind the last of them. */
static int take_lines(struct qe_rmq_families *families, const char **at, const char *end,
                      struct qe_err *err)
{
    for (const char *line_end = memchr(*at, '\n', (size_t)(end - *at)); line_end != NULL;
         line_end = memchr(*at, '\n', (size_t)(end - *at))) {
        families->line++;
        if (*at < line_end && **at != '#' && **at != '\r' &&
            take_line(families, *at, line_end, err) != 0) {
            return qe_err_wrap(err, "line %zu", families->line);
        }
        *at = line_end + 1;
    }
    return 0;
}

/* Ends the line that the piece before has begun, as far as this piece does. */
static int end_rest(struct qe_rmq_families *families, const char **at, const char *end,
                    struct qe_err *err)
{
    const char *line_end = memchr(*at, '\n', (size_t)(end - *at));
    const char *rest = NULL;

    (void)qe_strbuf_append(&families->rest, *at,
                           (size_t)((line_end == NULL ? end : line_end + 1) - *at));
    *at = line_end == NULL ? end : line_end + 1;
    if (families->rest.failed == QE_ERR_LIMIT) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "line %zu: endless", families->line + 1);
    }
    if (qe_strbuf_error(&families->rest, err) != 0) {
        return -1;
    }
    if (line_end == NULL) {
        return 0;
    }
    rest = families->rest.data;
    if (take_lines(families, &rest, rest + families->rest.length_bytes, err) != 0) {
        return -1;
    }
    qe_strbuf_reset(&families->rest);
    return 0;
}

void qe_rmq_families_init(struct qe_rmq_families *families, qe_rmq_number_fn *number, void *context,
                          struct qe_rmq_told *told)
{
    *families = (struct qe_rmq_families){.number = number, .context = context, .told = told};
    qe_strbuf_init(&families->rest, LINE_MAX_BYTES);
    qe_rmq_told_begin(told);
}

void qe_rmq_families_deinit(struct qe_rmq_families *families)
{
    qe_strbuf_deinit(&families->rest);
    qe_strbuf_deinit(&families->room[0]);
    qe_strbuf_deinit(&families->room[1]);
}

int qe_rmq_families_feed(struct qe_rmq_families *families, const char *text, size_t bytes,
                         struct qe_err *err)
{
    const char *at = text;
    const char *const end = text + bytes;

    if (bytes == 0) {
        return 0;
    }
    if ((families->rest.length_bytes > 0 && end_rest(families, &at, end, err) != 0) ||
        take_lines(families, &at, end, err) != 0) {
        return -1;
    }
    return at == end ? 0 : end_rest(families, &at, end, err);
}

int qe_rmq_families_end(struct qe_rmq_families *families, struct qe_err *err)
{
    /* A number that lacks its last digits would be another one. */
    return families->rest.length_bytes == 0
               ? 0
               : qe_err_set(err, QE_ERR_PROTOCOL, "line %zu: cut short", families->line + 1);
}
