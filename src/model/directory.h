/* What a source's last list says, shared by the poller that lists and the consumers of the same
 * source: so they learn that a queue is another one now, and nobody else asks for it.
 *
 * Any thread may call any function; each has a reference of its own. What is handed on is an
 * immutable set, so the lock is held for a pointer copy. */
#ifndef QE_MODEL_DIRECTORY_H
#define QE_MODEL_DIRECTORY_H

#include <stdint.h>

#include "model/queue.h"
#include "util/err.h"

struct qe_directory;

/* Empty; the caller's reference. */
struct qe_directory *qe_directory_new(struct qe_err *err) QE_MUST_CHECK;
struct qe_directory *qe_directory_acquire(struct qe_directory *directory);
void qe_directory_release(struct qe_directory *directory); /* accepts NULL */

/* How often the source is listed; 0, as at first: nobody lists it. */
void qe_directory_set_interval(struct qe_directory *directory, int64_t interval_ms);
int64_t qe_directory_interval_ms(const struct qe_directory *directory);

/* A list has ended: with this set, or, NULL, without any ever. Acquires the set; an equal one that
 * is kept is put again as it is, and changes nothing. */
void qe_directory_put(struct qe_directory *directory, struct qe_queue_set *set);
/* Another number for each other set; 0: no list has ended yet. Costs one load. */
uint64_t qe_directory_version(const struct qe_directory *directory);
/* The last set, for the caller to release; NULL: none yet. *out_version is its version. */
struct qe_queue_set *qe_directory_get(struct qe_directory *directory, uint64_t *out_version);

#endif
