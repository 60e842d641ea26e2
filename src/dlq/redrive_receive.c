/* What a redrive receives: how much at a time and how fast, and what is known of the queue when
 * nothing comes. */
#include "dlq/redrive_internal.h"
#include "util/clock.h"

/* The first lot is small; it grows while its messages are. */
#define LOT_FIRST 10
#define LOT_BYTES_MAX ((size_t)16 << 20)

static bool wants_to_stop(void *context)
{
    return !qe_redrive_pause(context, 0);
}

void qe_redrive_receive_begin(struct qe_redrive *run)
{
    run->lot_max = LOT_FIRST;
    run->intake = (struct qe_dlq_intake){.hand = &run->aside,
                                         .call_timeout_ms = run->options->call_timeout_ms,
                                         .stopped = wants_to_stop,
                                         .context = run};
    qe_dlq_intake_begin(&run->intake);
}

size_t qe_redrive_next_lot(struct qe_redrive *run)
{
    const struct qe_redrive_options *options = run->options;
    double rate = options->messages_per_second;
    size_t count = run->lot_max;
    int64_t due_mono_ms = 0;

    if (options->max > 0 && options->max - run->tried < count) {
        count = (size_t)(options->max - run->tried);
    }
    if (count == 0) {
        return 0;
    }
    if (rate > 0) {
        due_mono_ms = run->start_mono_ms + (int64_t)((double)run->tried * 1000.0 / rate);
    }
    if (!qe_redrive_pause(run, due_mono_ms)) {
        return 0;
    }
    if (rate > 0) {
        double elapsed_seconds = (double)(qe_clock_mono_ms() - run->start_mono_ms) / 1000.0;
        double due = elapsed_seconds * rate - (double)run->tried + 1;

        count = due < (double)count ? (size_t)(due < 1 ? 1 : due) : count;
    }
    return count;
}

static void adapt_lot(struct qe_redrive *run)
{
    size_t bytes = 0;

    for (size_t i = 0; i < run->lot.count; i++) {
        bytes += run->lot.items[i].body_bytes;
    }
    if (bytes > LOT_BYTES_MAX) {
        run->lot_max = LOT_FIRST;
    } else if (bytes < LOT_BYTES_MAX / 2 && run->lot.count == run->lot_max) {
        run->lot_max =
            run->lot_max * 2 < QE_REDRIVE_LOT_MAX ? run->lot_max * 2 : QE_REDRIVE_LOT_MAX;
    }
}

uint64_t qe_redrive_seen(const struct qe_redrive_counts *counts)
{
    return counts->moved + counts->doubled + counts->stayed + counts->newer + counts->unmatched +
           counts->untried;
}

int qe_redrive_receive(struct qe_redrive *run, size_t count, struct qe_err *err)
{
    struct qe_err why = {0};
    int rc = -1;

    run->intake.seen = qe_redrive_seen(&run->out->counts);
    for (unsigned tries = 1; rc != 0; tries++) {
        rc = qe_dlq_receive(&run->intake, count, &run->lot, &why);
        if (rc != 0 && !qe_redrive_try_again(run, tries, why.code)) {
            *err = why;
            return qe_err_wrap(err, "receive from %s", run->options->from->name);
        }
    }
    run->out->rest = run->intake.rest;
    adapt_lot(run);
    return 0;
}
