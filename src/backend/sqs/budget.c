#include "backend/sqs/budget.h"

#include <math.h>

/* The meter looks at windows of a minute, and forgets over ten. */
#define WINDOW_MS INT64_C(60000)
#define MEMORY_MS 600000.0

struct costs {
    double per_poll_and_queue; /* dollars a month of one queue read by every poll */
    double busy;               /* of all, not stretched */
    double quiet;
    double ages;
};

static struct costs costs_of(const struct qe_budget_input *input)
{
    const double month_ms = (double)QE_BUDGET_MONTH_MS;
    struct costs costs = {0};

    costs.per_poll_and_queue =
        month_ms / (double)input->poll_interval_ms * input->dollars_per_request;
    costs.busy = costs.per_poll_and_queue * (double)input->busy_queues;
    costs.quiet = costs.per_poll_and_queue * input->quiet_reads_per_poll;
    costs.ages = month_ms / (double)input->age_interval_ms * input->dollars_per_metric *
                 (double)input->age_queues;
    return costs;
}

/* The interval at which ages cost no more than `dollars`. */
static int64_t plan_ages(const struct qe_budget_input *input, double natural, double dollars)
{
    const int64_t shortest = input->age_interval_ms;
    const int64_t longest =
        shortest > QE_BUDGET_AGE_INTERVAL_MAX_MS ? shortest : QE_BUDGET_AGE_INTERVAL_MAX_MS;

    if (natural <= dollars) {
        return shortest;
    }
    double interval = dollars > 0 ? ceil((double)shortest * natural / dollars) : (double)longest;

    return interval >= (double)longest ? longest : (int64_t)interval;
}

/* The least period, in polls, at which `queues` cost no more than `dollars`. */
static uint32_t plan_floor(double per_queue, size_t queues, double natural, double dollars,
                           uint32_t longest)
{
    if (natural <= dollars || longest <= 1) {
        return 1;
    }
    double period = dollars > 0 ? ceil(per_queue * (double)queues / dollars) : (double)longest;

    return period >= (double)longest ? longest : period < 1 ? 1 : (uint32_t)period;
}

static int64_t permille(double natural, double planned)
{
    return planned > 0 && natural > planned ? llround(1000 * natural / planned) : 1000;
}

void qe_budget_plan(const struct qe_budget_input *input, struct qe_budget_plan *out)
{
    const struct costs costs = costs_of(input);
    struct qe_budget_plan plan = {
        .quiet_floor = 1, .busy_floor = 1, .age_interval_ms = input->age_interval_ms};
    double ages = costs.ages;
    double quiet = costs.quiet;
    double busy = costs.busy;

    if (input->monthly_dollars > 0) {
        const double left = input->monthly_dollars - input->other_dollars_per_month;

        plan.age_interval_ms = plan_ages(input, ages, left - busy - quiet);
        ages = costs.ages * (double)input->age_interval_ms / (double)plan.age_interval_ms;
        plan.quiet_floor = plan_floor(costs.per_poll_and_queue, input->quiet_queues, quiet,
                                      left - busy - ages, input->longest_period);
        quiet = fmin(quiet, costs.per_poll_and_queue * (double)input->quiet_queues /
                                (double)plan.quiet_floor);
        plan.busy_floor = plan_floor(costs.per_poll_and_queue, input->busy_queues, busy,
                                     left - quiet - ages, input->longest_period);
        busy /= (double)plan.busy_floor;
    }
    plan.reads_stretch_permille = permille(costs.busy + costs.quiet, busy + quiet);
    plan.ages_stretch_permille =
        permille((double)plan.age_interval_ms, (double)input->age_interval_ms);
    plan.dollars_per_month = input->other_dollars_per_month + ages + quiet + busy;
    *out = plan;
}

void qe_budget_meter_note(struct qe_budget_meter *meter, double total_dollars, int64_t now_mono_ms)
{
    const int64_t passed_ms = now_mono_ms - meter->noted_mono_ms;

    if (meter->noted_mono_ms == 0) {
        meter->noted_mono_ms = now_mono_ms;
        meter->noted_dollars = total_dollars;
        return;
    }
    if (passed_ms < WINDOW_MS) {
        return;
    }
    const double spent = fmax(0, total_dollars - meter->noted_dollars);
    const double rate = spent * (double)QE_BUDGET_MONTH_MS / (double)passed_ms;
    const double weight = meter->is_known ? fmin(1, (double)passed_ms / MEMORY_MS) : 1;

    meter->is_known = true;
    meter->dollars_per_month += (rate - meter->dollars_per_month) * weight;
    meter->noted_mono_ms = now_mono_ms;
    meter->noted_dollars = total_dollars;
}
