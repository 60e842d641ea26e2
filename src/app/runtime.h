/* What runs for one configuration: a poller per source, a consumer per configured queue. Applying a
 * new configuration leaves what did not change running. Main thread only. */
#ifndef QE_APP_RUNTIME_H
#define QE_APP_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "app/generation.h"
#include "model/store.h"
#include "util/err.h"

struct qe_runtime;

/* store is borrowed and outlives the runtime. Nothing runs yet. */
struct qe_runtime *qe_runtime_new(struct qe_store *store, struct qe_err *err) QE_MUST_CHECK;

/* Stops what `generation` no longer has or has differently, starts what is new. Consumers that end
 * get the old configuration's shutdown_timeout to finish what they hold, in the background; their
 * successors start at once, but for those that keep an order_by, which begin when they
 * have ended. Acquires `generation` for as long as anything runs on it. On -1 (out of
 * memory, no thread to be had) some sources or consumers may be missing; applying again retries
 * them. */
int qe_runtime_apply(struct qe_runtime *runtime, struct qe_generation *generation,
                     struct qe_err *err) QE_MUST_CHECK;

/* Stops everything: no new receives; what is in hand has until the deadline. Blocks until all
 * threads ended, but for pollers that hang. */
void qe_runtime_stop(struct qe_runtime *runtime, int64_t deadline_mono_ms);

/* Stops at once if not stopped; accepts NULL. False: a call to a source does not come back, and its
 * thread still uses the store, the statistics and its configuration: none of them may be freed. */
bool qe_runtime_destroy(struct qe_runtime *runtime) QE_MUST_CHECK;

#endif
