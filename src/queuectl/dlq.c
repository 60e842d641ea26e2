#include "queuectl/dlq.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "util/text.h"

int ctl_take_reason(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return qe_dlq_filter_add_reason(&options->filter, value, err);
}

static int take_age(const char *value, int64_t *out_ms, struct qe_err *err)
{
    if (qe_text_to_duration_ms(value, out_ms, err) != 0) {
        return -1;
    }
    return *out_ms > 0 ? 0 : qe_err_set(err, QE_ERR_INVALID, "must be more than 0");
}

int ctl_take_older(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return take_age(value, &options->filter.older_than_ms, err);
}

int ctl_take_younger(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return take_age(value, &options->filter.younger_than_ms, err);
}

int ctl_take_filter_attribute(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return ctl_take_pair(value, &options->filter.attributes, err);
}

int ctl_take_body_match(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;
    struct qe_regex *body = qe_regex_new_search(value, err);

    if (body == NULL) {
        return -1;
    }
    qe_regex_destroy(options->filter.body);
    options->filter.body = body;
    return 0;
}

int ctl_take_look(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    if (qe_text_to_u64(value, CTL_PEEK_MAX, &options->look, err) != 0) {
        return -1;
    }
    return options->look > 0 ? 0 : qe_err_set(err, QE_ERR_INVALID, "must be at least 1");
}

int ctl_is_meant(const struct ctl *ctl, const struct qe_message *message, struct qe_err *err)
{
    int rc = qe_dlq_filter_matches(&ctl->options.filter, message, qe_clock_unix_ms(), err);

    return rc >= 0 ? rc : qe_err_wrap(err, "message %s", qe_message_name(message));
}

int ctl_dlq_confirm_look(const struct ctl *ctl, const struct qe_queue *queue, uint64_t count,
                         struct qe_err *err)
{
    char question[640];
    char label[CTL_LABEL_BYTES];

    if ((ctl->driver->caps & QE_CAP_PEEK) != 0) {
        return 0;
    }
    (void)snprintf(
        question, sizeof question,
        "Type %s cannot show messages without receiving them: up to %" PRIu64
        " messages of %.200s are received, not to be seen by others meanwhile, and given "
        "back%s.",
        ctl->driver->name, count, ctl_label(ctl, queue, label),
        (ctl->driver->caps & QE_CAP_UNRECEIVE) != 0
            ? ""
            : "; each is then delivered once more than before");
    return ctl_confirm(ctl, question, err);
}

size_t ctl_dlq_look_cap(const struct ctl *ctl)
{
    return (ctl->driver->caps & QE_CAP_PEEK) != 0 ? CTL_PEEK_MAX : QE_DLQ_LOOK_MAX;
}

int ctl_dlq_sample_take(const struct ctl *ctl, struct qe_queue_list *list, struct qe_batch *out,
                        struct qe_err *err)
{
    struct qe_queue_set *set = NULL;
    int rc = -1;

    if ((ctl->driver->caps & QE_CAP_DEPTH) == 0) {
        (void)qe_err_set(err, QE_ERR_UNSUPPORTED, "depths cannot be read");
        return -1;
    }
    set = qe_queue_set_new_take(list, err);
    if (set != NULL && qe_batch_init(out, set, err) == 0) {
        rc = ctl->driver->sample(ctl->handle, ctl_deadline(ctl), out, err);
    }
    qe_queue_set_release(set);
    return rc;
}

bool ctl_dlq_tell_rest(const struct ctl *ctl, const struct qe_queue *queue, uint64_t seen,
                       const struct qe_dlq_rest *rest)
{
    char label[CTL_LABEL_BYTES];

    if (rest->ready + rest->in_flight == 0) {
        return false;
    }
    (void)fprintf(stderr,
                  "queuectl dlq: saw %" PRIu64 " of about %" PRIu64 " messages of %s: ", seen,
                  seen + rest->ready + rest->in_flight, ctl_label(ctl, queue, label));
    if (rest->ready > 0) {
        (void)fprintf(stderr, "%" PRIu64 " %s", rest->ready,
                      rest->is_behind ? "still waiting, behind others of their groups most likely"
                                      : "still ready: the broker is slow, or its count late; "
                                        "run it again");
    }
    if (rest->in_flight > 0) {
        (void)fprintf(stderr, "%s%" PRIu64 " in flight, held by somebody; run it again later",
                      rest->ready > 0 ? "; " : "", rest->in_flight);
    }
    (void)fputc('\n', stderr);
    return rest->ready > 0;
}

void ctl_dlq_tell_kept(const struct qe_dlq_kept *kept)
{
    const struct qe_unreturned *left = &kept->left;
    char span[32];

    (void)qe_text_from_duration((left->for_ms + 999) / 1000 * 1000, span);
    if (left->count > 0) {
        (void)fprintf(stderr,
                      "queuectl dlq: %zu could not be given back, and come back when their "
                      "visibility ends, %s%s: ",
                      left->count, left->for_ms > 0 ? "within " : "by their queue's timeout",
                      left->for_ms > 0 ? span : "");
        (void)ctl_write_safely(stderr, kept->why.message, strlen(kept->why.message));
        (void)fputc('\n', stderr);
    }
    if (left->in_doubt > 0) {
        (void)fprintf(stderr,
                      "queuectl dlq: requests for up to %zu%s were not answered: what they took "
                      "comes back within %s\n",
                      left->in_doubt, left->count > 0 ? " more" : "", span);
    }
}

static void tell_kept(void *context, const struct qe_dlq_kept *kept)
{
    (void)context;
    ctl_dlq_tell_kept(kept);
}

static bool is_stopped(void *context)
{
    (void)context;
    return ctl_stopped != 0;
}

static int visit_whole(void *context, const struct qe_message *message, struct qe_err *err)
{
    const struct ctl_visitor *visitor = context;

    ctl_hold_signals();
    int rc = visitor->visit(visitor->context, message, err);

    ctl_let_signals();
    return rc;
}

int ctl_dlq_look(const struct ctl *ctl, const struct qe_queue *queue, uint64_t max,
                 const struct ctl_visitor *visitor, struct ctl_seen *out, struct qe_err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    size_t cap = ctl_dlq_look_cap(ctl);

    *out = (struct ctl_seen){0};
    const struct qe_dlq_look look = {
        .driver = ctl->driver,
        .handle = ctl->handle,
        .queue = queue,
        .max = max < cap ? (size_t)max : cap,
        .call_timeout_ms = ctl->options.timeout_ms,
        .stopped = is_stopped,
        .visit = visit_whole,
        .kept = tell_kept,
        .context = &(struct ctl_visitor){visitor->visit, visitor->context},
    };

    if ((ctl->driver->caps & QE_CAP_PEEK) == 0 &&
        ctl_require(ctl, QE_CAP_RECEIVE, "receive", err) != 0) {
        return -1;
    }
    /* A reader that goes away is an error like any other: what is in hand is given back. */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return qe_dlq_look(&look, &out->count, &out->rest, err);
}
