#include "model/queue.h"

#include <stdlib.h>
#include <string.h>

#include "util/mem.h"

static const char *const s_kind_names[QE_KIND_COUNT] = {"embedded", "standard", "fifo",
                                                        "classic",  "quorum",   "stream"};

const char *qe_queue_kind_name(enum qe_queue_kind kind)
{
    return (unsigned)kind < QE_KIND_COUNT ? s_kind_names[kind] : "unknown";
}

static int out_of_memory(struct qe_err *err, const char *name)
{
    return qe_err_set(err, QE_ERR_NOMEM, "out of memory for queue %s", name);
}

int qe_queue_init(struct qe_queue *queue, const char *vhost, const char *name,
                  enum qe_queue_kind kind, struct qe_err *err)
{
    struct qe_queue made = {
        .name = qe_strdup(name),
        .vhost = qe_strdup(vhost == NULL ? "" : vhost),
        .address = qe_strdup(""),
        .arn = qe_strdup(""),
        .region = qe_strdup(""),
        .account_id = qe_strdup(""),
        .kind = kind,
    };

    if (made.name == NULL || made.vhost == NULL || made.address == NULL || made.arn == NULL ||
        made.region == NULL || made.account_id == NULL) {
        qe_queue_deinit(&made);
        return out_of_memory(err, name);
    }
    *queue = made;
    return 0;
}

static void deinit_link(struct qe_dead_letter_link *link)
{
    qe_free(link->vhost);
    qe_free(link->queue);
}

void qe_queue_deinit(struct qe_queue *queue)
{
    for (size_t i = 0; i < queue->links_count; i++) {
        deinit_link(&queue->links[i]);
    }
    for (size_t i = 0; i < queue->labels_count; i++) {
        qe_free(queue->labels[i].name);
        qe_free(queue->labels[i].value);
    }
    qe_free(queue->links);
    qe_free(queue->labels);
    qe_free(queue->name);
    qe_free(queue->vhost);
    qe_free(queue->address);
    qe_free(queue->arn);
    qe_free(queue->region);
    qe_free(queue->account_id);
    *queue = (struct qe_queue){0};
}

/* Inserted where it belongs in the order of names; a name that is there keeps its value. */
static int add_label(struct qe_queue *queue, const char *name, const char *value,
                     struct qe_err *err)
{
    size_t at = 0;
    int order = 1;

    for (; at < queue->labels_count; at++) {
        order = strcmp(queue->labels[at].name, name);
        if (order >= 0) {
            break;
        }
    }
    if (at < queue->labels_count && order == 0) {
        return 0;
    }
    if (queue->labels_count >= QE_QUEUE_LABELS_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "queue %s has more than %d labels", queue->name,
                          QE_QUEUE_LABELS_MAX);
    }
    struct qe_queue_label label = {.name = qe_strdup(name), .value = qe_strdup(value)};
    struct qe_queue_label *grown = NULL;

    if (label.name != NULL && label.value != NULL) {
        grown = qe_reallocarray(queue->labels, queue->labels_count + 1, sizeof *grown);
    }
    if (grown == NULL) {
        qe_free(label.name);
        qe_free(label.value);
        return out_of_memory(err, queue->name);
    }
    queue->labels = grown;
    memmove(&grown[at + 1], &grown[at], (queue->labels_count - at) * sizeof *grown);
    grown[at] = label;
    queue->labels_count++;
    return 0;
}

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

int qe_queue_add_tag(struct qe_queue *queue, const char *key, const char *value, struct qe_err *err)
{
    static const char prefix[] = "tag_";
    const size_t prefix_bytes = sizeof prefix - 1;
    const size_t key_bytes = strlen(key);
    char *name = qe_calloc(prefix_bytes + key_bytes + 1, 1);

    if (name == NULL) {
        return out_of_memory(err, queue->name);
    }
    memcpy(name, prefix, prefix_bytes);
    for (size_t i = 0; i < key_bytes; i++) {
        name[prefix_bytes + i] = is_label_byte(key[i]) ? key[i] : '_';
    }
    int rc = add_label(queue, name, value, err);

    qe_free(name);
    return rc;
}

static int add_link(struct qe_queue *queue, const char *vhost, const char *name, bool by_consumer,
                    struct qe_err *err)
{
    if (queue->links_count >= QE_LINKS_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "queue %s has more than %d dead-letter queues",
                          queue->name, QE_LINKS_MAX);
    }
    struct qe_dead_letter_link link = {.vhost = qe_strdup(vhost == NULL ? "" : vhost),
                                       .queue = qe_strdup(name),
                                       .by_consumer = by_consumer};
    struct qe_dead_letter_link *grown = NULL;

    if (link.vhost != NULL && link.queue != NULL) {
        /* One at a time: most queues have one link or none. */
        grown = qe_reallocarray(queue->links, queue->links_count + 1, sizeof *grown);
    }
    if (grown == NULL) {
        qe_free(link.vhost);
        qe_free(link.queue);
        return out_of_memory(err, queue->name == NULL ? name : queue->name);
    }
    queue->links = grown;
    queue->links[queue->links_count] = link;
    queue->links_count++;
    return 0;
}

int qe_queue_copy(struct qe_queue *out, const struct qe_queue *from, struct qe_err *err)
{
    struct qe_queue made = {
        .name = qe_strdup(from->name),
        .vhost = qe_strdup(from->vhost),
        .address = qe_strdup(from->address),
        .arn = qe_strdup(from->arn),
        .region = qe_strdup(from->region),
        .account_id = qe_strdup(from->account_id),
        .kind = from->kind,
        .retention_from_first_send = from->retention_from_first_send,
        .dead_letter_known = from->dead_letter_known,
        .dead_letter_unroutable = from->dead_letter_unroutable,
        .returns_by_time = from->returns_by_time,
        .is_delay_queue = from->is_delay_queue,
        .is_dead_letter_elsewhere = from->is_dead_letter_elsewhere,
        .delivery_known = from->delivery_known,
        .is_single_active = from->is_single_active,
        .may_refuse = from->may_refuse,
        .deliveries_most = from->deliveries_most,
    };
    int rc = 0;

    if (made.name == NULL || made.vhost == NULL || made.address == NULL || made.arn == NULL ||
        made.region == NULL || made.account_id == NULL) {
        rc = out_of_memory(err, from->name);
    }
    for (size_t i = 0; i < from->links_count && rc == 0; i++) {
        rc = add_link(&made, from->links[i].vhost, from->links[i].queue, from->links[i].by_consumer,
                      err);
    }
    for (size_t i = 0; i < from->labels_count && rc == 0; i++) {
        rc = add_label(&made, from->labels[i].name, from->labels[i].value, err);
    }
    if (rc != 0) {
        qe_queue_deinit(&made);
        return -1;
    }
    *out = made;
    return 0;
}

int qe_queue_add_link(struct qe_queue *queue, const char *vhost, const char *name,
                      struct qe_err *err)
{
    return add_link(queue, vhost, name, false, err);
}

int qe_queue_add_consumer_link(struct qe_queue *queue, const char *vhost, const char *name,
                               struct qe_err *err)
{
    return add_link(queue, vhost, name, true, err);
}

void qe_queue_drop_consumer_links(struct qe_queue *queue)
{
    size_t kept = 0;

    for (size_t i = 0; i < queue->links_count; i++) {
        if (queue->links[i].by_consumer) {
            deinit_link(&queue->links[i]);
        } else {
            queue->links[kept++] = queue->links[i];
        }
    }
    queue->links_count = kept;
}

static int compare_names(const char *a_vhost, const char *a_name, const char *b_vhost,
                         const char *b_name)
{
    int order = strcmp(a_vhost, b_vhost);

    return order != 0 ? order : strcmp(a_name, b_name);
}

const char *qe_queue_foreign_vhost(const struct qe_queue *queue, const char *default_vhost)
{
    return default_vhost != NULL && strcmp(queue->vhost, default_vhost) == 0 ? "" : queue->vhost;
}

int qe_queue_compare(const struct qe_queue *a, const struct qe_queue *b)
{
    return compare_names(a->vhost, a->name, b->vhost, b->name);
}

void qe_queue_list_deinit(struct qe_queue_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        qe_queue_deinit(&list->items[i]);
    }
    qe_free(list->items);
    *list = (struct qe_queue_list){0};
}

struct qe_queue *qe_queue_list_add(struct qe_queue_list *list, struct qe_err *err)
{
    if (list->count >= QE_QUEUES_MAX) {
        qe_err_set(err, QE_ERR_LIMIT, "more than %d queues listed", QE_QUEUES_MAX);
        return NULL;
    }
    if (qe_grow(&list->items, list->count, &list->capacity, QE_QUEUES_MAX, sizeof *list->items) !=
        0) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for %zu queues", list->count + 1);
        return NULL;
    }
    struct qe_queue *queue = &list->items[list->count];

    *queue = (struct qe_queue){0};
    list->count++;
    return queue;
}
