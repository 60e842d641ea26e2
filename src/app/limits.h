/* What a configuration needs of the machine. */
#ifndef QE_APP_LIMITS_H
#define QE_APP_LIMITS_H

#include <stdint.h>

#include "config/config.h"

/* File descriptors while all workers are at work; an estimate from above. */
uint64_t qe_limits_descriptors(const struct qe_config *config);
/* One warning when this process may have fewer. */
void qe_limits_check(const struct qe_config *config);

#endif
