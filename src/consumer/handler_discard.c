#include "consumer/handlers.h"

static void discard(void *self, const struct qe_message *const *messages, size_t count,
                    const struct qe_handling *handling, struct qe_handled *out)
{
    (void)self;
    (void)messages;
    (void)handling;
    for (size_t i = 0; i < count; i++) {
        out[i].outcome = QE_OUTCOME_SUCCESS;
    }
}

static void discard_destroy(void *self)
{
    (void)self;
}

const struct qe_handler qe_handler_discard = {
    .name = "discard", .takes_batches = true, .handle = discard, .destroy = discard_destroy};
