/* Many calls on one thread, so many in flight, within one deadline. */
#include "backend/sqs/watch.h"

struct run {
    struct qe_sqs *sqs;
    const struct qe_sqs_flow *flow;
    size_t free_count;           /* watch->free_calls up to here */
    bool is_exhausted;           /* there is no next call */
    int64_t pause_until_mono_ms; /* the rate cap's; 0: none */
};

/* Begins the call at `index`, or frees it when the deadline has just come. */
static int start(struct run *run, size_t index, struct qe_err *err)
{
    struct qe_sqs_watch *watch = run->sqs->watch;
    struct qe_aws_call *call = &watch->calls[index];

    if (qe_strbuf_error(&call->body, err) != 0) {
        return -1;
    }
    if (qe_aws_start(run->sqs->client, call, err) == 0) {
        return 0;
    }
    if (qe_clock_mono_ms() < run->flow->until_mono_ms) {
        return -1;
    }
    run->is_exhausted = true;
    watch->free_calls[run->free_count++] = index;
    return 0;
}

/* Begins as many as may be. */
static int start_some(struct run *run, struct qe_err *err)
{
    struct qe_sqs_watch *watch = run->sqs->watch;

    run->pause_until_mono_ms = 0;
    for (; run->free_count > 0 && !run->is_exhausted;) {
        const int64_t now_us = qe_clock_mono_us();

        if (now_us / 1000 >= run->flow->until_mono_ms) {
            run->is_exhausted = true;
            return 0;
        }
        const size_t index = watch->free_calls[run->free_count - 1];
        const int64_t wait_ms = qe_rate_take(&watch->rate, now_us);

        if (wait_ms > 0) {
            run->pause_until_mono_ms = now_us / 1000 + wait_ms;
            return 0;
        }
        if (!run->flow->next(run->flow->self, &watch->calls[index])) {
            run->is_exhausted = true;
            return 0;
        }
        run->free_count--;
        if (start(run, index, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int take_finished(struct run *run, struct qe_aws_call *call, struct qe_err *err)
{
    struct qe_sqs_watch *watch = run->sqs->watch;
    const size_t index = (size_t)(call - watch->calls);
    const enum qe_sqs_flow_verdict verdict = run->flow->finished(run->flow->self, call, err);

    if (verdict == QE_SQS_FLOW_STOP) {
        return -1;
    }
    if (verdict == QE_SQS_FLOW_AGAIN) {
        return start(run, index, err);
    }
    watch->free_calls[run->free_count++] = index;
    return 0;
}

static int64_t wait_until(const struct run *run)
{
    const int64_t pause = run->pause_until_mono_ms;

    return pause > run->flow->until_mono_ms ? run->flow->until_mono_ms : pause;
}

/* Waits for one event. */
static int wait_once(struct run *run, struct qe_err *err)
{
    struct qe_aws_call *call = NULL;

    switch (qe_aws_wait(run->sqs->client, wait_until(run), true, &call)) {
    case QE_HTTP_REPLY:
        return take_finished(run, call, err);
    case QE_HTTP_INTERRUPTED:
        return qe_sqs_take_interrupt(run->sqs) ? qe_err_set(err, QE_ERR_CANCELLED, "interrupted")
                                               : 0;
    case QE_HTTP_TIME:
    case QE_HTTP_IDLE:
        break;
    }
    return 0;
}

int qe_sqs_flow_run(struct qe_sqs *sqs, const struct qe_sqs_flow *flow, struct qe_err *err)
{
    struct run run = {.sqs = sqs, .flow = flow};
    const size_t calls_count = (size_t)sqs->settings->concurrency;

    if (qe_sqs_take_interrupt(sqs)) {
        return qe_err_set(err, QE_ERR_CANCELLED, "interrupted");
    }
    for (; run.free_count < calls_count; run.free_count++) {
        sqs->watch->free_calls[run.free_count] = run.free_count;
    }
    for (;;) {
        if (start_some(&run, err) != 0) {
            break;
        }
        if (run.free_count == calls_count && run.is_exhausted) {
            return 0;
        }
        if (wait_once(&run, err) != 0) {
            break;
        }
    }
    qe_aws_abort(sqs->client);
    return -1;
}
