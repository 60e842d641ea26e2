#include "dlq/kept.h"

#include "util/clock.h"

static void note_longest(struct qe_dlq_kept *kept, int64_t for_ms)
{
    kept->left.for_ms = for_ms > kept->left.for_ms ? for_ms : kept->left.for_ms;
}

void qe_dlq_kept_begin(const struct qe_driver *driver, void *handle, const struct qe_queue *queue)
{
    if (driver->halt != NULL) {
        driver->halt(handle, queue, qe_clock_mono_ms() + QE_DLQ_STOP_MS);
    }
}

void qe_dlq_kept_add(struct qe_dlq_kept *kept, const struct qe_message *message,
                     const struct qe_err *why)
{
    if (kept->why.code == QE_OK) {
        kept->why = *why;
    }
    kept->left.count++;
    if (message->visible_until_mono_ms > 0) {
        note_longest(kept, message->visible_until_mono_ms - qe_clock_mono_ms());
    }
}

void qe_dlq_kept_end(struct qe_dlq_kept *kept, const struct qe_driver *driver, void *handle,
                     const struct qe_queue *queue)
{
    struct qe_unreturned left = {0};

    if (driver->give_back == NULL) {
        return;
    }
    driver->give_back(handle, queue, qe_clock_mono_ms() + QE_DLQ_STOP_MS, &left);
    kept->left.count += left.count;
    kept->left.in_doubt += left.in_doubt;
    note_longest(kept, left.for_ms);
    if (left.count > 0 && kept->why.code == QE_OK) {
        (void)qe_err_set(&kept->why, QE_ERR_TIMEOUT, "the broker did not take them in time");
    }
}

bool qe_dlq_kept_any(const struct qe_dlq_kept *kept)
{
    return kept->left.count > 0 || kept->left.in_doubt > 0;
}
