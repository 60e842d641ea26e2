/* What watching costs in a month, and how much less often must be asked to stay within a budget.
 * Pure.
 *
 * The ages from CloudWatch are stretched first (each costs 25 times a reading), up to an hour; then
 * quiet queues; dead-letter queues and queues with messages last, none beyond max_interval. What
 * cannot be stretched (consumers' calls, lists, tags) is taken as it is. The free million of
 * requests is the account's, which others use too: it is not counted on. */
#ifndef QE_BACKEND_SQS_BUDGET_H
#define QE_BACKEND_SQS_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QE_BUDGET_MONTH_MS INT64_C(2628000000) /* a twelfth of a year */
#define QE_BUDGET_AGE_INTERVAL_MAX_MS INT64_C(3600000)

struct qe_budget_input {
    double monthly_dollars;         /* the budget; 0: none */
    double other_dollars_per_month; /* what cannot be stretched */
    double dollars_per_request;     /* one reading of a queue */
    double dollars_per_metric;      /* one age */
    int64_t poll_interval_ms;       /* > 0 */
    uint32_t longest_period;        /* in polls: max_interval; >= 1 */
    size_t busy_queues;             /* read by every poll */
    size_t quiet_queues;
    double quiet_reads_per_poll; /* as the cadence has it without a budget */
    size_t age_queues;           /* whose ages are asked for */
    int64_t age_interval_ms;     /* as configured; > 0 */
};

struct qe_budget_plan {
    uint32_t quiet_floor; /* least period in polls; 1: as the cadence says */
    uint32_t busy_floor;
    int64_t age_interval_ms;
    int64_t reads_stretch_permille; /* 1000: not stretched */
    int64_t ages_stretch_permille;
    double dollars_per_month; /* of all this, `other` included */
};

void qe_budget_plan(const struct qe_budget_input *input, struct qe_budget_plan *out);

/* The rate of what cannot be stretched, from a running total in dollars. = {0}: nothing known. */
struct qe_budget_meter {
    int64_t noted_mono_ms; /* 0: never */
    double noted_dollars;
    bool is_known;
    double dollars_per_month;
};
void qe_budget_meter_note(struct qe_budget_meter *meter, double total_dollars, int64_t now_mono_ms);

#endif
