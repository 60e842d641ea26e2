/* One loaded configuration, shared by everything that runs on it. */
#ifndef QE_APP_GENERATION_H
#define QE_APP_GENERATION_H

#include <stdatomic.h>

#include "config/config.h"
#include "util/err.h"
#include "util/strbuf.h"

struct qe_generation {
    atomic_size_t refs;
    struct qe_config *config; /* owned */
};

/* Owns `config` from the call on, even on failure. */
struct qe_generation *qe_generation_new_take(struct qe_config *config,
                                             struct qe_err *err) QE_MUST_CHECK;
/* Loads and checks a configuration file; on failure NULL, and the errors are appended, a line each.
 */
struct qe_generation *qe_generation_load(const char *path, struct qe_strbuf *errors) QE_MUST_CHECK;
struct qe_generation *qe_generation_acquire(struct qe_generation *generation);
void qe_generation_release(struct qe_generation *generation); /* any thread; accepts NULL */

#endif
