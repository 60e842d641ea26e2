/* How many messages may be received yet: a bucket that fills by so many per second and holds one
 * second's worth. Over any t seconds it gives at most rate x (t + 1), and at least one; what is
 * returned does not count, as long as there is room for it. Pure. */
#ifndef QE_CONSUMER_BUCKET_H
#define QE_CONSUMER_BUCKET_H

#include <stddef.h>
#include <stdint.h>

struct qe_bucket {
    double per_second; /* 0: no limit */
    double level;
    double returned; /* and not in the level yet */
    int64_t filled_mono_ms;
};

/* Begins with one message's worth: a restart is no burst. */
void qe_bucket_init(struct qe_bucket *bucket, double per_second, int64_t now_mono_ms);
/* SIZE_MAX without a limit. */
size_t qe_bucket_room(struct qe_bucket *bucket, int64_t now_mono_ms);
/* More than there is room for becomes a debt, which the time to come pays. */
void qe_bucket_take(struct qe_bucket *bucket, size_t count);
/* Of what was taken, so much was not used. It is there again at a pace of at least 100 a second,
 * and not at once: whoever returns all that he takes must not go round without a pause. */
void qe_bucket_return(struct qe_bucket *bucket, size_t count);
/* When there is room for one; now or earlier when there is. */
int64_t qe_bucket_ready_mono_ms(const struct qe_bucket *bucket);

#endif
