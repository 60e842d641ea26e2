#include "aws/provider_internal.h"
#include "util/clock.h"

int64_t qe_aws_tries_deadline(const struct qe_aws_tries *tries, const struct qe_aws_search *search)
{
    const struct qe_aws_world *world = search->settings->world;
    const int64_t until_mono_ms = world->now_mono_ms(world->self) + tries->attempt_ms;

    return until_mono_ms < search->deadline_mono_ms ? until_mono_ms : search->deadline_mono_ms;
}

bool qe_aws_tries_again(struct qe_aws_tries *tries, const struct qe_aws_search *search)
{
    const struct qe_aws_world *world = search->settings->world;
    int64_t pause_ms = tries->pause_ms;

    tries->count++;
    if (tries->count >= tries->most) {
        return false;
    }
    if (!tries->is_even) {
        struct qe_random random;

        qe_random_init(&random, 0);
        pause_ms =
            (int64_t)(qe_random_unit(&random) * (double)(pause_ms << (tries->count - 1))) + 1;
    }
    const int64_t until_mono_ms = world->now_mono_ms(world->self) + pause_ms;

    if (until_mono_ms >= search->deadline_mono_ms) {
        return false;
    }
    world->pause(world->self, until_mono_ms);
    return true;
}
