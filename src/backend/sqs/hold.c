/* Messages that were received but are not handed out yet: more than was asked for, or what came
 * when nobody waited any more.
 *
 * Of a FIFO queue one answer may bring many messages of one group. They are handed out one at a
 * time, the next when the one before it is settled well; when that one is released, those behind it
 * are released with it (settle.c), so that no later message overtakes an earlier one. */
#include <string.h>

#include "backend/sqs/work.h"
#include "util/mem.h"

#define BUSY_MAX 120000 /* SQS has no more in flight */

static void remove_held(struct qe_sqs_queue *queue, size_t index)
{
    struct qe_message_list *held = &queue->held;

    memmove(&held->items[index], &held->items[index + 1],
            (held->count - index - 1) * sizeof held->items[0]);
    held->count--;
}

static void remove_busy(struct qe_sqs_queue *queue, size_t index)
{
    qe_free(queue->busy[index].group);
    queue->busy[index] = queue->busy[--queue->busy_count];
}

/* What lapsed will be received again. */
static void drop_lapsed(struct qe_sqs_queue *queue, int64_t now_mono_ms)
{
    for (size_t i = queue->held.count; i > 0; i--) {
        if (queue->held.items[i - 1].visible_until_mono_ms <= now_mono_ms) {
            qe_message_deinit(&queue->held.items[i - 1]);
            remove_held(queue, i - 1);
        }
    }
    for (size_t i = queue->busy_count; i > 0; i--) {
        if (queue->busy[i - 1].until_mono_ms <= now_mono_ms) {
            remove_busy(queue, i - 1);
        }
    }
}

/* A message of a FIFO queue waits for the one of its group that is handed out, or stands before it.
 */
static bool must_wait(const struct qe_sqs_queue *queue, size_t index)
{
    const char *group = queue->held.items[index].group;

    if (!queue->is_fifo) {
        return false;
    }
    for (size_t i = 0; i < queue->busy_count; i++) {
        if (strcmp(queue->busy[i].group, group) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < index; i++) {
        if (strcmp(queue->held.items[i].group, group) == 0) {
            return true;
        }
    }
    return false;
}

size_t qe_sqs_hold_ready(struct qe_sqs_queue *queue, size_t max, int64_t now_mono_ms)
{
    size_t ready = 0;

    drop_lapsed(queue, now_mono_ms);
    for (size_t i = 0; i < queue->held.count && ready < max; i++) {
        ready += must_wait(queue, i) ? 0 : 1;
    }
    return ready;
}

static int make_busy(struct qe_sqs_queue *queue, const struct qe_message *message,
                     struct qe_err *err)
{
    if (!queue->is_fifo) {
        return 0;
    }
    char *group = qe_strdup(message->group);

    if (group == NULL || qe_grow(&queue->busy, queue->busy_count, &queue->busy_capacity, BUSY_MAX,
                                 sizeof queue->busy[0]) != 0) {
        qe_free(group);
        return qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", queue->name);
    }
    queue->busy[queue->busy_count++] =
        (struct qe_sqs_busy){.group = group,
                             .receipt = qe_sqs_receipt_number(queue, message->receipt),
                             .until_mono_ms = message->visible_until_mono_ms};
    return 0;
}

static int hand_out(struct qe_sqs_queue *queue, size_t index, struct qe_message_list *out,
                    struct qe_err *err)
{
    struct qe_message *room = qe_message_list_add(out, err);

    if (room == NULL) {
        return -1;
    }
    if (make_busy(queue, &queue->held.items[index], err) != 0) {
        qe_message_deinit(room);
        out->count--;
        return -1;
    }
    qe_message_deinit(room);
    *room = queue->held.items[index];
    remove_held(queue, index);
    return 0;
}

int qe_sqs_hold_take(struct qe_sqs_queue *queue, size_t max, int64_t now_mono_ms,
                     struct qe_message_list *out, struct qe_err *err)
{
    size_t taken = 0;
    size_t index = 0;

    drop_lapsed(queue, now_mono_ms);
    while (taken < max && index < queue->held.count) {
        if (must_wait(queue, index)) {
            index++;
            continue;
        }
        if (hand_out(queue, index, out, err) != 0) {
            return taken > 0 ? 0 : -1; /* the rest stays held */
        }
        taken++;
    }
    return 0;
}

void qe_sqs_hold_settled(struct qe_sqs_queue *queue, uint64_t receipt)
{
    for (size_t i = queue->busy_count; i > 0; i--) {
        if (queue->busy[i - 1].receipt == receipt) {
            remove_busy(queue, i - 1);
        }
    }
}

void qe_sqs_hold_extended(struct qe_sqs_queue *queue, uint64_t receipt, int64_t until_mono_ms)
{
    for (size_t i = 0; i < queue->busy_count; i++) {
        if (queue->busy[i].receipt == receipt) {
            queue->busy[i].until_mono_ms = until_mono_ms;
        }
    }
}

struct qe_message *qe_sqs_hold_behind(struct qe_sqs_queue *queue, const struct qe_message *message,
                                      size_t *in_out_from)
{
    for (size_t i = *in_out_from; queue->is_fifo && i < queue->held.count; i++) {
        if (strcmp(queue->held.items[i].group, message->group) == 0) {
            *in_out_from = i + 1;
            return &queue->held.items[i];
        }
    }
    return NULL;
}

int qe_sqs_hold_take_behind(struct qe_sqs_queue *queue, const struct qe_message *message,
                            struct qe_message_list *out, struct qe_err *err)
{
    const struct qe_message *behind = NULL;
    size_t from = 0;

    while ((behind = qe_sqs_hold_behind(queue, message, &from)) != NULL) {
        struct qe_message *room = qe_message_list_add(out, err);

        if (room == NULL) {
            return -1;
        }
        qe_message_deinit(room);
        *room = *behind;
        remove_held(queue, --from);
    }
    return 0;
}

void qe_sqs_hold_deinit(struct qe_sqs_queue *queue)
{
    qe_message_list_deinit(&queue->held);
    for (size_t i = 0; i < queue->busy_count; i++) {
        qe_free(queue->busy[i].group);
    }
    qe_free(queue->busy);
    queue->busy = NULL;
    queue->busy_count = 0;
    queue->busy_capacity = 0;
}
