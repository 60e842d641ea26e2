/* The dead-letter queues that only the configuration knows of, and no broker: those of our own
 * consumers, as links of their queues, and those that a source names (`dead_letter_queues`), as
 * marks. Whoever lists a source adds them. */
#ifndef QE_APP_LINKS_H
#define QE_APP_LINKS_H

#include <stdbool.h>

#include "config/config.h"
#include "model/queue.h"

/* Adds them to the listed queues of `source`; `context` is the struct qe_config. (Shape of
 * qe_links_fn.) */
int qe_links_add(const void *context, const char *source, struct qe_queue_list *list,
                 struct qe_err *err) QE_MUST_CHECK;
/* Marks one queue, where nothing could be listed. */
void qe_links_mark(const struct qe_source_settings *source, struct qe_queue *queue);
/* Both configurations give the source the same links. */
bool qe_links_equal(const struct qe_config *a, const struct qe_config *b, const char *source);

#endif
