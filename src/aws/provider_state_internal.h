/* What a provider holds: provider.c keeps and renews credentials, provider_lookup.c answers what
 * else its settings say. */
#ifndef QE_AWS_PROVIDER_STATE_INTERNAL_H
#define QE_AWS_PROVIDER_STATE_INTERNAL_H

#include <pthread.h>

#include "aws/provider_internal.h"
#include "util/clock.h"
#include "util/repeat.h"

struct qe_aws_provider {
    struct qe_aws_provider *next; /* in s_registry; guarded by s_registry_lock */
    size_t refs;                  /* guarded by s_registry_lock */

    struct qe_aws_self self;          /* set once */
    const struct qe_aws_world *world; /* set once; borrowed */

    pthread_mutex_t lock;               /* guards all below; held for no I/O and no allocation */
    pthread_cond_t renewed;             /* a renewal has ended, well or not */
    struct qe_aws_credentials *current; /* owned; NULL: none yet */
    int64_t usable_until_unix_ms;       /* 0: for ever */
    int64_t renew_at_unix_ms;           /* 0: never */
    int64_t next_try_mono_ms;           /* after a failure: not before */
    int64_t backoff_ms;                 /* of the failure after this one */
    int64_t refused_until_mono_ms;      /* refused again before that: the same keys, no news */
    bool is_refused;                    /* current is to be renewed for that reason */
    bool was_refused;                   /* current, at least once */
    bool is_renewing;
    bool warned_of_plain_http;
    uint64_t failures;
    struct qe_err last_err; /* of the last renewal that failed */
    struct qe_repeat repeat;
    struct qe_random random;
};

#endif
