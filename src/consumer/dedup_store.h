/* Which messages were handled already, by key: a table in a SQLite file that several consumers, in
 * several processes, may share. The only door to SQLite on this floor.
 *
 * A key is claimed before its message is handled, and finished after: handled keys stay for the
 * window, the others go. A claim ends by itself after QE_DEDUP_LEASE_MS unless it is renewed, so
 * that one who died does not hold it for ever. Times are those of the wall clock, which processes
 * share. One thread per handle; a call waits up to 2 s for a lock that another one holds. */
#ifndef QE_CONSUMER_DEDUP_STORE_H
#define QE_CONSUMER_DEDUP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/strbuf.h"

#define QE_DEDUP_LEASE_MS 30000
#define QE_DEDUP_KEY_MAX_BYTES 1024

enum qe_dedup_state {
    QE_DEDUP_CLAIMED = 0, /* ours to handle */
    QE_DEDUP_HANDLED,     /* a duplicate */
    QE_DEDUP_BUSY         /* somebody handles it right now */
};

/* One key in a call. */
struct qe_dedup_claim {
    const char *key;   /* borrowed; any bytes but NUL */
    int64_t token;     /* names this claim; set by claim */
    bool handled;      /* finish: it was, and is kept for the window; else it is forgotten */
    const char *reply; /* finish: kept with a handled key; borrowed, NULL: none */
    size_t reply_bytes;
    /* results of claim */
    enum qe_dedup_state state;
    int64_t busy_ms;            /* BUSY: until the claim of the other ends; a lease at most */
    struct qe_strbuf old_reply; /* HANDLED: owned by the caller; empty: none */
};

struct qe_dedup_store;
/* Touches no file yet: what is wrong with it is told by the first call. `path` may be ":memory:",
 * which ends with the handle. `scope` keeps the keys of one queue from those of another. Both are
 * copied. */
struct qe_dedup_store *qe_dedup_store_new(const char *path, const char *scope, int64_t window_ms,
                                          struct qe_err *err) QE_MUST_CHECK;
void qe_dedup_store_destroy(struct qe_dedup_store *store); /* accepts NULL */

/* Of claims from here on; else QE_DEDUP_LEASE_MS. */
void qe_dedup_store_set_lease(struct qe_dedup_store *store, int64_t lease_ms);

/* Each call but look is one transaction: on -1 nothing was changed, and the next call opens the
 * file anew. QE_ERR_TIMEOUT: locked; QE_ERR_LIMIT: the disk is full; QE_ERR_AUTH: it may not be
 * written; QE_ERR_INVALID: it is something else; QE_ERR_PROTOCOL: corrupt. */
/* Whether a lot of keys could be claimed now: writes more than that and takes it back, since a full
 * disk can be read, locked and asked, and only a commit tells. Removes some keys past their window.
 */
int qe_dedup_store_look(struct qe_dedup_store *store, struct qe_err *err) QE_MUST_CHECK;
int qe_dedup_store_claim(struct qe_dedup_store *store, struct qe_dedup_claim *claims, size_t count,
                         struct qe_err *err) QE_MUST_CHECK;
/* On 0 it is on the disk. */
int qe_dedup_store_finish(struct qe_dedup_store *store, const struct qe_dedup_claim *claims,
                          size_t count, struct qe_err *err) QE_MUST_CHECK;
/* Of a claim that was lost meanwhile, nothing is changed. */
int qe_dedup_store_renew(struct qe_dedup_store *store, const struct qe_dedup_claim *claims,
                         size_t count, struct qe_err *err) QE_MUST_CHECK;

#endif
