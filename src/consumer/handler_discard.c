#include "consumer/handler.h"

static void discard(void *self, const struct qe_message *message,
                    const struct qe_handling *handling, struct qe_handled *out)
{
    (void)self;
    (void)message;
    (void)handling;
    out->outcome = QE_OUTCOME_SUCCESS;
}

static void discard_destroy(void *self)
{
    (void)self;
}

const struct qe_handler qe_handler_discard = {
    .name = "discard", .handle = discard, .destroy = discard_destroy};
