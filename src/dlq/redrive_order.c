#include <string.h>

#include "dlq/redrive_internal.h"

/* Groups of standard queues are tenants, for fairness: nobody keeps their order. */
static bool keeps_order(const struct qe_redrive *run, size_t index)
{
    return run->lot.items[index].group[0] != '\0' && run->targets[index]->kind != QE_KIND_STANDARD;
}

/* What the filter leaves out, the caller wants to be passed; what is sent holds nobody. */
static bool one_stays(const struct qe_redrive *run, const char *group)
{
    for (size_t i = 0; i < run->aside.count && run->out->counts.stayed > 0; i++) {
        const struct qe_aside_item *item = &run->aside.items[i];

        if (item->why == QE_ASIDE_STAYED && strcmp(item->message.group, group) == 0) {
            return true;
        }
    }
    return false;
}

enum qe_redrive_turn qe_redrive_turn_of(const struct qe_redrive *run, size_t index,
                                        size_t picked_count)
{
    const char *group = run->lot.items[index].group;

    if (!keeps_order(run, index)) {
        return QE_TURN_NOW;
    }
    if (one_stays(run, group)) {
        return QE_TURN_NEVER;
    }
    for (size_t i = 0; i < picked_count; i++) {
        if (strcmp(run->lot.items[run->picked[i]].group, group) == 0) {
            return QE_TURN_LATER;
        }
    }
    return QE_TURN_NOW;
}
