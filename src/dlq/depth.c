#include "dlq/depth.h"

#include "model/batch.h"
#include "util/clock.h"

static uint64_t value_of(const struct qe_batch_entry *entry, enum qe_field field)
{
    return entry->error == QE_OK && qe_sample_has(&entry->sample, field)
               ? (uint64_t)entry->sample.values[field]
               : QE_DLQ_UNKNOWN;
}

void qe_dlq_depth_read(const struct qe_driver *driver, void *handle, const struct qe_queue *queue,
                       int64_t call_timeout_ms, struct qe_dlq_depth *out)
{
    struct qe_queue_list list = {0};
    struct qe_batch batch = {0};
    struct qe_queue_set *set = NULL;
    struct qe_err ignored = {0};
    struct qe_queue *asked = qe_queue_list_add(&list, &ignored);

    *out = (struct qe_dlq_depth){.ready = QE_DLQ_UNKNOWN, .in_flight = QE_DLQ_UNKNOWN};
    if (driver->sample != NULL && asked != NULL && qe_queue_copy(asked, queue, &ignored) == 0) {
        set = qe_queue_set_new_take(&list, &ignored);
    }
    if (set != NULL && qe_batch_init(&batch, set, &ignored) == 0) {
        batch.entries[0].observed_age_seconds = 0; /* an age may cost money: none is wanted */
        if (driver->sample(handle, qe_clock_mono_ms() + call_timeout_ms, &batch, &ignored) == 0) {
            out->ready = value_of(&batch.entries[0], QE_FIELD_READY_MESSAGES);
            out->in_flight = value_of(&batch.entries[0], QE_FIELD_IN_FLIGHT_MESSAGES);
        }
    }
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
}
