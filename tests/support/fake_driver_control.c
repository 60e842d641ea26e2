/* The fake broker from a test's side: making it, telling it what to do, asking what it saw. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/check.h"
#include "support/fake_driver.h"
#include "util/clock.h"
#include "util/mem.h"

void qe_fake_pause_ms(long duration_ms)
{
    struct timespec pause = {.tv_sec = duration_ms / 1000, .tv_nsec = duration_ms % 1000 * 1000000};

    (void)nanosleep(&pause, NULL);
}

void qe_fake_look_again(int64_t until_mono_ms, const char *expression, const char *file, int line)
{
    if (qe_clock_mono_ms() > until_mono_ms) {
        print_error("%s:%d: never came true: %s\n", file, line, expression);
        _fail(file, line);
    }
    qe_fake_pause_ms(1);
}

struct qe_fake *qe_fake_new(void)
{
    struct qe_fake *fake = qe_calloc(1, sizeof *fake);

    assert_non_null(fake);
    assert_int_equal(pthread_mutex_init(&fake->lock, NULL), 0);
    assert_int_equal(qe_clock_cond_init(&fake->changed), 0);
    fake->visibility_ms = 30000;
    fake->has_dead_letter_queue = true;
    return fake;
}

void qe_fake_destroy(struct qe_fake *fake)
{
    assert_int_equal(fake->open_handles, 0);
    (void)pthread_cond_destroy(&fake->changed);
    (void)pthread_mutex_destroy(&fake->lock);
    qe_free(fake);
}

/* --- what tests say and ask --- */

void qe_fake_add_queue(struct qe_fake *fake, const char *name, const char *dead_letter_queue)
{
    pthread_mutex_lock(&fake->lock);
    fake->queues[fake->queues_count++] =
        (struct qe_fake_queue){.name = name, .dead_letter_queue = dead_letter_queue};
    pthread_mutex_unlock(&fake->lock);
}

void qe_fake_set_sample_error(struct qe_fake *fake, size_t queue, enum qe_err_code code)
{
    pthread_mutex_lock(&fake->lock);
    fake->queues[queue].sample_error = code;
    pthread_mutex_unlock(&fake->lock);
}

void qe_fake_fail(struct qe_fake *fake, enum qe_fake_call call, unsigned times,
                  enum qe_err_code code)
{
    pthread_mutex_lock(&fake->lock);
    fake->fail_times[call] = times;
    fake->fail_code[call] = code;
    pthread_mutex_unlock(&fake->lock);
}

unsigned qe_fake_calls(struct qe_fake *fake, enum qe_fake_call call)
{
    pthread_mutex_lock(&fake->lock);
    unsigned calls = fake->calls[call];
    pthread_mutex_unlock(&fake->lock);
    return calls;
}

void qe_fake_send_like(struct qe_fake *fake, const char *id, const struct qe_fake_message *like)
{
    pthread_mutex_lock(&fake->lock);
    struct qe_fake_message *message = &fake->messages[fake->messages_count++];

    *message = *like;
    (void)snprintf(message->id, sizeof message->id, "%s", id);
    message->sent_unix_ms = qe_clock_unix_ms();
    if (like->visible_from_mono_ms == 0) {
        message->visible_from_mono_ms = qe_clock_mono_ms();
    }
    (void)pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
}

void qe_fake_send(struct qe_fake *fake, const char *id, const char *simulate)
{
    struct qe_fake_message like = {.id = ""};

    (void)snprintf(like.simulate, sizeof like.simulate, "%s", simulate == NULL ? "" : simulate);
    qe_fake_send_like(fake, id, &like);
}

bool qe_fake_sent(struct qe_fake *fake, size_t nth, struct qe_fake_sent *out)
{
    pthread_mutex_lock(&fake->lock);
    bool is_there = nth < fake->sent_count;

    if (is_there) {
        *out = fake->sent[nth];
    }
    pthread_mutex_unlock(&fake->lock);
    return is_there;
}

struct qe_fake_message qe_fake_message(struct qe_fake *fake, size_t index)
{
    pthread_mutex_lock(&fake->lock);
    struct qe_fake_message message = fake->messages[index];
    pthread_mutex_unlock(&fake->lock);
    return message;
}

void qe_fake_delete(struct qe_fake *fake, size_t index)
{
    pthread_mutex_lock(&fake->lock);
    fake->messages[index].gone = true;
    pthread_mutex_unlock(&fake->lock);
}

void qe_fake_steal(struct qe_fake *fake, size_t index)
{
    pthread_mutex_lock(&fake->lock);
    fake->messages[index].delivery = ++fake->deliveries;
    fake->messages[index].visible_from_mono_ms = INT64_MAX;
    pthread_mutex_unlock(&fake->lock);
}

void qe_fake_requeue(struct qe_fake *fake, const void *holder)
{
    for (size_t i = 0; i < fake->messages_count; i++) {
        struct qe_fake_message *message = &fake->messages[i];

        if (message->holder == holder && message->visible_from_mono_ms == INT64_MAX) {
            message->visible_from_mono_ms = 0;
        }
    }
    (void)pthread_cond_broadcast(&fake->changed);
}

bool qe_fake_event(struct qe_fake *fake, enum qe_fake_call call, size_t index, size_t nth,
                   struct qe_fake_event *out)
{
    bool found = false;

    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < fake->events_count && !found; i++) {
        const struct qe_fake_event *event = &fake->events[i];

        if (event->call == call && (index == SIZE_MAX || event->message == index)) {
            found = nth == 0;
            nth -= found ? 0 : 1;
            *out = *event;
        }
    }
    pthread_mutex_unlock(&fake->lock);
    return found;
}

size_t qe_fake_count_events(struct qe_fake *fake, enum qe_fake_call call, size_t index)
{
    size_t count = 0;

    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < fake->events_count; i++) {
        const struct qe_fake_event *event = &fake->events[i];

        count += event->call == call && (index == SIZE_MAX || event->message == index) ? 1 : 0;
    }
    pthread_mutex_unlock(&fake->lock);
    return count;
}

size_t qe_fake_count_gone(struct qe_fake *fake)
{
    size_t count = 0;

    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < fake->messages_count; i++) {
        count += fake->messages[i].gone ? 1 : 0;
    }
    pthread_mutex_unlock(&fake->lock);
    return count;
}
