/* The dead-letter queues that our own consumers are configured with, as links of their queues: no
 * broker knows of them. Whoever lists a source adds them. */
#ifndef QE_APP_LINKS_H
#define QE_APP_LINKS_H

#include <stdbool.h>

#include "config/config.h"
#include "model/queue.h"

/* Adds them to the listed queues of `source`; `context` is the struct qe_config. (Shape of
 * qe_links_fn.) */
int qe_links_add(const void *context, const char *source, struct qe_queue_list *list,
                 struct qe_err *err) QE_MUST_CHECK;
/* Both configurations give the source the same links. */
bool qe_links_equal(const struct qe_config *a, const struct qe_config *b, const char *source);

#endif
