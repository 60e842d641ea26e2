/* What list() says: which queues are shown, what they are called, and where they dead-letter into.
 *
 * A queue is called by its name. Two accounts may have queues of one name: then what the service
 * lists comes first, after it what the settings name, in their order, after that dead-letter
 * queues; the first keeps the name, the others are called "account/name". No queue's own name has a
 * slash in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/sqs/watch.h"
#include "util/mem.h"
#include "util/text.h"

#define LABEL_MAX_BYTES 512

/* --- links --- */

static const char *text_of(const char *text)
{
    return text == NULL ? "" : text;
}

/* Both in pieces; false when one cannot be read. */
static bool parse_both(const struct qe_sqs_record *record, struct qe_sqs_arn *own,
                       struct qe_sqs_arn *target)
{
    return qe_sqs_arn_parse(text_of(record->arn), own) &&
           qe_sqs_arn_parse(text_of(record->dead_letter_arn), target);
}

bool qe_sqs_dead_letter_url(const struct qe_sqs_record *record, char out[QE_SQS_URL_BYTES])
{
    struct qe_sqs_arn own;
    struct qe_sqs_arn target;
    const char *account = NULL;
    const char *name = NULL;
    size_t account_bytes = 0;

    if (!parse_both(record, &own, &target) || strcmp(own.region, target.region) != 0 ||
        strcmp(own.account_id, target.account_id) != 0 || record->url == NULL ||
        !qe_sqs_url_split(record->url, &account, &account_bytes, &name)) {
        return false;
    }
    const int bytes = snprintf(out, QE_SQS_URL_BYTES, "%.*s%s", (int)(name - record->url),
                               record->url, target.name);

    return bytes > 0 && bytes < QE_SQS_URL_BYTES;
}

struct qe_sqs_record *qe_sqs_dead_letter_of(const struct qe_sqs_registry *registry,
                                            const struct qe_sqs_record *record)
{
    char url[QE_SQS_URL_BYTES];

    if (record->dead_letter_arn == NULL) {
        return NULL;
    }
    struct qe_sqs_record *found =
        qe_sqs_registry_find(registry, QE_SQS_BY_ARN, record->dead_letter_arn);

    if (found == NULL && qe_sqs_dead_letter_url(record, url)) {
        found = qe_sqs_registry_find(registry, QE_SQS_BY_URL, url);
    }
    return found;
}

/* --- names --- */

struct naming {
    struct qe_sqs_record *record;
    unsigned rank;
    size_t position;
};

static bool is_of_this_list(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record)
{
    return record->generation == watch->generation &&
           (record->is_configured || (record->is_listed && !record->is_gone) ||
            (!record->is_gone && !record->is_denied));
}

static int compare_namings(const void *a, const void *b)
{
    const struct naming *left = a;
    const struct naming *right = b;
    const int names = strcmp(left->record->name, right->record->name);

    if (names != 0) {
        return names;
    }
    if (left->rank != right->rank) {
        return left->rank < right->rank ? -1 : 1;
    }
    return left->position < right->position ? -1 : left->position > right->position ? 1 : 0;
}

/* The account, as far as the queue's address tells. */
static void account_of(const struct qe_sqs_record *record, const char **out, size_t *out_bytes)
{
    const char *name = NULL;

    if (record->url == NULL || !qe_sqs_url_split(record->url, out, out_bytes, &name)) {
        *out = "";
        *out_bytes = 0;
    }
}

/* A configured name that was not found yet is one of the own account, which is where it is asked.
 */
static bool same_account(const struct qe_sqs_record *a, const struct qe_sqs_record *b)
{
    const char *left = NULL;
    const char *right = NULL;
    size_t left_bytes = 0;
    size_t right_bytes = 0;

    account_of(a, &left, &left_bytes);
    account_of(b, &right, &right_bytes);
    return a->url == NULL || b->url == NULL ||
           (left_bytes == right_bytes && memcmp(left, right, left_bytes) == 0);
}

/* Names one record; `first` is where its name begins in `namings`. One queue with two addresses is
 * shown once. */
static int name_one(struct qe_sqs_watch *watch, const struct naming *namings, size_t first,
                    size_t at, struct qe_err *err)
{
    struct qe_sqs_record *record = namings[at].record;
    char label[LABEL_MAX_BYTES];
    const char *account = NULL;
    size_t account_bytes = 0;

    for (size_t i = first; i < at; i++) {
        if (same_account(namings[i].record, record)) {
            record->is_shown = false;
            return 0;
        }
    }
    record->is_shown = true;
    account_of(record, &account, &account_bytes);
    if (at == first) {
        return qe_sqs_registry_set(&watch->registry, record, QE_SQS_BY_LABEL, record->name, err);
    }
    if (snprintf(label, sizeof label, "%.*s/%s", (int)account_bytes, account, record->name) >=
        (int)sizeof label) {
        record->is_shown = false;
        return 0;
    }
    return qe_sqs_registry_set(&watch->registry, record, QE_SQS_BY_LABEL, label, err);
}

int qe_sqs_name_all(struct qe_sqs_watch *watch, struct qe_err *err)
{
    const struct qe_sqs_registry *registry = &watch->registry;
    struct naming *namings = NULL;
    size_t count = 0;
    size_t first = 0;
    int rc = 0;

    if (registry->count == 0) {
        return 0;
    }
    namings = qe_calloc(registry->count, sizeof *namings);
    if (namings == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "names of %zu queues", registry->count);
    }
    for (size_t i = 0; i < registry->count; i++) {
        struct qe_sqs_record *record = registry->items[i];

        record->is_shown = false;
        if (is_of_this_list(watch, record)) {
            namings[count++] = (struct naming){.record = record,
                                               .rank = record->is_listed       ? 0
                                                       : record->is_configured ? 1
                                                                               : 2,
                                               .position = i};
        }
    }
    qsort(namings, count, sizeof *namings, compare_namings);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (strcmp(namings[i].record->name, namings[first].record->name) != 0) {
            first = i;
        }
        rc = name_one(watch, namings, first, i, err);
    }
    qe_free(namings);
    return rc;
}

/* --- queues --- */

/* What a link says whose target is not shown here. It must not be taken for a queue that is. */
static void name_target(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record,
                        char out[LABEL_MAX_BYTES])
{
    struct qe_sqs_arn own;
    struct qe_sqs_arn target;

    if (!parse_both(record, &own, &target)) {
        (void)snprintf(out, LABEL_MAX_BYTES, "%s", record->dead_letter_arn);
        return;
    }
    const struct qe_sqs_record *namesake =
        qe_sqs_registry_find(&watch->registry, QE_SQS_BY_LABEL, target.name);

    if (strcmp(own.region, target.region) != 0) {
        (void)snprintf(out, LABEL_MAX_BYTES, "%s/%s/%s", target.region, target.account_id,
                       target.name);
    } else if (strcmp(own.account_id, target.account_id) != 0 ||
               (namesake != NULL && namesake->is_shown)) {
        (void)snprintf(out, LABEL_MAX_BYTES, "%s/%s", target.account_id, target.name);
    } else {
        (void)snprintf(out, LABEL_MAX_BYTES, "%s", target.name);
    }
}

static int add_link(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record,
                    struct qe_queue *queue, struct qe_err *err)
{
    const struct qe_sqs_record *target = qe_sqs_dead_letter_of(&watch->registry, record);
    char label[LABEL_MAX_BYTES];

    if (record->dead_letter_arn == NULL) {
        return 0;
    }
    if (target != NULL && target->is_shown) {
        return qe_queue_add_link(queue, NULL, target->label, err);
    }
    name_target(watch, record, label);
    return qe_queue_add_link(queue, NULL, label, err);
}

static int replace(char **slot, const char *text)
{
    char *copy = qe_strdup(text);

    if (copy == NULL) {
        return -1;
    }
    qe_free(*slot);
    *slot = copy;
    return 0;
}

static bool is_fifo_name(const char *name)
{
    const size_t bytes = strlen(name);

    return bytes > 5 && strcmp(name + bytes - 5, ".fifo") == 0;
}

static int fill_queue(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record,
                      struct qe_queue *queue, struct qe_err *err)
{
    const bool is_fifo = record->is_known ? record->is_fifo : is_fifo_name(record->name);
    struct qe_sqs_arn arn = {0};

    if (qe_queue_init(queue, NULL, record->label, is_fifo ? QE_KIND_FIFO : QE_KIND_STANDARD, err) !=
        0) {
        return -1;
    }
    (void)qe_sqs_arn_parse(text_of(record->arn), &arn);
    if (replace(&queue->address, text_of(record->url)) != 0 ||
        replace(&queue->arn, text_of(record->arn)) != 0 ||
        replace(&queue->region, arn.region) != 0 ||
        replace(&queue->account_id, arn.account_id) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "queue %s", record->label);
    }
    queue->retention_from_first_send = !is_fifo;
    queue->dead_letter_known = record->is_known && record->dead_letter_known;
    for (size_t i = 0; i < record->tags_count; i++) {
        if (qe_queue_add_tag(queue, record->tags[i].key, record->tags[i].value, err) != 0) {
            return -1;
        }
    }
    return add_link(watch, record, queue, err);
}

int qe_sqs_show_all(struct qe_sqs_watch *watch, struct qe_queue_list *out, struct qe_err *err)
{
    const struct qe_sqs_registry *registry = &watch->registry;
    const size_t before = out->count;

    for (size_t i = 0; i < registry->count; i++) {
        struct qe_queue *queue = NULL;

        if (!registry->items[i]->is_shown) {
            continue;
        }
        queue = qe_queue_list_add(out, err);
        if (queue == NULL || fill_queue(watch, registry->items[i], queue, err) != 0) {
            for (; out->count > before; out->count--) {
                qe_queue_deinit(&out->items[out->count - 1]);
            }
            return -1;
        }
    }
    return 0;
}
