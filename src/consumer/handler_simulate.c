#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "consumer/handlers.h"
#include "util/clock.h"
#include "util/hash.h"
#include "util/mem.h"

/* The 99th percentile of the standard normal distribution. */
#define Z_P99 2.3263478740408408
/* How far the tail may go, in p99s: a log-normal tail has no end, a test run has. */
#define LONGEST_P99S 10.0
/* How late a cancellation may be seen. */
#define SLICE_MS 25
#define TWO_PI 6.283185307179586

struct simulate {
    struct qe_simulate_options options;
    double mu;
    double sigma;
};

/* The same delivery always draws the same numbers, whichever worker gets it. */
static uint64_t delivery_seed(const struct simulate *simulate, const struct qe_message *message)
{
    uint64_t hash = QE_HASH_START ^ simulate->options.seed;

    hash = qe_hash_bytes(hash, message->id, strlen(message->id));
    hash = qe_hash_bytes(hash, &message->receives, sizeof message->receives);
    return hash == 0 ? 1 : hash; /* 0 would mean: from the kernel */
}

static int64_t draw_latency_ms(const struct simulate *simulate, struct qe_random *random)
{
    /* Box-Muller; 1 - u keeps the logarithm away from 0. */
    double u = 1 - qe_random_unit(random);
    double v = qe_random_unit(random);
    double z = sqrt(-2 * log(u)) * cos(TWO_PI * v);
    double longest = LONGEST_P99S * (double)simulate->options.latency_p99_ms;

    if (simulate->options.latency_p50_ms <= 0) {
        return 0;
    }
    return (int64_t)fmin(exp(simulate->mu + simulate->sigma * z), longest);
}

/* True when the whole time was spent; false: cancelled, or past the deadline. */
static bool work(int64_t latency_ms, const struct qe_handling *handling)
{
    int64_t end = qe_clock_mono_ms() + latency_ms;

    for (int64_t now = qe_clock_mono_ms(); now < end; now = qe_clock_mono_ms()) {
        int64_t slice = end - now < SLICE_MS ? end - now : SLICE_MS;
        struct timespec pause = {.tv_nsec = (long)slice * 1000000L};

        if (atomic_load(handling->cancelled) || now >= handling->deadline_mono_ms) {
            return false;
        }
        (void)nanosleep(&pause, NULL); /* woken early: the loop looks again */
    }
    return true;
}

static void fail(struct qe_handled *out, enum qe_outcome outcome, enum qe_fail_reason reason,
                 const char *detail)
{
    out->outcome = outcome;
    out->reason = reason;
    (void)snprintf(out->detail, sizeof out->detail, "%s", detail);
}

static void simulate_one(const struct simulate *simulate, const struct qe_message *message,
                         const struct qe_handling *handling, struct qe_handled *out)
{
    const char *wish = qe_attributes_get(&message->attributes, "simulate");
    struct qe_random random;

    qe_random_init(&random, delivery_seed(simulate, message));
    bool fails = qe_random_unit(&random) < simulate->options.error_rate;
    if (!work(draw_latency_ms(simulate, &random), handling)) {
        bool late = qe_clock_mono_ms() >= handling->deadline_mono_ms;

        fail(out, QE_OUTCOME_RETRY, late ? QE_FAIL_TIMEOUT : QE_FAIL_HANDLER_ERROR,
             late ? "simulated work took longer than max_handling_time"
                  : "simulated work was cancelled");
    } else if (wish != NULL && strcmp(wish, "reject") == 0) {
        fail(out, QE_OUTCOME_REJECT, QE_FAIL_PERMANENT,
             "simulated permanent error: the message has simulate=reject");
    } else if (wish != NULL && strcmp(wish, "retry") == 0) {
        fail(out, QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR,
             "simulated error: the message has simulate=retry");
    } else if (fails) {
        fail(out, QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, "simulated error: drawn by error_rate");
    } else {
        out->outcome = QE_OUTCOME_SUCCESS;
    }
}

/* One after the other, as most who take batches do. */
static void simulate_handle(void *self, const struct qe_message *const *messages, size_t count,
                            const struct qe_handling *handling, struct qe_handled *out)
{
    for (size_t i = 0; i < count; i++) {
        simulate_one(self, messages[i], handling, &out[i]);
    }
}

void *qe_handler_simulate_new(const struct qe_simulate_options *options, struct qe_err *err)
{
    struct simulate *simulate = qe_calloc(1, sizeof *simulate);
    double p50 = (double)options->latency_p50_ms;
    double p99 = (double)options->latency_p99_ms;

    if (simulate == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "simulate handler");
        return NULL;
    }
    simulate->options = *options;
    if (p99 < p50) {
        p99 = p50; /* no spread at all is the nearest that can be */
        simulate->options.latency_p99_ms = options->latency_p50_ms;
    }
    if (p50 > 0) {
        simulate->mu = log(p50);
        simulate->sigma = log(p99 / p50) / Z_P99;
    }
    return simulate;
}

const struct qe_handler qe_handler_simulate = {
    .name = "simulate", .takes_batches = true, .handle = simulate_handle, .destroy = qe_free};
