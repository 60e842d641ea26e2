/* What the dlq commands share. */
#ifndef QE_QUEUECTL_DLQ_H
#define QE_QUEUECTL_DLQ_H

#include "dlq/filter.h"
#include "dlq/look.h"
#include "model/sample.h"
#include "queuectl/ctl.h"

#define CTL_PEEK_MAX 100000 /* they are all in memory at once */

/* Which messages are meant: options.filter. */
int ctl_take_reason(void *context, const char *value, struct qe_err *err);
int ctl_take_older(void *context, const char *value, struct qe_err *err);
int ctl_take_younger(void *context, const char *value, struct qe_err *err);
int ctl_take_filter_attribute(void *context, const char *value, struct qe_err *err);
int ctl_take_body_match(void *context, const char *value, struct qe_err *err);
/* clang-format off: it would set each brace on a line of its own. */
#define CTL_FLAGS_FILTER                                                                           \
    {"reason", "WORD",                                                                             \
     "only what was dead-lettered for this; repeatable, any of them; none: tells "                 \
     "no reason",                                                                                  \
     NULL, .take = ctl_take_reason},                                                               \
        {"older-than", "DURATION", "only what has been there for longer", NULL,                    \
         .take = ctl_take_older},                                                                  \
        {"younger-than", "DURATION", "only what came within it", NULL, .take = ctl_take_younger},  \
        {"attribute", "NAME=VALUE", "only with this attribute; repeatable, all of them", NULL,     \
         .take = ctl_take_filter_attribute},                                                       \
    {                                                                                              \
        "body-match", "REGEX", "only what this is found in; (?i) in front: in any case", NULL,     \
            .take = ctl_take_body_match                                                            \
    }
/* clang-format on */

/* Whether `queue` holds dead letters: some queue's link leads to it, and it is none of those that
 * send everything back after a while. Takes the items out of `list`, which is left empty. */
int ctl_is_dead_letter_queue(struct qe_queue_list *list, const struct qe_queue *queue, bool *out,
                             struct qe_err *err) QE_MUST_CHECK;

/* 1: the message is meant, 0: it is not, -1. */
int ctl_is_meant(const struct ctl *ctl, const struct qe_message *message,
                 struct qe_err *err) QE_MUST_CHECK;
/* Asks for consent where the source's broker cannot show messages without receiving them. */
int ctl_dlq_confirm_look(const struct ctl *ctl, const struct qe_queue *queue, uint64_t count,
                         struct qe_err *err) QE_MUST_CHECK;
/* How many messages can be looked at: what is received is kept in hand. */
size_t ctl_dlq_look_cap(const struct ctl *ctl);
struct ctl_visitor {
    int (*visit)(void *context, const struct qe_message *message, struct qe_err *err);
    void *context;
};
/* What the broker says of the queues now. Takes the items out of `list`; *out is {0} before, and
 * the caller's to deinit in any case. */
int ctl_dlq_sample_take(const struct ctl *ctl, struct qe_queue_list *list, struct qe_batch *out,
                        struct qe_err *err) QE_MUST_CHECK;
/* Says what the broker counts beside those that came, if anything. True: there are some that nobody
 * holds, so that what came may not be taken for all. */
bool ctl_dlq_tell_rest(const struct ctl *ctl, const struct qe_queue *queue, uint64_t seen,
                       const struct qe_dlq_rest *rest);
/* Says what could not be given back, if anything, and for how long others do not see it. */
void ctl_dlq_tell_kept(const struct qe_dlq_kept *kept);
/* What a look has seen, and what not. */
struct ctl_seen {
    size_t count;
    struct qe_dlq_rest rest;
};
/* Looks at up to `max` messages; see qe_dlq_look(). A wish to stop ends it well. *out is set in any
 * case. */
int ctl_dlq_look(const struct ctl *ctl, const struct qe_queue *queue, uint64_t max,
                 const struct ctl_visitor *visitor, struct ctl_seen *out,
                 struct qe_err *err) QE_MUST_CHECK;
/* Up to what number, for --look. */
int ctl_take_look(void *context, const char *value, struct qe_err *err);

#endif
