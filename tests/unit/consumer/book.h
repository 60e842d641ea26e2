/* Ordered groups on the fake broker, and a handler that writes down in which order it was called.
 */
#ifndef QE_TESTS_UNIT_CONSUMER_BOOK_H
#define QE_TESTS_UNIT_CONSUMER_BOOK_H

#include "unit/consumer/rig.h"

#define BOOK_HANDLED_MAX 1024
#define BOOK_KINDS_MAX 256

/* Ids are a group's letter, its message's number, and after "!" how often that fails before it does
 * not: "a07!2". */
struct book {
    pthread_mutex_t lock;
    char handled[BOOK_HANDLED_MAX][16]; /* with success, in order */
    size_t handled_count;
    struct {
        char id[16];
        unsigned times;
    } failed[BOOK_KINDS_MAX];
    size_t failed_count;
    int64_t retry_delay_ms;
    long pause_ms; /* of each handling */
};

/* With the lock held: it is to fail, and that is written down. */
static inline bool book_fails(struct book *book, const char *id)
{
    const char *wanted = strchr(id, '!');
    size_t at = 0;

    if (wanted == NULL) {
        return false;
    }
    while (at < book->failed_count && strcmp(book->failed[at].id, id) != 0) {
        at++;
    }
    if (at == book->failed_count) {
        assert_true(book->failed_count < BOOK_KINDS_MAX);
        (void)snprintf(book->failed[book->failed_count++].id, sizeof book->failed[at].id, "%s", id);
    }
    return book->failed[at].times++ < (unsigned)(wanted[1] - '0');
}

static inline void book_handle(void *self, const struct qe_message *const *messages, size_t count,
                               const struct qe_handling *handling, struct qe_handled *out)
{
    struct book *book = self;

    (void)handling;
    qe_fake_pause_ms(book->pause_ms);
    pthread_mutex_lock(&book->lock);
    for (size_t i = 0; i < count; i++) {
        const char *id = messages[i]->body; /* an id may be absent */

        out[i].outcome = QE_OUTCOME_SUCCESS;
        if (book_fails(book, id)) {
            out[i].outcome = QE_OUTCOME_RETRY;
            out[i].reason = QE_FAIL_HANDLER_ERROR;
            out[i].retry_delay_ms = book->retry_delay_ms;
        } else if (book->handled_count < BOOK_HANDLED_MAX) {
            (void)snprintf(book->handled[book->handled_count++], sizeof book->handled[0], "%s", id);
        }
    }
    pthread_mutex_unlock(&book->lock);
}

static inline void book_destroy(void *self)
{
    (void)self; /* the test's */
}

static const struct qe_handler s_book_handler = {
    .name = "book", .takes_batches = true, .handle = book_handle, .destroy = book_destroy};

static inline size_t book_count(struct book *book)
{
    pthread_mutex_lock(&book->lock);
    size_t count = book->handled_count;
    pthread_mutex_unlock(&book->lock);
    return count;
}

/* Where it stands; SIZE_MAX: not handled. */
static inline size_t book_find(struct book *book, const char *id)
{
    size_t found = SIZE_MAX;

    pthread_mutex_lock(&book->lock);
    for (size_t i = 0; i < book->handled_count; i++) {
        found = found == SIZE_MAX && strcmp(book->handled[i], id) == 0 ? i : found;
    }
    pthread_mutex_unlock(&book->lock);
    return found;
}

/* Of each group, number after number from 0. */
static inline void book_check(struct book *book, size_t groups)
{
    const size_t count = book_count(book); /* nothing is written any more */
    unsigned next[26] = {0};

    for (size_t i = 0; i < count; i++) {
        const char *id = book->handled[i];
        const size_t group = (size_t)(id[0] - 'a');
        const unsigned number = (unsigned)(id[1] - '0') * 10 + (unsigned)(id[2] - '0');

        assert_true(group < groups);
        if (number != next[group]) {
            for (size_t at = 0; at < count; at++) {
                print_error("%s ", book->handled[at]);
            }
            fail_msg("%s is not number %u of its group", id, next[group]);
        }
        next[group]++;
    }
}

static inline struct book *book_new(void)
{
    struct book *book = qe_calloc(1, sizeof *book);

    assert_non_null(book);
    assert_int_equal(pthread_mutex_init(&book->lock, NULL), 0);
    book->retry_delay_ms = 300;
    return book;
}

static inline void book_free(struct book *book)
{
    assert_int_equal(pthread_mutex_destroy(&book->lock), 0);
    qe_free(book);
}

static inline struct rig *rig_in_order(struct book *book, uint64_t workers)
{
    struct rig *rig = rig_new(workers);

    rig->options.order_by = "customer";
    rig->options.handler = &s_book_handler;
    rig->options.handler_self = book;
    rig->fake->by_time = true;
    return rig;
}

static const char *const s_groups[] = {"a", "b", "c", "d"};

static inline void send_one(struct rig *rig, size_t group, unsigned number, unsigned failures)
{
    const struct qe_fake_message like = {.customer = s_groups[group]};
    char id[16];

    (void)snprintf(id, sizeof id, failures > 0 ? "%s%02u!%u" : "%s%02u", s_groups[group], number,
                   failures);
    qe_fake_send_like(rig->fake, id, &like);
}

#endif
