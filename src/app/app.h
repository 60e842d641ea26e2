/* The composition root of the daemon: store, runtime, HTTP server, reload. The main thread owns it.
 */
#ifndef QE_APP_APP_H
#define QE_APP_APP_H

#include "app/flags.h"
#include "util/err.h"

struct qe_app;

/* Owns `generation` from the call on, even on failure. Binds the addresses first and starts the
 * pollers after, so that a port in use disturbs nothing. flags is borrowed and outlives the app.
 * Signals must already be blocked: threads start here. */
struct qe_generation;
struct qe_app *qe_app_new_take(const struct qe_flags *flags, struct qe_generation *generation,
                               struct qe_err *err) QE_MUST_CHECK;

/* Main thread: handles signals until SIGTERM or SIGINT, reloading on SIGHUP and on requests to
 * /-/reload. Then stops: no new receives, what is in hand gets shutdown_timeout. */
void qe_app_run(struct qe_app *app);

void qe_app_destroy(struct qe_app *app); /* accepts NULL and half-built */

/* Blocks the signals that qe_app_run() waits for, in this thread and all that it starts; ignores
 * SIGPIPE. */
int qe_app_block_signals(struct qe_err *err) QE_MUST_CHECK;

#endif
