/* From the configuration of a consumer to its handler. */
#ifndef QE_APP_HANDLERS_H
#define QE_APP_HANDLERS_H

#include "config/config.h"
#include "consumer/consumer.h"

/* Fills handler and handler_self. The handler borrows from `settings`, which outlive it. */
int qe_handlers_make(const struct qe_consumer_settings *settings, struct qe_consumer_options *out,
                     struct qe_err *err) QE_MUST_CHECK;

#endif
