/* queuectl stats: a table of queues, as they are right now. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/batch.h"
#include "queuectl/ctl.h"
#include "queuectl/line.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/number.h"
#include "util/text.h"

#define CELL_BYTES 40
#define NAME_MAX_COLUMNS 60
#define VHOST_MAX_COLUMNS 24

static const struct qe_cli_flag s_flags[] = {
    {"watch", NULL, "again and again, until Ctrl-C", CTL_AT(watch)},
    {"interval", "DURATION", "how often, with --watch", "2s", .take = ctl_take_interval},
    CTL_FLAG_JSON,
    CTL_FLAG_TIMEOUT,
};

/* --- JSON --- */

struct json_field {
    enum qe_field field;
    const char *key;
};
static const struct json_field s_json_fields[] = {
    {QE_FIELD_READY_MESSAGES, "ready"},
    {QE_FIELD_IN_FLIGHT_MESSAGES, "in_flight"},
    {QE_FIELD_DELAYED_MESSAGES, "delayed"},
    {QE_FIELD_OLDEST_AGE_SECONDS, "oldest_age_seconds"},
    {QE_FIELD_CONSUMERS, "consumers"},
    {QE_FIELD_SIZE_BYTES, "size_bytes"},
    {QE_FIELD_PUBLISHED_TOTAL, "published_total"},
    {QE_FIELD_DELIVERED_TOTAL, "delivered_total"},
    {QE_FIELD_ACKNOWLEDGED_TOTAL, "acknowledged_total"},
    {QE_FIELD_REDELIVERED_TOTAL, "redelivered_total"},
    {QE_FIELD_RETENTION_SECONDS, "retention_seconds"},
    {QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, "visibility_timeout_seconds"},
    {QE_FIELD_MAX_RECEIVES, "max_receives"},
};

static int add_links(struct qe_json *object, const struct qe_queue *queue)
{
    struct qe_json *links = queue->links_count > 0 ? qe_json_new_array() : NULL;

    for (size_t i = 0; i < queue->links_count; i++) {
        struct qe_json *link = qe_json_new_object();
        int rc = *queue->links[i].vhost != '\0'
                     ? qe_json_add_text(link, "vhost", queue->links[i].vhost)
                     : 0;
        if (rc != 0 || qe_json_add_text(link, "queue", queue->links[i].queue) != 0) {
            qe_json_destroy(link);
            qe_json_destroy(links);
            return -1;
        }
        if (qe_json_add_take(links, NULL, link) != 0) {
            qe_json_destroy(links);
            return -1;
        }
    }
    return queue->links_count > 0 ? qe_json_add_take(object, "dead_letter_queues", links) : 0;
}

/* Why there is no reading. A broker that gathers statistics tells of a new queue seconds later. */
static const char *reason_of(const struct qe_batch_entry *entry)
{
    return entry->skipped ? "not_told_yet" : qe_err_code_name(entry->error);
}

static int fill_json(struct qe_json *object, const char *source, const struct qe_batch *batch,
                     size_t index)
{
    const struct qe_queue *queue = &batch->set->items[index];
    const struct qe_batch_entry *entry = &batch->entries[index];
    int rc = qe_json_add_text(object, "source", source);

    if (rc == 0 && *queue->vhost != '\0') {
        rc = qe_json_add_text(object, "vhost", queue->vhost);
    }
    if (rc == 0) {
        rc = qe_json_add_text(object, "queue", queue->name);
    }
    if (rc == 0) {
        rc = qe_json_add_bool(object, "up", entry->error == QE_OK);
    }
    if (rc == 0 && entry->error != QE_OK) {
        rc = qe_json_add_text(object, "reason", reason_of(entry));
    }
    for (size_t i = 0; rc == 0 && i < sizeof s_json_fields / sizeof s_json_fields[0]; i++) {
        enum qe_field field = s_json_fields[i].field;
        if (entry->error == QE_OK && qe_sample_has(&entry->sample, field)) {
            rc = qe_json_add_number(object, s_json_fields[i].key, entry->sample.values[field]);
        }
    }
    return rc == 0 ? add_links(object, queue) : rc;
}

static int print_json(const char *source, const struct qe_batch *batch, struct qe_err *err)
{
    for (size_t i = 0; i < batch->set->count; i++) {
        struct qe_json *object = qe_json_new_object();
        const int rc = fill_json(object, source, batch, i);

        if (ctl_write_object(stdout, rc, object, "queue", batch->set->items[i].name, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* --- table --- */

static const char *number_cell(const struct qe_batch_entry *entry, enum qe_field field,
                               char out[CELL_BYTES])
{
    if (entry->error != QE_OK || !qe_sample_has(&entry->sample, field)) {
        return "-";
    }
    out[qe_number_write_double(entry->sample.values[field], out)] = '\0';
    return out;
}

static const char *age_cell(const struct qe_batch_entry *entry, char out[32])
{
    if (entry->error != QE_OK || !qe_sample_has(&entry->sample, QE_FIELD_OLDEST_AGE_SECONDS)) {
        return "-";
    }
    /* Whole seconds: nobody paged at night reads milliseconds. */
    return qe_text_from_duration((int64_t)entry->sample.values[QE_FIELD_OLDEST_AGE_SECONDS] * 1000,
                                 out);
}

/* All that waits in a dead-letter queue, whatever its state: as queue_dead_letter_messages counts.
 */
static const char *depth_cell(const struct qe_batch_entry *entry, char out[CELL_BYTES])
{
    static const enum qe_field parts[] = {QE_FIELD_IN_FLIGHT_MESSAGES, QE_FIELD_DELAYED_MESSAGES};
    double messages = entry->sample.values[QE_FIELD_READY_MESSAGES];

    if (entry->error != QE_OK || !qe_sample_has(&entry->sample, QE_FIELD_READY_MESSAGES)) {
        return "-";
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        messages += qe_sample_has(&entry->sample, parts[i]) ? entry->sample.values[parts[i]] : 0;
    }
    out[qe_number_write_double(messages, out)] = '\0';
    return out;
}

/* "orders-dlq 12": where it dead-letters to, and what waits there. */
static void print_dead_letter_cell(const struct qe_batch *batch, size_t index)
{
    const struct qe_queue *queue = &batch->set->items[index];
    char cell[CELL_BYTES];

    for (size_t i = 0; i < queue->links_count; i++) {
        size_t target = batch->set->link_targets[index][i];
        const char *depth = target != SIZE_MAX ? depth_cell(&batch->entries[target], cell) : "-";
        (void)fputs("  ", stdout);
        (void)ctl_write_name(stdout, queue->links[i].queue);
        (void)printf(" %s", depth);
    }
}

static size_t name_width(const struct qe_batch *batch)
{
    size_t width = strlen("QUEUE");

    for (size_t i = 0; i < batch->set->count; i++) {
        size_t columns = ctl_columns(batch->set->items[i].name);
        width = columns > width ? columns : width;
    }
    return width > NAME_MAX_COLUMNS ? NAME_MAX_COLUMNS : width;
}

/* 0: no column of them, since all are in the default vhost. */
static size_t vhost_width(const struct qe_batch *batch)
{
    size_t width = strlen("VHOST");
    bool is_needed = false;

    for (size_t i = 0; i < batch->set->count; i++) {
        const struct qe_queue *queue = &batch->set->items[i];
        size_t columns = ctl_columns(queue->vhost);

        width = columns > width ? columns : width;
        is_needed = is_needed || *qe_queue_foreign_vhost(queue, batch->default_vhost) != '\0';
    }
    width = width > VHOST_MAX_COLUMNS ? VHOST_MAX_COLUMNS : width;
    return is_needed ? width : 0;
}

/* "VHOST  QUEUE", or one of them. */
static void put_names(const char *vhost, size_t vhost_columns, const char *name, size_t columns)
{
    if (vhost_columns > 0) {
        ctl_put_padded(vhost, vhost_columns);
        (void)fputs("  ", stdout);
    }
    ctl_put_padded(name, columns);
}

static void print_table(const char *source, const struct qe_batch *batch)
{
    size_t width = name_width(batch);
    size_t vhost_columns = vhost_width(batch);

    (void)printf("source %s, %zu queue%s\n", source, batch->set->count,
                 batch->set->count == 1 ? "" : "s");
    put_names("VHOST", vhost_columns, "QUEUE", width);
    (void)printf(" %9s %9s %8s %8s %9s  %s\n", "READY", "IN FLIGHT", "DELAYED", "OLDEST",
                 "CONSUMERS", "DEAD LETTERS");
    for (size_t i = 0; i < batch->set->count; i++) {
        const struct qe_batch_entry *entry = &batch->entries[i];
        char ready[CELL_BYTES];
        char in_flight[CELL_BYTES];
        char delayed[CELL_BYTES];
        char consumers[CELL_BYTES];
        char age[32];
        put_names(batch->set->items[i].vhost, vhost_columns, batch->set->items[i].name, width);
        (void)printf(" %9s %9s %8s %8s %9s", number_cell(entry, QE_FIELD_READY_MESSAGES, ready),
                     number_cell(entry, QE_FIELD_IN_FLIGHT_MESSAGES, in_flight),
                     number_cell(entry, QE_FIELD_DELAYED_MESSAGES, delayed), age_cell(entry, age),
                     number_cell(entry, QE_FIELD_CONSUMERS, consumers));
        if (entry->error != QE_OK) {
            (void)printf("  not read: %s", reason_of(entry));
        }
        print_dead_letter_cell(batch, i);
        (void)putchar('\n');
    }
}

/* A handle that is kept from look to look may plan not to ask quiet queues each time, to save
 * money: they are as they were. */
static void carry_over(struct qe_batch *batch, const struct qe_batch *last)
{
    for (size_t i = 0; last->set != NULL && i < batch->set->count; i++) {
        struct qe_batch_entry *entry = &batch->entries[i];

        if (!entry->skipped) {
            continue;
        }
        size_t index =
            qe_queue_set_find(last->set, batch->set->items[i].vhost, batch->set->items[i].name);

        if (index != SIZE_MAX && last->entries[index].error == QE_OK) {
            *entry = last->entries[index];
        }
    }
}

/* One source; what it could not be asked is said in its place, and the others go on. `last` is what
 * was shown of it before, and becomes what is shown now. */
static bool show_source(struct ctl *ctl, const char *name, struct qe_batch *last,
                        struct qe_err *err)
{
    struct qe_batch batch = {0};
    int rc = ctl_read(ctl, name, &batch, err);

    if (rc == 0) {
        carry_over(&batch, last);
    }
    if (rc == 0 && batch.source_error.code != QE_OK) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "queuectl stats: source %s: ", name);
        (void)ctl_write_name(stderr, batch.source_error.message);
        (void)fputc('\n', stderr);
    }
    if (rc == 0 && ctl->options.json) {
        rc = print_json(name, &batch, err);
    } else if (rc == 0) {
        print_table(name, &batch);
    }
    qe_batch_deinit(last);
    *last = batch;
    return rc == 0;
}

/* What stays from look to look. */
struct looks {
    bool seen;            /* a source could be shown */
    struct qe_batch last; /* of the only source */
};

static bool show(struct ctl *ctl, const char *only, struct looks *looks, struct qe_err *err)
{
    const struct qe_config *config = ctl->generation->config;
    bool good = true;

    if (only != NULL) {
        bool shown = show_source(ctl, only, &looks->last, err);
        looks->seen = looks->seen || shown;
        return shown;
    }
    for (size_t i = 0; i < config->sources_count; i++) {
        struct qe_err source_err = {0};
        struct qe_batch none = {0};
        if (i > 0 && !ctl->options.json) {
            (void)putchar('\n');
        }
        bool shown = show_source(ctl, config->sources[i].name, &none, &source_err);
        qe_batch_deinit(&none);
        looks->seen = looks->seen || shown;
        if (!shown) {
            *err = source_err;
            good = false;
            if (i + 1 < config->sources_count) {
                ctl_complain("stats", &source_err);
            }
        }
        ctl_close(ctl);
    }
    return good;
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const char *only = count == 1 ? operands[0] : NULL;
    bool redraw = ctl->options.watch && !ctl->options.json && isatty(STDOUT_FILENO) != 0;
    bool good = true;
    struct looks looks = {0};

    if (ctl->options.watch) {
        ctl_catch_signals();
    }
    do {
        int64_t begun_mono_ms = qe_clock_mono_ms();
        if (redraw) {
            (void)fputs("\033[H\033[2J", stdout);
        }
        good = show(ctl, only, &looks, err);
        /* What was there once is watched until it is back. */
        if (!good && looks.seen && ctl->options.watch) {
            ctl_complain("stats", err);
            *err = (struct qe_err){0};
            ctl_close(ctl);
            good = true;
        }
        good = good && ctl_flush(err) == 0;
        if (ctl->options.watch && good) {
            ctl_sleep_until(ctl, begun_mono_ms + ctl->options.interval_ms);
        }
    } while (ctl->options.watch && ctl_stopped == 0 && good);
    qe_batch_deinit(&looks.last);
    return QE_EXIT_OK;
}

const struct ctl_command ctl_stats = {
    .name = "stats",
    .operands = "[SOURCE]",
    .summary = "what the queues hold right now; all sources, or one",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 0,
    .operands_max = 1,
    .run = run,
};
