/* What the fake driver says of its queues. */
#include <string.h>

#include "support/fake_driver.h"

void qe_fake_sample_all(struct qe_fake *fake, struct qe_batch *out)
{
    struct qe_err err = {0};

    for (size_t i = 0; i < out->set->count; i++) {
        struct qe_sample sample = {0};
        enum qe_err_code code = QE_ERR_NOT_FOUND;
        bool is_skipped = false;

        for (size_t j = 0; j < fake->queues_count; j++) {
            if (strcmp(fake->queues[j].name, out->set->items[i].name) == 0) {
                code = fake->queues[j].sample_error;
                is_skipped = fake->queues[j].is_skipped;
                fake->queues[j].observed_age_seconds = out->entries[i].observed_age_seconds;
            }
        }
        if (is_skipped) {
            qe_batch_skip(out, i);
            continue;
        }
        if (code != QE_OK) {
            (void)qe_err_set(&err, code, "the fake was told to fail this queue");
            qe_batch_fail(out, i, &err);
            continue;
        }
        qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, (double)fake->messages_count);
        qe_batch_set(out, i, &sample);
    }
    if (fake->facts_error != QE_OK && out->first_error.code == QE_OK) {
        (void)qe_err_set(&out->first_error, fake->facts_error, "the fake knows no ages");
    }
    if (fake->source_error != QE_OK) {
        (void)qe_err_set(&out->source_error, fake->source_error, "the fake was told so");
    }
    out->relist = fake->relist;
    fake->relist = false;
}
