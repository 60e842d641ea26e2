/* Effectively once: a message whose key was handled already is acknowledged and not handled again.
 * The key is claimed when the message is received and finished before it is settled, so that a
 * crash in between leaves a duplicate that is skipped. All keys of a moment share one transaction.
 */
#include "consumer/consumer_internal.h"
#include "consumer/dedup_key.h"
#include "util/clock.h"
#include "util/mem.h"

#define TRIES_FIRST_MS 500 /* between two looks at a store that does not work */
#define TRIES_MAX_MS 10000
/* How long one waits whose key is in somebody's hands. */
#define BUSY_LOOK_MS 500
#define BUSY_LEAST_MS 10
/* A claim that could not be renewed is tried again after this part of its lease: a few seconds, so
 * that three tries are left. */
#define RENEW_AGAIN_PART 8

static void note_trouble(struct qe_consumer *consumer, const struct qe_err *err)
{
    const struct qe_backoff backoff = {.initial_ms = TRIES_FIRST_MS, .max_ms = TRIES_MAX_MS};

    qe_consumer_log_trouble(consumer, &consumer->once_trouble,
                            "the deduplication store does not work; nothing is handled until it "
                            "does",
                            err);
    consumer->once_works = false;
    consumer->receive_failures_in_row++;
    consumer->next_receive_mono_ms =
        qe_clock_mono_ms() + qe_backoff_ceiling_ms(&backoff, consumer->receive_failures_in_row);
}

static void note_recovery(struct qe_consumer *consumer)
{
    consumer->once_works = true;
    qe_consumer_log_recovery(consumer, &consumer->once_trouble,
                             "the deduplication store works again");
}

bool qe_once_ready(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    struct qe_err err = {0};

    if (consumer->once == NULL || consumer->once_works) {
        return true;
    }
    if (now_mono_ms < consumer->next_receive_mono_ms) {
        return false;
    }
    /* Before a message is received for nothing. */
    if (qe_dedup_store_look(consumer->once, &err) != 0) {
        note_trouble(consumer, &err);
        return false;
    }
    return true;
}

/* The job's key; NULL: it has none, and is handled like any other. */
static char *make_key(struct qe_consumer *consumer, const struct qe_message *message)
{
    const struct qe_dedup_by by = {.attribute = consumer->options.once.attribute,
                                   .pointer = consumer->options.once.pointer};
    struct qe_strbuf key;
    bool fell_back = false;
    struct qe_err err = {0};

    qe_strbuf_init(&key, 0);
    bool found = qe_dedup_key(&by, message, &key, &fell_back);

    if (fell_back || !found) {
        (void)qe_err_set(&err, QE_ERR_NOT_FOUND, "message %s", message->id);
        qe_consumer_log_trouble(consumer, &consumer->key_trouble,
                                found ? "a message has no deduplication key; its id is taken"
                                      : "a message has neither deduplication key nor id; a "
                                        "duplicate of it would be handled again",
                                &err);
    }
    char *text = found ? qe_strbuf_detach(&key) : NULL;

    qe_strbuf_deinit(&key);
    return text;
}

/* Where giving back costs nothing, it is looked at again soon; else when the other's claim has
 * ended, so that waiting brings it no closer to its dead-letter queue than it must. */
static int64_t busy_delay_ms(const struct qe_consumer *consumer, int64_t busy_ms)
{
    bool is_free = (consumer->options.driver->caps & QE_CAP_UNRECEIVE) != 0;

    if (busy_ms < BUSY_LEAST_MS) {
        return BUSY_LEAST_MS;
    }
    return is_free && busy_ms > BUSY_LOOK_MS ? BUSY_LOOK_MS : busy_ms;
}

/* now_mono_ms: before it was claimed. */
static void take_claim(struct qe_consumer *consumer, struct qe_job *job,
                       struct qe_dedup_claim *claim, int64_t now_mono_ms)
{
    switch (claim->state) {
    case QE_DEDUP_CLAIMED:
        job->claimed = true;
        job->token = claim->token;
        job->renew_at_mono_ms = now_mono_ms + consumer->options.once.lease_ms / 2;
        job->claim_lapse_mono_ms = now_mono_ms + consumer->options.once.lease_ms;
        break;
    case QE_DEDUP_HANDLED:
        job->duplicate = true;
        job->verdict = (struct qe_verdict){.verb = QE_SETTLE_ACK};
        job->handled.reply = claim->old_reply; /* whoever asked again has had no answer */
        claim->old_reply = (struct qe_strbuf){0};
        qe_outcome_count_reply(consumer, job);
        job->reply_due = job->handled.reply.length_bytes > 0 && job->message.reply_to[0] != '\0';
        job->has_verdict = true;
        break;
    case QE_DEDUP_BUSY:
    default:
        qe_outcome_give_back(job, busy_delay_ms(consumer, claim->busy_ms));
        break;
    }
}

void qe_once_admit(struct qe_consumer *consumer, size_t count)
{
    struct qe_dedup_claim *claims = consumer->claims;
    int64_t now = qe_clock_mono_ms();
    struct qe_err err = {0};
    size_t keys = 0;

    if (consumer->once == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        job->key = job->has_verdict ? NULL : make_key(consumer, &job->message);
        if (job->key != NULL) {
            claims[keys++] = (struct qe_dedup_claim){.key = job->key};
        }
    }
    int rc = keys == 0 ? 0 : qe_dedup_store_claim(consumer->once, claims, keys, &err);

    if (rc != 0) {
        note_trouble(consumer, &err);
    } else if (keys > 0) {
        note_recovery(consumer);
    }
    keys = 0;
    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        if (job->key != NULL && rc != 0) {
            qe_outcome_give_back(job, TRIES_FIRST_MS);
        } else if (job->key != NULL) {
            take_claim(consumer, job, &claims[keys], now);
        }
        if (job->key != NULL) {
            qe_strbuf_deinit(&claims[keys++].old_reply);
        }
    }
}

int qe_once_finish(struct qe_consumer *consumer, size_t count, struct qe_err *err)
{
    struct qe_dedup_claim *claims = consumer->claims;
    size_t keys = 0;

    for (size_t i = 0; i < count && consumer->once != NULL; i++) {
        const struct qe_job *job = consumer->picked[i];

        if (job->claimed) {
            const struct qe_strbuf *reply = &job->handled.reply;

            claims[keys++] =
                (struct qe_dedup_claim){.key = job->key,
                                        .token = job->token,
                                        .handled = job->verdict.verb == QE_SETTLE_ACK,
                                        .reply = reply->length_bytes > 0 ? reply->data : NULL,
                                        .reply_bytes = reply->length_bytes};
        }
    }
    if (keys == 0) {
        return 0;
    }
    if (qe_dedup_store_finish(consumer->once, claims, keys, err) != 0) {
        consumer->once_works = false; /* looked at again before the next receive */
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        consumer->picked[i]->claimed = false;
    }
    return 0;
}

/* Picks the jobs that run, or wait for a worker or a batch, and whose claims are due. */
static size_t pick_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    size_t count = 0;

    pthread_mutex_lock(&consumer->lock);
    for (size_t i = 0; i < consumer->jobs_count && consumer->in_hand_count > 0; i++) {
        struct qe_job *job = &consumer->jobs[i];

        if ((job->state == QE_JOB_WAITING || job->state == QE_JOB_RUNNING) && job->claimed &&
            job->renew_at_mono_ms <= now_mono_ms) {
            consumer->picked[count++] = job;
        }
    }
    pthread_mutex_unlock(&consumer->lock);
    return count;
}

void qe_once_renew_due(struct qe_consumer *consumer, int64_t now_mono_ms)
{
    const int64_t lease_ms = consumer->options.once.lease_ms;
    struct qe_err err = {0};
    size_t count = consumer->once == NULL ? 0 : pick_due(consumer, now_mono_ms);

    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        consumer->claims[i] = (struct qe_dedup_claim){.key = consumer->picked[i]->key,
                                                      .token = consumer->picked[i]->token};
    }
    bool renewed = qe_dedup_store_renew(consumer->once, consumer->claims, count, &err) == 0;

    for (size_t i = 0; i < count; i++) {
        struct qe_job *job = consumer->picked[i];

        job->renew_at_mono_ms =
            renewed ? now_mono_ms + lease_ms / 2 : qe_clock_mono_ms() + lease_ms / RENEW_AGAIN_PART;
        job->claim_lapse_mono_ms = renewed ? now_mono_ms + lease_ms : job->claim_lapse_mono_ms;
    }
    if (!renewed) {
        consumer->once_works = false; /* looked at again before the next receive */
        qe_consumer_log_trouble(consumer, &consumer->once_trouble,
                                "a message's claim was not renewed; it is tried again, and "
                                "a duplicate may be handled once the claim has ended",
                                &err);
    }
}
