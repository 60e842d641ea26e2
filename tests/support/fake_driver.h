/* A broker in a struct: a driver whose faults a test switches on, and that remembers what it was
 * told. driver_settings is the struct qe_fake. Any thread may call any function. */
#ifndef QE_TESTS_SUPPORT_FAKE_DRIVER_H
#define QE_TESTS_SUPPORT_FAKE_DRIVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

#define QE_FAKE_QUEUES_MAX 16
#define QE_FAKE_MESSAGES_MAX 2048
#define QE_FAKE_EVENTS_MAX 8192
#define QE_FAKE_SENT_MAX 256

enum qe_fake_call {
    QE_FAKE_CREATE = 0,
    QE_FAKE_DESTROY,
    QE_FAKE_LIST,
    QE_FAKE_FIND,
    QE_FAKE_SAMPLE,
    QE_FAKE_RECEIVE,
    QE_FAKE_SETTLE,
    QE_FAKE_EXTEND,
    QE_FAKE_SEND,
    QE_FAKE_CALL_COUNT
};

struct qe_fake_queue {
    const char *name;              /* static text, as below */
    const char *dead_letter_queue; /* NULL: none */
    enum qe_queue_kind kind;
    enum qe_err_code sample_error; /* this queue's reading fails so */
    bool is_skipped;               /* its reading is left out by plan */
    double observed_age_seconds;   /* what the last sample() was told; 0 before */
};

struct qe_fake_message {
    char id[32];
    char simulate[16]; /* the attribute; "" none */
    bool gone;         /* acknowledged */
    bool dead;         /* dead-lettered */
    bool is_copy;      /* was released with a delay */
    char dead_reason[160];
    char dead_queue[32]; /* which dead-letter queue it is in; "" none, or nobody asked for links */
    uint32_t receives;
    uint64_t delivery; /* what the receipt names; 0: not in flight */
    int64_t visible_from_mono_ms;
    const void *holder; /* the handle that it was last delivered to */
    int64_t sent_unix_ms;
    int64_t enqueued_unix_ms; /* 0: not told */
    const char *group;        /* static text; NULL: none; as the three below */
    const char *customer;     /* the attribute */
    const char *reply_to;
    const char *correlation_id;
    size_t body_bytes;    /* 0: the body is the id */
    char first_error[64]; /* notes of a dead letter; "" none */
    char last_error[64];
    char first_seen[32];
};

/* What was sent through the driver. */
struct qe_fake_sent {
    char queue[32];
    char body[32];
    char correlation_id[32];
    char reason[96]; /* dead-letter-reason, as the two below; "" none */
    char source[32];
    char first_error[64];
    size_t attributes_count;
    size_t gone; /* messages that were acknowledged by then */
};

/* What was told to the broker about a message, in order. */
struct qe_fake_event {
    enum qe_fake_call call; /* RECEIVE, SETTLE or EXTEND */
    size_t message;         /* index into messages */
    enum qe_settle_verb verb;
    int64_t delay_ms;
    bool unhandled;
    enum qe_settle_result result;
    int64_t at_mono_ms;
};

struct qe_fake {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct qe_fake_queue queues[QE_FAKE_QUEUES_MAX];
    size_t queues_count;
    const char *vhost;     /* static text: of them all; NULL: none */
    int64_t visibility_ms; /* 0: a delivery never lapses */
    int64_t delay_step_ms; /* delays are rounded up to a multiple of it; 0: they are not */
    bool by_time;          /* what may be had first comes first, as in a queue; else the oldest */
    bool newest_first;     /* of what may be had */
    bool ids_by_copies;    /* a message has its id from its first release with a delay on */
    bool has_dead_letter_queue;
    bool heeds_links;        /* it dead-letters where the links of the settled queue lead */
    uint32_t delivery_limit; /* a release past so many receives dead-letters; 0: none */
    bool can_find;           /* else find() leaves it to list() */
    bool hang_sample;        /* sample() answers for no queue before its deadline */
    bool stuck_sample;       /* sample() heeds neither deadline nor interrupt while this is true */
    unsigned fail_times[QE_FAKE_CALL_COUNT]; /* the next so many calls fail... */
    enum qe_err_code fail_code[QE_FAKE_CALL_COUNT];
    bool relist;                   /* the next batch asks for another list */
    enum qe_err_code facts_error;  /* sample() reads the queues, but not all about them */
    enum qe_err_code source_error; /* sample() reads the queues, and says that the source is down */
    unsigned calls[QE_FAKE_CALL_COUNT];
    unsigned open_handles;
    size_t largest_settle;
    struct qe_fake_message messages[QE_FAKE_MESSAGES_MAX];
    size_t messages_count;
    struct qe_fake_event events[QE_FAKE_EVENTS_MAX];
    size_t events_count;
    uint64_t deliveries;
    struct qe_fake_sent sent[QE_FAKE_SENT_MAX];
    size_t sent_count;
    const char *missing_queue; /* sending there fails; NULL: none */
    size_t attributes_max;     /* sending more fails; 0: any number */
    bool counts_all;           /* a receive that is given back unhandled, too */
    size_t largest_receive;
};

extern const struct qe_driver qe_driver_fake;
/* The same without dead-lettering and extending: a broker that can do little. */
extern const struct qe_driver qe_driver_fake_poor;
/* The same as the first, but whose owner sends a bill. */
extern const struct qe_driver qe_driver_fake_billed;

/* On the heap: it is large. Fails the test when it cannot. */
struct qe_fake *qe_fake_new(void);
/* Checks that every handle was destroyed. */
void qe_fake_destroy(struct qe_fake *fake);

void qe_fake_add_queue(struct qe_fake *fake, const char *name, const char *dead_letter_queue);
void qe_fake_set_sample_error(struct qe_fake *fake, size_t queue, enum qe_err_code code);
void qe_fake_fail(struct qe_fake *fake, enum qe_fake_call call, unsigned times,
                  enum qe_err_code code);
unsigned qe_fake_calls(struct qe_fake *fake, enum qe_fake_call call);
/* simulate may be NULL. */
void qe_fake_send(struct qe_fake *fake, const char *id, const char *simulate);
/* The same, with what else `like` says. */
void qe_fake_send_like(struct qe_fake *fake, const char *id, const struct qe_fake_message *like);
/* What was sent through the driver; nth from 0. False: not so many. */
bool qe_fake_sent(struct qe_fake *fake, size_t nth, struct qe_fake_sent *out);
struct qe_fake_message qe_fake_message(struct qe_fake *fake, size_t index);
/* Somebody else takes the message away. */
void qe_fake_delete(struct qe_fake *fake, size_t index);
/* Gives the message to "another consumer": the delivery in hand is stale from now on. */
void qe_fake_steal(struct qe_fake *fake, size_t index);
/* With the lock held: deliveries that never lapse end with the handle that has them. */
void qe_fake_requeue(struct qe_fake *fake, const void *holder);
/* With the lock held: fills a batch as the fake was told to. */
void qe_fake_sample_all(struct qe_fake *fake, struct qe_batch *out);
/* How many events of this kind message `index` (SIZE_MAX: any) has seen. */
size_t qe_fake_count_events(struct qe_fake *fake, enum qe_fake_call call, size_t index);
/* The nth (0: first) event of this kind on the message; false when there is none. */
bool qe_fake_event(struct qe_fake *fake, enum qe_fake_call call, size_t index, size_t nth,
                   struct qe_fake_event *out);
size_t qe_fake_count_gone(struct qe_fake *fake);

/* Looks every millisecond until `expression` holds; fails after far longer than any machine needs.
 */
#define QE_WAIT_FOR(expression)                                                                    \
    do {                                                                                           \
        for (int64_t until_ = qe_clock_mono_ms() + 20000; !(expression);) {                        \
            qe_fake_look_again(until_, #expression, __FILE__, __LINE__);                           \
        }                                                                                          \
    } while (0)
void qe_fake_look_again(int64_t until_mono_ms, const char *expression, const char *file, int line);
void qe_fake_pause_ms(long duration_ms);

#endif
