/* How queues are named to people. */
#include <stdio.h>
#include <string.h>

#include "queuectl/ctl.h"
#include "util/columns.h"
#include "util/text.h"

#define NAMES_MAX 1000 /* candidates for "did you mean" */
#define VHOSTS_SAID 2

void ctl_append_label(struct qe_strbuf *out, const struct qe_queue *queue,
                      const char *default_vhost)
{
    const char *vhost = qe_queue_foreign_vhost(queue, default_vhost);

    if (*vhost != '\0') {
        qe_columns_append(out, vhost, strlen(vhost));
        (void)qe_strbuf_append_char(out, '/');
    }
    qe_columns_append(out, queue->name, strlen(queue->name));
}

const char *ctl_label(const struct ctl *ctl, const struct qe_queue *queue,
                      char out[CTL_LABEL_BYTES])
{
    struct qe_strbuf label;

    qe_strbuf_init(&label, CTL_LABEL_BYTES);
    ctl_append_label(&label, queue, ctl->driver->default_vhost);
    (void)snprintf(out, CTL_LABEL_BYTES, "%s", qe_strbuf_text(&label));
    qe_strbuf_deinit(&label);
    return out;
}

/* `name` is "vhost/queue", as texts name this one. */
static bool is_label_of(const char *name, const struct qe_queue *queue)
{
    size_t bytes = strlen(queue->vhost);

    return bytes > 0 && strncmp(name, queue->vhost, bytes) == 0 && name[bytes] == '/' &&
           strcmp(name + bytes + 1, queue->name) == 0;
}

/* The queue whose name is most like this one; NULL: none is. */
static const struct qe_queue *nearest_in(const struct qe_queue_list *list, const char *name,
                                         const char *vhost)
{
    const char *names[NAMES_MAX] = {NULL};
    size_t count = 0;

    for (size_t i = 0; i < list->count && count < NAMES_MAX; i++) {
        if (vhost == NULL || strcmp(list->items[i].vhost, vhost) == 0) {
            names[count++] = list->items[i].name;
        }
    }
    const char *nearest = qe_text_nearest(name, names, count);

    for (size_t i = 0; nearest != NULL && i < list->count; i++) {
        if (list->items[i].name == nearest) {
            return &list->items[i];
        }
    }
    return NULL;
}

/* ` "a", "b" and 3 others`: where there is a queue of this name. False: nowhere. */
static bool say_vhosts(const struct qe_queue_list *list, const char *name, char *out, size_t size)
{
    size_t found = 0;
    size_t at = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) != 0) {
            continue;
        }
        if (found++ < VHOSTS_SAID && at < size) {
            int written = snprintf(out + at, size - at, "%s\"%.40s\"", found > 1 ? ", " : " ",
                                   list->items[i].vhost);

            at += written > 0 ? (size_t)written : 0;
        }
    }
    if (found > VHOSTS_SAID && at < size) {
        (void)snprintf(out + at, size - at, " and %zu other%s", found - VHOSTS_SAID,
                       found - VHOSTS_SAID == 1 ? "" : "s");
    }
    return found > 0;
}

/* Of a source with virtual hosts. */
static int not_in_vhost(const struct ctl *ctl, const struct qe_queue_list *list, const char *name,
                        struct qe_err *err)
{
    const char *source = ctl->source->name;
    const char *vhost = ctl_vhost(ctl);
    char vhosts[128] = "";

    if (say_vhosts(list, name, vhosts, sizeof vhosts)) {
        return qe_err_set(err, QE_ERR_NOT_FOUND,
                          "source %.40s has no queue \"%.60s\" in vhost \"%.40s\", but one in "
                          "vhost%s: say --vhost",
                          source, name, vhost, vhosts);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (is_label_of(name, &list->items[i])) {
            return qe_err_set(err, QE_ERR_NOT_FOUND,
                              "source %.40s has no queue of that name in vhost \"%.40s\", but "
                              "\"%.60s\" in vhost \"%.40s\": say --vhost",
                              source, vhost, list->items[i].name, list->items[i].vhost);
        }
    }
    const struct qe_queue *nearest = nearest_in(list, name, vhost);

    nearest = nearest != NULL ? nearest : nearest_in(list, name, NULL);
    if (nearest != NULL) {
        return qe_err_set(err, QE_ERR_NOT_FOUND,
                          "source %.40s has no queue \"%.60s\" in vhost \"%.40s\" (did you mean "
                          "\"%.60s\" in vhost \"%.40s\"? --vhost says which vhost)",
                          source, name, vhost, nearest->name, nearest->vhost);
    }
    return qe_err_set(err, QE_ERR_NOT_FOUND,
                      "source %.40s has no queue \"%.60s\" in vhost \"%.40s\": `queuectl stats "
                      "%.40s` shows those it has, --vhost says which vhost",
                      source, name, vhost, source);
}

int ctl_no_such_queue(const struct ctl *ctl, const struct qe_queue_list *list, const char *name,
                      struct qe_err *err)
{
    if (ctl->driver->default_vhost != NULL) {
        return not_in_vhost(ctl, list, name, err);
    }
    if (ctl->options.vhost != NULL) {
        return qe_err_set(err, QE_ERR_NOT_FOUND,
                          "source %s: type %s has no vhosts: leave out --vhost", ctl->source->name,
                          ctl->driver->name);
    }
    const struct qe_queue *nearest = nearest_in(list, name, NULL);

    if (nearest != NULL) {
        return qe_err_set(err, QE_ERR_NOT_FOUND,
                          "source %s has no queue \"%.80s\" (did you mean \"%s\"?)",
                          ctl->source->name, name, nearest->name);
    }
    return qe_err_set(err, QE_ERR_NOT_FOUND,
                      "source %s has no queue \"%.80s\": `queuectl stats %s` shows those it has",
                      ctl->source->name, name, ctl->source->name);
}
