#include "support/fake_driver.h"

#include <stdio.h>
#include <string.h>

#include "model/dead_letter.h"
#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"

struct handle {
    struct qe_fake *fake;
    bool interrupted; /* guarded by the fake's lock */
};

/* --- the driver; helpers want the lock held --- */

static int enter(struct qe_fake *fake, enum qe_fake_call call, struct qe_err *err)
{
    fake->calls[call]++;
    if (fake->fail_times[call] > 0) {
        fake->fail_times[call]--;
        return qe_err_set(err, fake->fail_code[call], "the fake was told to fail");
    }
    return 0;
}

static struct qe_fake_event *note(struct qe_fake *fake, enum qe_fake_call call, size_t message)
{
    /* The last place takes what does not fit; no test needs so many. */
    size_t place =
        fake->events_count < QE_FAKE_EVENTS_MAX ? fake->events_count++ : QE_FAKE_EVENTS_MAX - 1;

    fake->events[place] =
        (struct qe_fake_event){.call = call, .message = message, .at_mono_ms = qe_clock_mono_ms()};
    return &fake->events[place];
}

static int fake_create(const void *settings, const struct qe_deps *deps, void **out,
                       struct qe_err *err)
{
    /* The settings are the test's own, not constant: the cast gives back what it handed in. */
    union {
        const void *in; // cppcheck-suppress unusedStructMember
        struct qe_fake *out;
    } as = {.in = settings};

    (void)deps;
    pthread_mutex_lock(&as.out->lock);
    int rc = enter(as.out, QE_FAKE_CREATE, err);
    as.out->open_handles += rc == 0 ? 1 : 0;
    pthread_mutex_unlock(&as.out->lock);
    if (rc != 0) {
        return -1;
    }
    struct handle *handle = qe_calloc(1, sizeof *handle);
    assert_non_null(handle);
    handle->fake = as.out;
    *out = handle;
    return 0;
}

static void fake_destroy(void *self)
{
    struct handle *handle = self;

    if (handle != NULL) {
        pthread_mutex_lock(&handle->fake->lock);
        handle->fake->calls[QE_FAKE_DESTROY]++;
        handle->fake->open_handles--;
        qe_fake_requeue(handle->fake, handle);
        pthread_mutex_unlock(&handle->fake->lock);
        qe_free(handle);
    }
}

static void fake_interrupt(void *self)
{
    struct handle *handle = self;

    pthread_mutex_lock(&handle->fake->lock);
    handle->interrupted = true;
    (void)pthread_cond_broadcast(&handle->fake->changed);
    pthread_mutex_unlock(&handle->fake->lock);
}

static int list_one(const struct qe_fake_queue *from, const char *vhost, struct qe_queue_list *out,
                    struct qe_err *err)
{
    struct qe_queue *queue = qe_queue_list_add(out, err);

    if (queue == NULL || qe_queue_init(queue, vhost, from->name, from->kind, err) != 0) {
        return -1;
    }
    queue->dead_letter_known = true;
    return from->dead_letter_queue == NULL
               ? 0
               : qe_queue_add_link(queue, vhost, from->dead_letter_queue, err);
}

static int fake_list(void *self, int64_t deadline_mono_ms, struct qe_queue_list *out,
                     struct qe_err *err)
{
    struct qe_fake *fake = ((struct handle *)self)->fake;

    (void)deadline_mono_ms;
    pthread_mutex_lock(&fake->lock);
    int rc = enter(fake, QE_FAKE_LIST, err);
    for (size_t i = 0; rc == 0 && i < fake->queues_count; i++) {
        rc = list_one(&fake->queues[i], fake->vhost, out, err);
    }
    pthread_mutex_unlock(&fake->lock);
    return rc;
}

static int fake_find(void *self, const char *name, int64_t deadline_mono_ms, struct qe_queue *out,
                     struct qe_err *err)
{
    struct qe_fake *fake = ((struct handle *)self)->fake;

    (void)deadline_mono_ms;
    pthread_mutex_lock(&fake->lock);
    int rc = enter(fake, QE_FAKE_FIND, err);
    if (rc == 0) {
        rc = fake->can_find ? qe_queue_init(out, "", name, fake->queues[0].kind, err)
                            : qe_err_set(err, QE_ERR_UNSUPPORTED, "the fake only lists");
    }
    pthread_mutex_unlock(&fake->lock);
    return rc;
}

static int fake_sample(void *self, int64_t deadline_mono_ms, struct qe_batch *out,
                       struct qe_err *err)
{
    struct handle *handle = self;
    struct qe_fake *fake = handle->fake;
    bool in_time = true;

    pthread_mutex_lock(&fake->lock);
    int rc = enter(fake, QE_FAKE_SAMPLE, err);
    while (fake->stuck_sample) {
        (void)pthread_cond_wait(&fake->changed, &fake->lock);
    }
    while (rc == 0 && fake->hang_sample && in_time && !handle->interrupted) {
        in_time = qe_clock_cond_wait(&fake->changed, &fake->lock, deadline_mono_ms);
    }
    if (rc == 0 && handle->interrupted) {
        rc = qe_err_set(err, QE_ERR_CANCELLED, "interrupted");
        handle->interrupted = false;
    } else if (rc == 0 && !fake->hang_sample) {
        qe_fake_sample_all(fake, out);
    }
    pthread_mutex_unlock(&fake->lock);
    return rc;
}

static bool is_ready(const struct qe_fake_message *message, int64_t now_mono_ms)
{
    return !message->gone && !message->dead && message->visible_from_mono_ms <= now_mono_ms;
}

static void set_text(char **text, const char *value)
{
    if (value != NULL) {
        qe_free(*text);
        *text = qe_strdup(value);
        assert_non_null(*text);
    }
}

/* What a test may have said about a message. */
static int fill(const struct qe_fake_message *from, struct qe_message *message, struct qe_err *err)
{
    set_text(&message->group, from->group);
    set_text(&message->reply_to, from->reply_to);
    set_text(&message->correlation_id, from->correlation_id);
    set_text(&message->body, from->id);
    message->body_bytes = strlen(message->body);
    if (from->body_bytes > 0) {
        qe_free(message->body);
        message->body = qe_calloc(1, from->body_bytes + 1);
        assert_non_null(message->body);
        message->body_bytes = from->body_bytes;
    }
    if (from->customer != NULL &&
        qe_attributes_add(&message->attributes, "customer", from->customer, err) != 0) {
        return -1;
    }
    return from->simulate[0] == '\0'
               ? 0
               : qe_attributes_add(&message->attributes, "simulate", from->simulate, err);
}

static int deliver(struct qe_fake *fake, const void *holder, size_t index,
                   struct qe_message_list *out, struct qe_err *err)
{
    struct qe_fake_message *from = &fake->messages[index];
    struct qe_message *message = qe_message_list_add(out, err);
    char receipt[24];

    if (message == NULL) {
        return -1;
    }
    from->receives++;
    from->holder = holder;
    from->delivery = ++fake->deliveries;
    from->visible_from_mono_ms =
        fake->visibility_ms > 0 ? qe_clock_mono_ms() + fake->visibility_ms : INT64_MAX;
    (void)snprintf(receipt, sizeof receipt, "%llu", (unsigned long long)from->delivery);
    qe_free(message->id);
    qe_free(message->receipt);
    message->id = qe_strdup(fake->ids_by_copies && !from->is_copy ? "" : from->id);
    message->receipt = qe_strdup(receipt);
    message->receives = from->receives;
    message->sent_unix_ms = from->sent_unix_ms;
    message->enqueued_unix_ms = from->enqueued_unix_ms;
    message->visible_until_mono_ms = fake->visibility_ms > 0 ? from->visible_from_mono_ms : 0;
    message->tag = index;
    (void)note(fake, QE_FAKE_RECEIVE, index);
    return fill(from, message, err);
}

/* The message that is to be delivered next; SIZE_MAX: none. */
static size_t find_ready(const struct qe_fake *fake, int64_t now_mono_ms)
{
    size_t found = SIZE_MAX;

    for (size_t i = 0; i < fake->messages_count; i++) {
        const struct qe_fake_message *message = &fake->messages[i];

        if (is_ready(message, now_mono_ms) &&
            (found == SIZE_MAX || fake->newest_first ||
             (fake->by_time &&
              message->visible_from_mono_ms < fake->messages[found].visible_from_mono_ms))) {
            found = i;
        }
    }
    return found;
}

/* Ready messages now; *out_next: when the next one will be. */
static int deliver_ready(const struct handle *handle, size_t max, struct qe_message_list *out,
                         int64_t *out_next_mono_ms, struct qe_err *err)
{
    struct qe_fake *fake = handle->fake;
    int64_t now = qe_clock_mono_ms();

    *out_next_mono_ms = INT64_MAX;
    fake->largest_receive = max > fake->largest_receive ? max : fake->largest_receive;
    while (out->count < max) {
        const size_t index = find_ready(fake, now);

        if (index == SIZE_MAX) {
            break;
        }
        if (deliver(fake, handle, index, out, err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < fake->messages_count; i++) {
        const struct qe_fake_message *message = &fake->messages[i];

        if (!message->gone && !message->dead && message->visible_from_mono_ms < *out_next_mono_ms) {
            *out_next_mono_ms = message->visible_from_mono_ms;
        }
    }
    return 0;
}

static int fake_receive(void *self, const struct qe_queue *from, size_t max,
                        int64_t deadline_mono_ms, struct qe_message_list *out, struct qe_err *err)
{
    struct handle *handle = self;
    struct qe_fake *fake = handle->fake;

    (void)from;
    pthread_mutex_lock(&fake->lock);
    int rc = enter(fake, QE_FAKE_RECEIVE, err);
    while (rc == 0 && out->count == 0 && max > 0) {
        int64_t next = INT64_MAX;

        if (handle->interrupted) {
            handle->interrupted = false;
            rc = qe_err_set(err, QE_ERR_CANCELLED, "interrupted");
            break;
        }
        rc = deliver_ready(handle, max, out, &next, err);
        if (rc != 0 || out->count > 0 || qe_clock_mono_ms() >= deadline_mono_ms) {
            break;
        }
        (void)qe_clock_cond_wait(&fake->changed, &fake->lock,
                                 next < deadline_mono_ms ? next : deadline_mono_ms);
    }
    pthread_mutex_unlock(&fake->lock);
    return rc;
}

/* NULL when the receipt is of another delivery, or this one has lapsed and is up for grabs. */
static struct qe_fake_message *current(struct qe_fake *fake, const struct qe_message *message)
{
    struct qe_fake_message *found = &fake->messages[message->tag];
    char receipt[24];

    (void)snprintf(receipt, sizeof receipt, "%llu", (unsigned long long)found->delivery);
    return strcmp(receipt, message->receipt) == 0 && !found->gone && !found->dead ? found : NULL;
}

static void copy_note(const struct qe_attributes *notes, const char *name, char *out, size_t bytes)
{
    const char *value = notes == NULL ? NULL : qe_attributes_get(notes, name);

    (void)snprintf(out, bytes, "%s", value == NULL ? "" : value);
}

static int64_t delay_of(const struct qe_fake *fake, int64_t asked_ms)
{
    int64_t step_ms = fake->delay_step_ms;

    return step_ms > 0 ? (asked_ms + step_ms - 1) / step_ms * step_ms : asked_ms;
}

static void bury(struct qe_fake_message *found, const char *why, const struct qe_attributes *notes)
{
    found->dead = true;
    (void)snprintf(found->dead_reason, sizeof found->dead_reason, "%s", why);
    copy_note(notes, QE_DEAD_LETTER_FIRST_ERROR, found->first_error, sizeof found->first_error);
    copy_note(notes, QE_DEAD_LETTER_LAST_ERROR, found->last_error, sizeof found->last_error);
    copy_note(notes, QE_DEAD_LETTER_FIRST_SEEN, found->first_seen, sizeof found->first_seen);
}

static void settle_one(struct qe_fake *fake, const struct qe_queue *queue,
                       struct qe_settlement *settlement)
{
    struct qe_fake_message *message = current(fake, settlement->message);
    struct qe_fake_event *event = note(fake, QE_FAKE_SETTLE, settlement->message->tag);

    event->verb = settlement->verb;
    event->delay_ms = settlement->delay_ms;
    event->unhandled = settlement->unhandled;
    settlement->result = QE_SETTLED;
    if (message == NULL) {
        settlement->result = QE_SETTLE_STALE;
        (void)qe_err_set(&settlement->err, QE_ERR_NOT_FOUND, "stale receipt");
    } else if (settlement->verb == QE_SETTLE_ACK) {
        message->gone = true;
    } else if (settlement->verb == QE_SETTLE_RELEASE && !settlement->unhandled &&
               fake->delivery_limit > 0 && message->receives > fake->delivery_limit) {
        settlement->dead_lettered = true;
        bury(message, "delivery_limit", settlement->notes);
    } else if (settlement->verb == QE_SETTLE_RELEASE) {
        message->delivery = 0;
        message->is_copy = message->is_copy || settlement->delay_ms > 0;
        message->receives -= settlement->unhandled && !fake->counts_all ? 1 : 0;
        message->visible_from_mono_ms = qe_clock_mono_ms() + delay_of(fake, settlement->delay_ms);
    } else if (fake->heeds_links ? queue->links_count == 0 : !fake->has_dead_letter_queue) {
        settlement->result = QE_SETTLE_FAILED;
        (void)qe_err_set(&settlement->err, QE_ERR_UNSUPPORTED,
                         "the queue has no dead-letter queue");
    } else {
        bury(message, settlement->reason, settlement->notes);
        (void)snprintf(message->dead_queue, sizeof message->dead_queue, "%s",
                       fake->heeds_links ? queue->links[0].queue : "");
    }
    event->result = settlement->result;
}

static int fake_settle(void *self, const struct qe_queue *queue, struct qe_settlement *settlements,
                       size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_fake *fake = ((struct handle *)self)->fake;

    (void)deadline_mono_ms;
    pthread_mutex_lock(&fake->lock);
    int rc = enter(fake, QE_FAKE_SETTLE, err);
    fake->largest_settle = count > fake->largest_settle ? count : fake->largest_settle;
    for (size_t i = 0; i < count; i++) {
        if (rc != 0) {
            settlements[i].result = QE_SETTLE_FAILED;
            settlements[i].err = *err;
        } else {
            settle_one(fake, queue, &settlements[i]);
        }
    }
    (void)pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    return rc;
}

static void extend_one(struct qe_fake *fake, struct qe_extension *extension)
{
    struct qe_fake_message *found = current(fake, extension->message);

    note(fake, QE_FAKE_EXTEND, extension->message->tag)->delay_ms = extension->by_ms;
    if (found == NULL) {
        (void)qe_err_set(&extension->err, QE_ERR_NOT_FOUND, "stale receipt");
        return;
    }
    found->visible_from_mono_ms = qe_clock_mono_ms() + extension->by_ms;
    extension->message->visible_until_mono_ms = found->visible_from_mono_ms;
}

static int fake_extend(void *self, const struct qe_queue *queue, struct qe_extension *extensions,
                       size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_fake *fake = ((struct handle *)self)->fake;

    (void)queue;
    (void)deadline_mono_ms;
    pthread_mutex_lock(&fake->lock);
    int rc = enter(fake, QE_FAKE_EXTEND, err);
    for (size_t i = 0; i < count; i++) {
        extensions[i].err = *err;
        if (rc == 0) {
            extend_one(fake, &extensions[i]);
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return rc;
}

static void send_one(struct qe_fake *fake, const struct qe_queue *to, struct qe_outgoing *message)
{
    size_t attributes = message->attributes == NULL ? 0 : message->attributes->count;

    message->result = (struct qe_err){0};
    if (fake->missing_queue != NULL && strcmp(fake->missing_queue, to->name) == 0) {
        (void)qe_err_set(&message->result, QE_ERR_NOT_FOUND, "no queue %s", to->name);
    } else if (fake->attributes_max > 0 && attributes > fake->attributes_max) {
        (void)qe_err_set(&message->result, QE_ERR_LIMIT, "too many attributes");
    } else if (fake->sent_count < QE_FAKE_SENT_MAX) {
        struct qe_fake_sent *sent = &fake->sent[fake->sent_count++];

        *sent = (struct qe_fake_sent){.attributes_count = attributes};
        (void)snprintf(sent->queue, sizeof sent->queue, "%s", to->name);
        (void)snprintf(sent->body, sizeof sent->body, "%.*s", (int)message->body_bytes,
                       message->body);
        (void)snprintf(sent->correlation_id, sizeof sent->correlation_id, "%s",
                       message->correlation_id == NULL ? "" : message->correlation_id);
        copy_note(message->attributes, QE_DEAD_LETTER_REASON, sent->reason, sizeof sent->reason);
        copy_note(message->attributes, QE_DEAD_LETTER_SOURCE, sent->source, sizeof sent->source);
        copy_note(message->attributes, QE_DEAD_LETTER_FIRST_ERROR, sent->first_error,
                  sizeof sent->first_error);
        for (size_t i = 0; i < fake->messages_count; i++) {
            sent->gone += fake->messages[i].gone ? 1 : 0;
        }
    }
}

static int fake_send(void *self, const struct qe_queue *to, struct qe_outgoing *messages,
                     size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_fake *fake = ((struct handle *)self)->fake;

    (void)deadline_mono_ms;
    pthread_mutex_lock(&fake->lock);
    int rc = enter(fake, QE_FAKE_SEND, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        send_one(fake, to, &messages[i]);
    }
    pthread_mutex_unlock(&fake->lock);
    return rc;
}

const struct qe_driver qe_driver_fake = {.name = "fake",
                                         .caps = QE_CAP_LIST | QE_CAP_DEPTH | QE_CAP_DLQ_LINK |
                                                 QE_CAP_RECEIVE | QE_CAP_EXTEND | QE_CAP_DELAY |
                                                 QE_CAP_DEAD_LETTER | QE_CAP_UNRECEIVE,
                                         .create = fake_create,
                                         .list = fake_list,
                                         .find = fake_find,
                                         .sample = fake_sample,
                                         .send = fake_send,
                                         .receive = fake_receive,
                                         .settle = fake_settle,
                                         .extend = fake_extend,
                                         .interrupt = fake_interrupt,
                                         .destroy = fake_destroy};

const struct qe_driver qe_driver_fake_poor = {.name = "poor",
                                              .caps = QE_CAP_RECEIVE | QE_CAP_DELAY,
                                              .create = fake_create,
                                              .send = fake_send,
                                              .receive = fake_receive,
                                              .settle = fake_settle,
                                              .interrupt = fake_interrupt,
                                              .destroy = fake_destroy};

static const char *const s_fake_services[] = {"fake", NULL};

const struct qe_driver qe_driver_fake_billed = {
    .name = "billed",
    .caps = QE_CAP_LIST | QE_CAP_RECEIVE | QE_CAP_EXTEND | QE_CAP_DELAY | QE_CAP_DEAD_LETTER,
    .services = s_fake_services,
    .create = fake_create,
    .list = fake_list,
    .receive = fake_receive,
    .settle = fake_settle,
    .extend = fake_extend,
    .interrupt = fake_interrupt,
    .destroy = fake_destroy};
