/* Settling: deletes, releases and moves to the dead-letter queue, each kind in calls of ten.
 *
 * Dead-lettering is a copy sent to the DLQ and then a delete. When the delete fails, the message is
 * in both queues until its next settlement, which deletes without copying again. */
#include "backend/sqs/settle.h"

#include "util/mem.h"

uint64_t qe_sqs_settle_number(const struct qe_sqs_settle *settle, size_t item)
{
    return qe_sqs_receipt_number(settle->queue, settle->settlements[item].message->receipt);
}

void qe_sqs_settle_failed(struct qe_sqs_settle *settle, size_t item, const struct qe_err *err)
{
    struct qe_settlement *settlement = &settle->settlements[item];

    settlement->result = QE_SETTLE_FAILED;
    settlement->err = *err;
    (void)qe_err_wrap(&settlement->err, "queue \"%s\": message %s", settle->queue->name,
                      settlement->message->id);
}

void qe_sqs_settle_run(struct qe_sqs_settle *settle, const struct qe_sqs_batch *batch)
{
    struct qe_err err = {0};

    if (qe_sqs_batch_run(settle->sqs, batch, &err) != 0 && !settle->call_failed) {
        settle->call_failed = true;
        settle->call_err = err;
    }
}

/* --- what became of a receipt --- */

static void mark_stale(struct qe_sqs_settle *settle, size_t item)
{
    struct qe_settlement *settlement = &settle->settlements[item];
    bool is_copied =
        qe_sqs_ring_has(&settle->sqs->work->copied, qe_sqs_settle_number(settle, item));

    settlement->result = QE_SETTLE_STALE;
    (void)qe_err_set(&settlement->err, QE_ERR_NOT_FOUND,
                     "queue \"%s\": message %s: the receipt is stale: it was settled, removed or "
                     "delivered again%s",
                     settle->queue->name, settlement->message->id,
                     is_copied ? "; its copy is in the dead-letter queue all the same" : "");
}

/* What waits behind a delivery that is over without success must not overtake it: it lapses. */
static void drop_behind(struct qe_sqs_settle *settle, size_t item)
{
    struct qe_message_list dropped = {0};
    struct qe_err ignored = {0};

    int rc = qe_sqs_hold_take_behind(settle->queue, settle->settlements[item].message, &dropped,
                                     &ignored);

    (void)rc; /* without memory they stay, and are handed out: the order is lost, no message is */
    qe_message_list_deinit(&dropped);
}

/* Of a delete or a release. */
static void take_outcome(struct qe_sqs_settle *settle, size_t item,
                         const struct qe_sqs_outcome *outcome)
{
    struct qe_sqs_work *work = settle->sqs->work;
    uint64_t number = qe_sqs_settle_number(settle, item);

    if (outcome->answer == NULL && !outcome->is_stale) {
        qe_sqs_settle_failed(settle, item, outcome->err);
        return;
    }
    if (outcome->answer != NULL) {
        settle->settlements[item].result = QE_SETTLED;
        settle->settlements[item].err = (struct qe_err){0};
        qe_sqs_ring_add(&work->settled, number);
    } else {
        mark_stale(settle, item);
        drop_behind(settle, item);
    }
    qe_sqs_ring_remove(&work->copied, number);
    qe_sqs_hold_settled(settle->queue, number);
}

/* --- deleting --- */

static void append_delete(void *context, size_t item, struct qe_strbuf *out)
{
    const struct qe_sqs_settle *settle = context;

    qe_sqs_append_receipt(out, settle->settlements[item].message->receipt);
}

static void done_delete(void *context, size_t item, const struct qe_sqs_outcome *outcome)
{
    take_outcome(context, item, outcome);
}

static void delete_all(struct qe_sqs_settle *settle, const size_t *items, size_t count)
{
    const struct qe_sqs_batch batch = {
        .operation = QE_SQS_DELETE_MESSAGE_BATCH,
        .queue = settle->queue,
        .items = items,
        .items_count = count,
        .deadline_mono_ms = settle->deadline_mono_ms,
        .context = settle,
        .append = append_delete,
        .done = done_delete,
    };

    qe_sqs_settle_run(settle, &batch);
}

/* --- releasing --- */

/* Items from settle->count on are messages of a FIFO queue that were held behind a released one.
 * They are invisible as long as it is, so that it comes first again. */
struct release {
    struct qe_sqs_settle *settle;
    struct qe_message_list behind; /* owned */
    size_t *released;              /* owned: per message behind, the settlement before it */
};

static void append_release(void *context, size_t item, struct qe_strbuf *out)
{
    const struct release *release = context;
    const struct qe_sqs_settle *settle = release->settle;
    bool is_behind = item >= settle->count;
    const struct qe_settlement *settlement =
        &settle->settlements[is_behind ? release->released[item - settle->count] : item];
    const struct qe_message *message =
        is_behind ? &release->behind.items[item - settle->count] : settlement->message;

    qe_sqs_append_visibility(
        out, message->receipt,
        qe_sqs_visibility_seconds(settlement->message, settlement->delay_ms, settle->now_mono_ms));
}

static void done_release(void *context, size_t item, const struct qe_sqs_outcome *outcome)
{
    const struct release *release = context;

    if (item < release->settle->count) {
        take_outcome(release->settle, item, outcome);
    } /* what could not be released lapses */
}

/* Appends what is held behind the released ones to the items. */
static void collect_behind(struct release *release, size_t *items, size_t *in_out_count)
{
    struct qe_sqs_settle *settle = release->settle;
    size_t count = *in_out_count;
    struct qe_err ignored = {0};

    for (size_t i = 0; i < count; i++) {
        size_t before = release->behind.count;

        int rc = qe_sqs_hold_take_behind(settle->queue, settle->settlements[items[i]].message,
                                         &release->behind, &ignored);

        (void)rc; /* what is left lapses, or is handed out */
        for (size_t j = before; j < release->behind.count; j++) {
            release->released[j] = items[i];
            items[(*in_out_count)++] = settle->count + j;
        }
    }
}

static void release_all(struct qe_sqs_settle *settle, const size_t *items, size_t count)
{
    struct release release = {.settle = settle};
    size_t held = settle->queue->held.count;
    size_t *all = qe_calloc(count + held, sizeof *all);
    size_t all_count = count;
    struct qe_err err = {0};

    release.released = qe_calloc(held + 1, sizeof *release.released);
    if (all == NULL || release.released == NULL) {
        (void)qe_err_set(&err, QE_ERR_NOMEM, "release");
        for (size_t i = 0; i < count; i++) {
            qe_sqs_settle_failed(settle, items[i], &err);
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            all[i] = items[i];
        }
        collect_behind(&release, all, &all_count);
        const struct qe_sqs_batch batch = {
            .operation = QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
            .queue = settle->queue,
            .items = all,
            .items_count = all_count,
            .deadline_mono_ms = settle->deadline_mono_ms,
            .context = &release,
            .append = append_release,
            .done = done_release,
        };

        qe_sqs_settle_run(settle, &batch);
    }
    qe_message_list_deinit(&release.behind);
    qe_free(release.released);
    qe_free(all);
}

/* --- the slot --- */

/* The indexes of what is to be settled with this verb. */
static size_t pick(const struct qe_sqs_settle *settle, enum qe_settle_verb verb, size_t *out_items)
{
    size_t count = 0;

    for (size_t i = 0; i < settle->count; i++) {
        if (settle->settlements[i].verb == verb &&
            settle->settlements[i].result != QE_SETTLE_STALE) {
            out_items[count++] = i;
        }
    }
    return count;
}

static void mark_what_is_stale(struct qe_sqs_settle *settle)
{
    for (size_t i = 0; i < settle->count; i++) {
        settle->settlements[i].result = QE_SETTLE_FAILED;
        settle->settlements[i].err = (struct qe_err){0};
        if (qe_sqs_is_stale(settle->sqs, settle->queue, settle->settlements[i].message,
                            settle->now_mono_ms)) {
            mark_stale(settle, i);
            qe_sqs_hold_settled(settle->queue, qe_sqs_settle_number(settle, i));
        }
    }
}

static void fail_all(struct qe_settlement *settlements, size_t count, const struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        settlements[i].result = QE_SETTLE_FAILED;
        settlements[i].err = *err;
    }
}

static bool all_failed(const struct qe_sqs_settle *settle)
{
    for (size_t i = 0; i < settle->count; i++) {
        if (settle->settlements[i].result != QE_SETTLE_FAILED) {
            return false;
        }
    }
    return true;
}

static int settle_all(struct qe_sqs_settle *settle, struct qe_err *err)
{
    size_t *items = qe_calloc(settle->count, sizeof *items);

    if (items == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "%zu settlements", settle->count);
        fail_all(settle->settlements, settle->count, err);
        return -1;
    }
    mark_what_is_stale(settle);
    /* Whoever waits for a release waits for the network once; whoever is acked has been done. */
    delete_all(settle, items, pick(settle, QE_SETTLE_ACK, items));
    release_all(settle, items, pick(settle, QE_SETTLE_RELEASE, items));
    size_t count = pick(settle, QE_SETTLE_DEAD_LETTER, items);

    qe_sqs_settle_copy(settle, items, &count);
    delete_all(settle, items, count);
    qe_free(items);
    if (settle->call_failed && all_failed(settle)) {
        *err = settle->call_err;
        return qe_err_wrap(err, "queue \"%s\"", settle->queue->name);
    }
    return 0;
}

int qe_sqs_settle(void *self, const struct qe_queue *queue, struct qe_settlement *settlements,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_sqs_settle settle = {.sqs = self,
                                   .settlements = settlements,
                                   .count = count,
                                   .deadline_mono_ms = deadline_mono_ms,
                                   .now_mono_ms = qe_clock_mono_ms()};

    if (count == 0) {
        return 0;
    }
    settle.queue = qe_sqs_queue_find(self, queue, deadline_mono_ms, err);
    if (settle.queue == NULL) {
        fail_all(settlements, count, err);
        return -1;
    }
    qe_sqs_queue_heed(settle.queue, queue);
    return settle_all(&settle, err);
}
