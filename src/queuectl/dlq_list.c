/* queuectl dlq list: every dead-letter link, and what waits at its end; and the dead-letter queues
 * that no link leads to. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/derive.h"
#include "queuectl/line.h"
#include "queuectl/trend.h"
#include "queuectl/view.h"
#include "util/json.h"
#include "util/mem.h"
#include "util/number.h"
#include "util/text.h"

#define TREND_TIMEOUT_MS 2000
#define CELL_BYTES 40
#define NAME_MAX_COLUMNS 40
#define NAMES 4
#define ROWS_MAX ((size_t)QE_QUEUES_MAX * 2)

static const struct qe_cli_flag s_flags[] = {
    {"exporter", "URL", "the metrics page of the running exporter, which knows change and trend",
     CTL_EXPORTER_URL, CTL_AT(exporter)},
    CTL_FLAG_JSON,
    CTL_FLAG_TIMEOUT,
};

/* One link. Texts are borrowed from the source's queue set; unknown numbers are below 0. */
struct row {
    const char *source;
    const char *vhost;
    const char *queue; /* "": whose dead letters they are is not known */
    const char *dlq_vhost;
    const char *dlq;
    const struct ctl_trend *trend; /* NULL: the exporter does not tell */
    double depth;
    double oldest_seconds;
    double expires_seconds;
};

struct listing {
    struct ctl *ctl;
    struct ctl_trends trends;
    struct ctl_view views[QE_SOURCES_MAX];
    size_t views_count;
    bool has_vhosts;  /* some queue is not in its default one */
    struct row *rows; /* owned */
    size_t count;
    size_t capacity;
};

/* How old what waits in queue `dlq` is, and for how long it may stay. */
static void add_ages(const struct qe_snapshot *snapshot, size_t dlq, struct row *row)
{
    const struct qe_sample *sample = &snapshot->states[dlq].sample;
    double value = 0;

    if (qe_sample_has(sample, QE_FIELD_OLDEST_AGE_SECONDS) && row->depth > 0) {
        row->oldest_seconds = sample->values[QE_FIELD_OLDEST_AGE_SECONDS];
    }
    if (qe_derive_expiry_margin(snapshot, dlq, &value)) {
        row->expires_seconds = value;
    }
}

/* The depth is in the row; `target` is SIZE_MAX where the dead-letter queue is not listed. */
static int add_row(struct listing *listing, const struct qe_snapshot *snapshot, size_t target,
                   struct row row, struct qe_err *err)
{
    if (qe_grow(&listing->rows, listing->count, &listing->capacity, ROWS_MAX, sizeof row) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "%zu dead-letter links", listing->count);
    }
    row.source = snapshot->source;
    row.trend = ctl_trends_find(&listing->trends, row.source, row.dlq_vhost, row.dlq);
    row.oldest_seconds = row.expires_seconds = -1;
    if (target != SIZE_MAX) {
        add_ages(snapshot, target, &row);
    }
    listing->rows[listing->count++] = row;
    return 0;
}

static int add_link(struct listing *listing, const struct qe_snapshot *snapshot, size_t index,
                    size_t link, struct qe_err *err)
{
    const struct qe_queue *queue = &snapshot->set->items[index];
    const size_t target = snapshot->set->link_targets[index][link];
    double messages = 0;
    struct row row = {.vhost = queue->vhost,
                      .queue = queue->name,
                      .dlq_vhost = queue->links[link].vhost,
                      .dlq = queue->links[link].queue,
                      .depth = -1};

    if (target != SIZE_MAX && !snapshot->set->is_dead_letter_queue[target]) {
        return 0; /* to or from a queue that sends everything back after a while */
    }
    if (qe_derive_dead_letter_messages(snapshot, index, link, &messages)) {
        row.depth = messages;
    }
    return add_row(listing, snapshot, target, row, err);
}

/* One that only the configuration says to be one. */
static int add_unlinked(struct listing *listing, const struct qe_snapshot *snapshot, size_t index,
                        struct qe_err *err)
{
    const struct qe_queue_set *set = snapshot->set;
    const struct qe_queue *queue = &set->items[index];
    double messages = 0;
    struct row row = {.vhost = queue->vhost,
                      .queue = "",
                      .dlq_vhost = queue->vhost,
                      .dlq = queue->name,
                      .depth = -1};

    if (!set->is_dead_letter_queue[index] ||
        set->link_source_starts[index] != set->link_source_starts[index + 1]) {
        return 0;
    }
    if (qe_derive_own_dead_letter_messages(snapshot, index, &messages)) {
        row.depth = messages;
    }
    return add_row(listing, snapshot, index, row, err);
}

static int add_queue(struct listing *listing, const struct qe_snapshot *snapshot, size_t index,
                     struct qe_err *err)
{
    const struct qe_queue *queue = &snapshot->set->items[index];
    const size_t before = listing->count;
    int rc = add_unlinked(listing, snapshot, index, err);

    for (size_t i = 0; rc == 0 && i < queue->links_count; i++) {
        rc = add_link(listing, snapshot, index, i, err);
    }
    listing->has_vhosts |=
        listing->count > before &&
        *qe_queue_foreign_vhost(queue, listing->ctl->driver->default_vhost) != '\0';
    return rc;
}

static int add_source(struct listing *listing, const char *name, struct qe_err *err)
{
    struct qe_batch batch = {0};
    struct ctl_view *view = &listing->views[listing->views_count];
    int rc = ctl_read(listing->ctl, name, &batch, err);

    if (rc == 0) {
        rc = ctl_view_take(view, listing->ctl, &batch, 0, err);
        listing->views_count++;
    }
    for (size_t i = 0; rc == 0 && i < batch.set->count; i++) {
        rc = add_queue(listing, view->snapshot, i, err);
    }
    qe_batch_deinit(&batch);
    ctl_close(listing->ctl);
    return rc;
}

/* Most messages first: who looks at night looks for those. */
static int by_depth(const void *a, const void *b)
{
    const struct row *left = a;
    const struct row *right = b;

    if (left->depth != right->depth) {
        return left->depth > right->depth ? -1 : 1;
    }
    int order = strcmp(left->source, right->source);

    order = order != 0 ? order : strcmp(left->vhost, right->vhost);
    order = order != 0 ? order : strcmp(left->queue, right->queue);
    return order != 0 ? order : strcmp(left->dlq, right->dlq);
}

static bool has_change(const struct row *row)
{
    return row->trend != NULL && !isnan(row->trend->change_messages) &&
           row->trend->change_seconds >= 0;
}

/* --- JSON --- */

static int add_known(struct qe_json *object, const char *key, double value)
{
    return value >= 0 ? qe_json_add_number(object, key, value) : 0;
}

static int add_name(struct qe_json *object, const char *key, const char *text)
{
    return text != NULL && *text != '\0' ? qe_json_add_text(object, key, text) : 0;
}

static int fill_json(struct qe_json *object, const struct row *row)
{
    int rc = qe_json_add_text(object, "source", row->source);

    rc = rc == 0 && *row->queue != '\0' ? add_name(object, "vhost", row->vhost) : rc;
    rc = rc == 0 ? add_name(object, "queue", row->queue) : rc;
    rc = rc == 0 ? add_name(object, "dead_letter_vhost", row->dlq_vhost) : rc;
    rc = rc == 0 ? qe_json_add_text(object, "dead_letter_queue", row->dlq) : rc;
    rc = rc == 0 ? add_known(object, "messages", row->depth) : rc;
    rc = rc == 0 ? add_known(object, "oldest_age_seconds", row->oldest_seconds) : rc;
    rc = rc == 0 ? add_known(object, "expires_seconds", row->expires_seconds) : rc;
    if (rc == 0 && has_change(row)) {
        rc = qe_json_add_number(object, "change_messages", row->trend->change_messages);
        rc =
            rc == 0 ? qe_json_add_number(object, "change_seconds", row->trend->change_seconds) : rc;
    }
    return rc == 0 ? add_name(object, "trend", row->trend != NULL ? row->trend->state : NULL) : rc;
}

static int print_json(const struct row *row, struct qe_err *err)
{
    struct qe_json *object = qe_json_new_object();

    return ctl_write_object(stdout, fill_json(object, row), object, "queue", row->dlq, err);
}

/* --- table --- */

/* Dead letters stay in their vhost. */
static const char *name_of(const struct row *row, size_t column)
{
    const char *const names[NAMES] = {row->source, *row->vhost != '\0' ? row->vhost : "-",
                                      *row->queue != '\0' ? row->queue : "-", row->dlq};

    return names[column];
}

static size_t width_of(const struct listing *listing, size_t column, const char *head)
{
    size_t width = strlen(head);

    for (size_t i = 0; i < listing->count; i++) {
        size_t columns = ctl_columns(name_of(&listing->rows[i], column));

        width = columns > width ? columns : width;
    }
    return width > NAME_MAX_COLUMNS ? NAME_MAX_COLUMNS : width;
}

static const char *seconds_cell(double seconds, char out[32])
{
    return seconds < 0 ? "-" : qe_text_from_duration((int64_t)seconds * 1000, out);
}

/* "+12 in 5m" */
static const char *change_cell(const struct row *row, char *out, size_t out_bytes)
{
    char messages[CELL_BYTES];
    char span[32];

    if (!has_change(row)) {
        return "-";
    }
    messages[qe_number_write_double(row->trend->change_messages, messages)] = '\0';
    (void)snprintf(out, out_bytes, "%s%s in %s", row->trend->change_messages > 0 ? "+" : "",
                   messages,
                   qe_text_from_duration((int64_t)row->trend->change_seconds * 1000, span));
    return out;
}

static void put_names(const char *const names[NAMES], const size_t widths[NAMES])
{
    for (size_t i = 0; i < NAMES; i++) {
        if (widths[i] > 0) {
            ctl_put_padded(names[i], widths[i]);
            (void)fputs("  ", stdout);
        }
    }
}

static void print_row(const struct row *row, const size_t widths[NAMES])
{
    const char *names[NAMES];
    char depth[CELL_BYTES] = "-";
    char oldest[32];
    char change[CELL_BYTES * 2];
    char expires[32];

    for (size_t i = 0; i < NAMES; i++) {
        names[i] = name_of(row, i);
    }
    if (row->depth >= 0) {
        depth[qe_number_write_double(row->depth, depth)] = '\0';
    }
    put_names(names, widths);
    (void)printf("%8s %11s  %-12s %-8s %s\n", depth, seconds_cell(row->oldest_seconds, oldest),
                 change_cell(row, change, sizeof change),
                 row->trend != NULL && row->trend->state != NULL ? row->trend->state : "-",
                 seconds_cell(row->expires_seconds, expires));
}

static void print_table(const struct listing *listing)
{
    static const char *const heads[NAMES] = {"SOURCE", "VHOST", "QUEUE", "DEAD-LETTER QUEUE"};
    size_t widths[NAMES];

    for (size_t i = 0; i < NAMES; i++) {
        widths[i] = i == 1 && !listing->has_vhosts ? 0 : width_of(listing, i, heads[i]);
    }
    put_names(heads, widths);
    (void)printf("%8s %11s  %-12s %-8s %s\n", "MESSAGES", "OLDEST", "CHANGE", "TREND",
                 "EXPIRES IN");
    for (size_t i = 0; i < listing->count; i++) {
        print_row(&listing->rows[i], widths);
    }
}

/* --- the command --- */

static int print(const struct listing *listing, bool all_read, struct qe_err *err)
{
    int rc = 0;

    if (!listing->ctl->options.json) {
        if (listing->count > 0) {
            print_table(listing);
        } else if (all_read) {
            (void)fputs("no queue has a dead-letter queue that is known here\n", stderr);
        }
        return 0;
    }
    for (size_t i = 0; i < listing->count && rc == 0; i++) {
        rc = print_json(&listing->rows[i], err);
    }
    return rc;
}

/* The trend is good to have: only who named an exporter wants to hear that there is none. */
static void ask_exporter(struct listing *listing)
{
    const struct ctl_options *options = &listing->ctl->options;
    int64_t timeout_ms =
        options->timeout_ms < TREND_TIMEOUT_MS ? options->timeout_ms : TREND_TIMEOUT_MS;
    const char *url = options->exporter != NULL ? options->exporter : CTL_EXPORTER_URL;
    struct qe_err err = {0};

    if (ctl_trends_ask(&listing->trends, url, timeout_ms, &err) != 0 && options->exporter != NULL) {
        (void)qe_err_wrap(&err, "no trend, because the exporter cannot be asked");
        ctl_complain("dlq list", &err);
    }
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct qe_config *config = ctl->generation->config;
    struct listing *listing = qe_calloc(1, sizeof *listing);
    enum qe_exit code = QE_EXIT_OK;

    if (listing == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "a list of dead-letter queues");
        return QE_EXIT_FAILURE;
    }
    listing->ctl = ctl;
    (void)sigaction(SIGPIPE, &ignore, NULL);
    ask_exporter(listing);
    if (count == 1) {
        (void)add_source(listing, operands[0], err);
    }
    for (size_t i = 0; count == 0 && i < config->sources_count; i++) {
        struct qe_err why = {0};

        if (add_source(listing, config->sources[i].name, &why) != 0) { /* the others go on */
            ctl_complain("dlq list", &why);
            code = QE_EXIT_FAILURE;
        }
    }
    if (err->code == QE_OK) {
        if (listing->count > 0) {
            qsort(listing->rows, listing->count, sizeof listing->rows[0], by_depth);
        }
        (void)print(listing, code == QE_EXIT_OK, err);
    }
    for (size_t i = 0; i < listing->views_count; i++) {
        ctl_view_deinit(&listing->views[i]);
    }
    ctl_trends_deinit(&listing->trends);
    qe_free(listing->rows);
    qe_free(listing);
    return code;
}

const struct ctl_command ctl_dlq_list = {
    .name = "dlq list",
    .operands = "[SOURCE]",
    .summary = "every dead-letter queue, whose it is and what waits there; fullest first",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 0,
    .operands_max = 1,
    .run = run,
};
