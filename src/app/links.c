#include "app/links.h"

#include <string.h>

static bool has_link(const struct qe_consumer_settings *consumer, const char *source)
{
    return consumer->dead_letter.queue != NULL && strcmp(consumer->source, source) == 0;
}

static const char *vhost_of(const struct qe_source_settings *source,
                            const struct qe_consumer_settings *consumer)
{
    return consumer->vhost[0] == '\0' && source->type->default_vhost != NULL
               ? source->type->default_vhost
               : consumer->vhost;
}

static bool is_linked(const struct qe_queue *queue, const char *vhost, const char *name)
{
    for (size_t i = 0; i < queue->links_count; i++) {
        if (strcmp(queue->links[i].vhost, vhost) == 0 && strcmp(queue->links[i].queue, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Consumers are few, queues may be many: each consumer looks for its queue. One that has as many
 * links as are kept gets none more, as a driver does it. */
static int add_link(const struct qe_consumer_settings *consumer, const char *vhost,
                    struct qe_queue_list *list, struct qe_err *err)
{
    const char *letters = consumer->dead_letter.queue;

    for (size_t i = 0; i < list->count; i++) {
        struct qe_queue *queue = &list->items[i];

        if (strcmp(queue->name, consumer->queue) == 0 && strcmp(queue->vhost, vhost) == 0 &&
            !is_linked(queue, vhost, letters) && queue->links_count < QE_LINKS_MAX &&
            qe_queue_add_consumer_link(queue, vhost, letters, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int qe_links_add(const void *context, const char *source, struct qe_queue_list *list,
                 struct qe_err *err)
{
    const struct qe_config *config = context;
    const struct qe_source_settings *settings = qe_config_source(config, source);
    int rc = 0;

    for (size_t i = 0; i < list->count && settings != NULL; i++) {
        qe_links_mark(settings, &list->items[i]);
    }
    for (size_t i = 0; i < config->consumers_count && settings != NULL && rc == 0; i++) {
        const struct qe_consumer_settings *consumer = &config->consumers[i];

        if (has_link(consumer, source)) {
            rc = add_link(consumer, vhost_of(settings, consumer), list, err);
        }
    }
    return rc;
}

void qe_links_mark(const struct qe_source_settings *source, struct qe_queue *queue)
{
    const struct qe_regex_list *names = &source->dead_letter_queues;

    for (size_t i = 0; i < names->count && !queue->is_dead_letter_elsewhere; i++) {
        queue->is_dead_letter_elsewhere = qe_regex_matches(names->items[i], queue->name);
    }
}

/* Each link of the source in `a` is one in `b`. */
static bool are_in(const struct qe_config *a, const struct qe_config *b, const char *source)
{
    for (size_t i = 0; i < a->consumers_count; i++) {
        const struct qe_consumer_settings *one = &a->consumers[i];
        bool found = !has_link(one, source);

        for (size_t j = 0; j < b->consumers_count && !found; j++) {
            const struct qe_consumer_settings *other = &b->consumers[j];

            found = has_link(other, source) && strcmp(one->vhost, other->vhost) == 0 &&
                    strcmp(one->queue, other->queue) == 0 &&
                    strcmp(one->dead_letter.queue, other->dead_letter.queue) == 0;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

bool qe_links_equal(const struct qe_config *a, const struct qe_config *b, const char *source)
{
    return are_in(a, b, source) && are_in(b, a, source);
}
