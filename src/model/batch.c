#include "model/batch.h"

#include "util/mem.h"

int qe_batch_init(struct qe_batch *batch, struct qe_queue_set *set, struct qe_err *err)
{
    struct qe_batch made = {0};

    if (set->count > 0) {
        made.entries = qe_calloc(set->count, sizeof *made.entries);
        if (made.entries == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "out of memory for samples of %zu queues",
                              set->count);
        }
        for (size_t i = 0; i < set->count; i++) {
            made.entries[i].error = QE_ERR_TIMEOUT;
            made.entries[i].observed_age_seconds = -1;
        }
    }
    made.set = qe_queue_set_acquire(set);
    *batch = made;
    return 0;
}

void qe_batch_deinit(struct qe_batch *batch)
{
    qe_free(batch->entries);
    qe_queue_set_release(batch->set);
    qe_cluster_release(batch->cluster);
    *batch = (struct qe_batch){0};
}

void qe_batch_set(struct qe_batch *batch, size_t index, const struct qe_sample *sample)
{
    batch->entries[index].error = QE_OK;
    batch->entries[index].skipped = false;
    batch->entries[index].sample = *sample;
}

void qe_batch_fail(struct qe_batch *batch, size_t index, const struct qe_err *why)
{
    const struct qe_queue *queue = &batch->set->items[index];

    batch->entries[index].error = why->code;
    batch->entries[index].skipped = false;
    batch->failed_count++;
    if (batch->first_error.code == QE_OK) {
        const char *vhost = qe_queue_foreign_vhost(queue, batch->default_vhost);

        qe_err_set(&batch->first_error, why->code, "queue %s%s%s: %s", vhost,
                   vhost[0] == '\0' ? "" : "/", queue->name, why->message);
    }
}

void qe_batch_skip(struct qe_batch *batch, size_t index)
{
    batch->entries[index].error = QE_ERR_CANCELLED;
    batch->entries[index].skipped = true;
}
