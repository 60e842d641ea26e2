#include "queuectl/redrive_depth.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/dlq.h"

/* --- reading --- */

static int add(struct qe_queue_list *list, const struct qe_queue *queue, struct qe_err *err)
{
    struct qe_queue *one = qe_queue_list_add(list, err);

    return one != NULL ? qe_queue_copy(one, queue, err) : -1;
}

static int add_all(struct qe_queue_list *list, const struct qe_queue_set *listed,
                   const struct ctl_place *places, size_t count, struct qe_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = add(list, places[i].queue, err);
    }
    for (size_t i = 0; listed != NULL && i < listed->count && rc == 0; i++) {
        if (listed->items[i].is_delay_queue) {
            rc = add(list, &listed->items[i], err);
        }
    }
    return rc;
}

static uint64_t value_of(const struct qe_batch_entry *entry, enum qe_field field,
                         uint64_t otherwise)
{
    return entry->error == QE_OK && qe_sample_has(&entry->sample, field)
               ? (uint64_t)entry->sample.values[field]
               : otherwise;
}

/* UINT64_MAX: not known. */
static uint64_t at_hand(const struct qe_batch_entry *entry)
{
    const uint64_t ready = value_of(entry, QE_FIELD_READY_MESSAGES, UINT64_MAX);

    return ready == UINT64_MAX ? UINT64_MAX
                               : ready + value_of(entry, QE_FIELD_IN_FLIGHT_MESSAGES, 0);
}

static struct ctl_depth depth_of(const struct qe_batch *batch, const struct qe_queue *queue)
{
    const size_t index = qe_queue_set_find(batch->set, queue->vhost, queue->name);
    struct ctl_depth depth = CTL_DEPTH_UNKNOWN;

    if (index == SIZE_MAX) {
        return depth;
    }
    depth.at_hand = at_hand(&batch->entries[index]);
    depth.is_late = batch->entries[index].error == QE_ERR_CANCELLED;
    depth.consumers = value_of(&batch->entries[index], QE_FIELD_CONSUMERS, UINT64_MAX);
    depth.delayed = value_of(&batch->entries[index], QE_FIELD_DELAYED_MESSAGES, 0);
    for (size_t i = 0; i < batch->set->count && depth.delayed != UINT64_MAX; i++) {
        const struct qe_queue *other = &batch->set->items[i];

        if (i != index && other->is_delay_queue && strcmp(other->vhost, queue->vhost) == 0) {
            const uint64_t waiting = at_hand(&batch->entries[i]);

            depth.delayed = waiting == UINT64_MAX ? UINT64_MAX : depth.delayed + waiting;
            depth.is_late = depth.is_late || batch->entries[i].error == QE_ERR_CANCELLED;
        }
    }
    return depth;
}

void ctl_depths_read(const struct ctl *ctl, const struct qe_queue_set *listed,
                     const struct ctl_place *places, size_t count, struct ctl_depth *out)
{
    struct qe_queue_list list = {0};
    struct qe_batch batch = {0};
    struct qe_err ignored = {0};
    const bool is_read = add_all(&list, listed, places, count, &ignored) == 0 &&
                         ctl_dlq_sample_take(ctl, &list, &batch, &ignored) == 0;

    for (size_t i = 0; i < count; i++) {
        out[i] = is_read ? depth_of(&batch, places[i].queue) : CTL_DEPTH_UNKNOWN;
    }
    qe_batch_deinit(&batch);
    qe_queue_list_deinit(&list);
}

void ctl_depth_merge(struct ctl_depth *all, const struct ctl_depth *look)
{
    if (look->at_hand < all->at_hand) {
        all->at_hand = look->at_hand;
    }
    if (all->delayed == UINT64_MAX ||
        (look->delayed != UINT64_MAX && look->delayed > all->delayed)) {
        all->delayed = look->delayed;
    }
    if (look->consumers != UINT64_MAX) {
        all->consumers = look->consumers;
    }
}

/* --- telling --- */

static uint64_t growth(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

/* "orders, which holds 6 messages, and 0 before them" */
static void append_counts(const struct ctl *ctl, const struct ctl_place *place, char *out,
                          size_t size)
{
    char label[CTL_LABEL_BYTES];
    char delayed[120] = "";

    if (growth(place->before.delayed, place->after.delayed) > 0) {
        (void)snprintf(delayed, sizeof delayed,
                       "; delayed, for it or its neighbours, are %" PRIu64 ", and %" PRIu64
                       " before",
                       place->after.delayed, place->before.delayed);
    }
    (void)snprintf(
        out, size, "%.300s, which holds %" PRIu64 " messages, and %" PRIu64 " before them%s",
        ctl_label(ctl, place->queue, label), place->after.at_hand, place->before.at_hand, delayed);
}

static bool tell_uncounted(const struct ctl *ctl)
{
    const char *why = ctl->driver->delayed_uncounted != NULL
                          ? ctl->driver->delayed_uncounted(ctl->source->driver_settings)
                          : NULL;

    if (why != NULL) {
        (void)printf("whether canaries are to be tried again cannot be told: %s: nothing more is "
                     "moved\n",
                     why);
    }
    return why != NULL;
}

bool ctl_depth_tell(const struct ctl *ctl, const struct ctl_place *place)
{
    const struct ctl_depth *before = &place->before;
    const struct ctl_depth *after = &place->after;
    const bool is_known = before->at_hand != UINT64_MAX && after->at_hand != UINT64_MAX &&
                          before->delayed != UINT64_MAX && after->delayed != UINT64_MAX;
    const uint64_t delayed = is_known ? growth(before->delayed, after->delayed) : 0;
    /* Not more of them can be left than there are messages at hand and newly delayed. */
    const uint64_t left = is_known ? after->at_hand + delayed : UINT64_MAX;
    const size_t most = left < place->canaries ? (size_t)left : place->canaries;
    char label[CTL_LABEL_BYTES];
    char counts[600];

    if (most > 0 && after->consumers == 0) {
        (void)printf("%zu canar%s in %s, which has no consumers: nobody has handled them: nothing "
                     "more is moved\n",
                     most, most == 1 ? "y still waits" : "ies still wait",
                     ctl_label(ctl, place->queue, label));
        return true;
    }
    if (!is_known) {
        (void)printf("how many messages wait in %s, or for it, cannot be read, so whether the "
                     "canaries were handled is not known: nothing more is moved\n",
                     ctl_label(ctl, place->queue, label));
        return true;
    }
    append_counts(ctl, place, counts, sizeof counts);
    if (delayed > 0 || after->at_hand > before->at_hand) {
        (void)printf(
            "up to %zu of %zu canaries still wait, or are to be tried again, in %s: nothing "
            "more is moved\n",
            most, place->canaries, counts);
        return true;
    }
    if (most > 0 && most == place->canaries) {
        (void)printf(
            "whether one of %zu canaries was handled cannot be told in %s: nothing more is "
            "moved; with more canaries than that it can\n",
            place->canaries, counts);
        return true;
    }
    return tell_uncounted(ctl);
}
