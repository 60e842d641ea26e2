/* How a request to /-/reload reaches the main thread, which alone may reload, and how its outcome
 * comes back. */
#ifndef QE_APP_RELOAD_H
#define QE_APP_RELOAD_H

#include "util/err.h"
#include "util/strbuf.h"

struct qe_reload;

/* Main thread: it is the one that requests will wake, with SIGHUP. */
struct qe_reload *qe_reload_new(struct qe_err *err) QE_MUST_CHECK;
void qe_reload_destroy(
    struct qe_reload *reload); /* after the last request returned; accepts NULL */

/* Any other thread: wakes the main thread and waits for a reload that began after this call. 0, or
 * -1 with the reasons. */
int qe_reload_request(struct qe_reload *reload, struct qe_strbuf *reason);

/* Main thread, around each reload, whoever asked for it. */
void qe_reload_begin(struct qe_reload *reload);
void qe_reload_end(struct qe_reload *reload, int rc, const char *reason);
/* Main thread: from now on requests fail at once. */
void qe_reload_close(struct qe_reload *reload);

#endif
