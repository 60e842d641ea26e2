/* One reading of one queue, with a mask of what is known. Unknown is absent, never 0. */
#ifndef QE_MODEL_SAMPLE_H
#define QE_MODEL_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

/* Units are the name's last word. Counts are exact up to 2^53. */
enum qe_field {
    QE_FIELD_READY_MESSAGES = 0,
    QE_FIELD_IN_FLIGHT_MESSAGES,
    QE_FIELD_DELAYED_MESSAGES,
    QE_FIELD_IN_FLIGHT_LIMIT_MESSAGES,
    QE_FIELD_OLDEST_AGE_SECONDS,
    QE_FIELD_RETENTION_SECONDS,
    QE_FIELD_VISIBILITY_TIMEOUT_SECONDS,
    QE_FIELD_DELIVERY_DELAY_SECONDS,
    QE_FIELD_MAX_LENGTH_MESSAGES,
    QE_FIELD_MAX_LENGTH_BYTES,
    QE_FIELD_SIZE_BYTES,
    QE_FIELD_CONSUMERS,
    QE_FIELD_PUBLISHED_TOTAL, /* true broker counters only */
    QE_FIELD_DELIVERED_TOTAL,
    QE_FIELD_ACKNOWLEDGED_TOTAL,
    QE_FIELD_REDELIVERED_TOTAL,
    QE_FIELD_MAX_RECEIVES,                 /* receives before the broker dead-letters */
    QE_FIELD_DEAD_LETTER_PENDING_MESSAGES, /* dead-lettered, and still kept here: no queue has
                                              confirmed them yet */
    QE_FIELD_COUNT
};

/* How the oldest age is known; the `method` label. */
enum qe_age_method {
    QE_AGE_BROKER = 0,
    QE_AGE_CLOUDWATCH,
    QE_AGE_HEAD_TIMESTAMP,
    QE_AGE_CONSUMER,
    QE_AGE_ESTIMATE,
    QE_AGE_METHOD_COUNT
};
const char *qe_age_method_name(enum qe_age_method method);

struct qe_sample {
    uint32_t known; /* bit per enum qe_field */
    enum qe_age_method age_method;
    double age_lag_seconds; /* how long before this reading the oldest age was true; 0: of now */
    double values[QE_FIELD_COUNT]; /* meaningless where not known */
};

static inline bool qe_sample_has(const struct qe_sample *sample, enum qe_field field)
{
    return (sample->known & (UINT32_C(1) << (unsigned)field)) != 0;
}

static inline void qe_sample_set(struct qe_sample *sample, enum qe_field field, double value)
{
    sample->known |= UINT32_C(1) << (unsigned)field;
    sample->values[field] = value;
}

static inline void qe_sample_unset(struct qe_sample *sample, enum qe_field field)
{
    sample->known &= ~(UINT32_C(1) << (unsigned)field);
}

#endif
