/* The made clock and the made queues: what a test sets, and what the made AWS of sqs_fake.h answers
 * from. Part of sqs_fake.h; not for itself. */
#ifndef QE_TESTS_UNIT_BACKEND_SQS_FAKE_QUEUES_H
#define QE_TESTS_UNIT_BACKEND_SQS_FAKE_QUEUES_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/sqs/watch.h"
#include "support/check.h"
#include "util/mem.h"

#define REGION "eu-west-1"
#define OWN "111111111111"
#define OTHER "222222222222"
#define START_MONO_MS INT64_C(1000000)
#define START_UNIX_MS INT64_C(1795311000000) /* a whole minute */

/* --- the clock --- */

static _Atomic int64_t s_mono_us = START_MONO_MS * 1000;

int64_t qe_clock_mono_us(void)
{
    return s_mono_us;
}

int64_t qe_clock_mono_ms(void)
{
    return s_mono_us / 1000;
}

int64_t qe_clock_unix_ms(void)
{
    return START_UNIX_MS + s_mono_us / 1000 - START_MONO_MS;
}

int qe_clock_cond_init(pthread_cond_t *cond)
{
    return pthread_cond_init(cond, NULL);
}

/* Short pauses pass at once; a wait for work really waits, but looks up now and then. */
bool qe_clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_mono_ms)
{
    struct timespec until = {0};

    if (deadline_mono_ms - qe_clock_mono_ms() <= 1000) {
        s_mono_us = deadline_mono_ms * 1000;
        return false;
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += until.tv_nsec < 980000000 ? 20000000 : 0;
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}

static inline void pass_ms(int64_t ms)
{
    s_mono_us += ms * 1000;
}

/* --- the queues --- */

struct fake_queue {
    const char *name;
    const char *account; /* NULL: OWN */
    unsigned ready;
    unsigned in_flight;
    unsigned delayed;
    unsigned retention;          /* 0: four days */
    const char *dead_letter_arn; /* NULL: none */
    bool is_hidden;              /* not listed */
    bool is_gone;
    enum qe_err_code refusal; /* of GetQueueAttributes; QE_OK: none */
    const char *refusal_code;
    const char *garbage;    /* the answer, when not NULL */
    const char *tags;       /* a JSON object; NULL: not allowed */
    double age;             /* CloudWatch's; 0: no value */
    const char *age_status; /* NULL: "Complete" */
};

#define FAKE_QUEUES_MAX 2000
#define FAKE_CALLS_MAX 64

struct fake {
    struct fake_queue queues[FAKE_QUEUES_MAX];
    size_t queues_count;
    size_t page_size; /* of ListQueues; 0: 1000 */
    bool has_endless_pages;
    const char *unknown_attribute; /* refused with InvalidAttributeName; "*": whatever is named */
    bool is_silent_about_it;       /* and does not say which */
    enum qe_err_code credentials;  /* why nothing can be begun */
    enum qe_err_code everything;   /* why every call fails; with: */
    const char *everything_code;
    enum qe_err_code ages;    /* why GetMetricData fails */
    const char *ages_garbage; /* GetMetricData's answer, when not NULL */
    bool ages_in_pages;       /* each value of a query on a page of its own */
    bool has_raw;             /* every answer to raw_operation is these bytes */
    enum qe_sqs_operation raw_operation;
    const void *raw;
    size_t raw_bytes;
    int64_t call_us;        /* what one call takes */
    size_t interrupt_after; /* so many answers; 0: never */

    struct qe_aws_observer observer;
    struct qe_aws_call *in_flight[FAKE_CALLS_MAX];
    size_t in_flight_count;
    size_t in_flight_most;
    size_t calls[QE_SQS_OPERATION_COUNT];
    size_t answers;
    size_t metrics_asked;
    bool is_interrupted;
    char last_list_body[512];
    char last_attributes_body[1024];
};
static struct fake s_fake;
/* Guards s_fake where the tagger's thread asks. */
static pthread_mutex_t s_fake_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *account_of(const struct fake_queue *queue)
{
    return queue->account == NULL ? OWN : queue->account;
}

static struct fake_queue *add_queue(const char *name)
{
    struct fake_queue *queue = &s_fake.queues[s_fake.queues_count++];

    *queue = (struct fake_queue){.name = name};
    return queue;
}

static void print_url(const struct fake_queue *queue, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, "https://sqs." REGION ".amazonaws.com/%s/%s", account_of(queue),
                   queue->name);
}

static struct fake_queue *queue_of_url(const char *url)
{
    char own[256];

    for (size_t i = 0; i < s_fake.queues_count; i++) {
        print_url(&s_fake.queues[i], own, sizeof own);
        if (strcmp(own, url) == 0) {
            return &s_fake.queues[i];
        }
    }
    return NULL;
}

#endif
