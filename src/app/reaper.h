/* Ends consumers in the background: a handler may need its whole shutdown_timeout, and a reload
 * does not wait for it. */
#ifndef QE_APP_REAPER_H
#define QE_APP_REAPER_H

#include <stdint.h>

#include "app/generation.h"
#include "consumer/consumer.h"
#include "util/err.h"

struct qe_reaper;

/* Starts the thread. */
struct qe_reaper *qe_reaper_new(struct qe_err *err) QE_MUST_CHECK;
/* Takes a consumer that was told to stop, and the generation reference it ran on. Never fails:
 * without memory to queue it, it is ended right here, which may take until its deadline. Main
 * thread. */
void qe_reaper_take(struct qe_reaper *reaper, struct qe_consumer *consumer,
                    struct qe_generation *generation);
/* All that was taken ends by that deadline, if not before: who stops now waits for nothing that was
 * promised under an older configuration. Main thread. */
void qe_reaper_hurry(struct qe_reaper *reaper, int64_t deadline_mono_ms);
/* Waits until everything taken has ended; joins, frees; accepts NULL and half-built. */
void qe_reaper_destroy(struct qe_reaper *reaper);

#endif
