#include "app/reaper.h"

#include <pthread.h>
#include <stdbool.h>

#include "util/mem.h"

struct dying {
    struct dying *next;
    struct qe_consumer *consumer;     /* owned */
    struct qe_generation *generation; /* acquired */
};

struct qe_reaper {
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards dying, joined and stopping */
    pthread_cond_t changed;
    struct dying *dying;
    struct dying *joined; /* out of the list and waited for; not freed while it stands here */
    bool stopping;
};

static void end_consumer(struct qe_consumer *consumer, struct qe_generation *generation)
{
    qe_consumer_destroy(consumer);
    qe_generation_release(generation);
}

static void *reap(void *context)
{
    struct qe_reaper *reaper = context;
    bool more = true;

    while (more) {
        pthread_mutex_lock(&reaper->lock);
        while (reaper->dying == NULL && !reaper->stopping) {
            pthread_cond_wait(&reaper->changed, &reaper->lock);
        }
        struct dying *one = reaper->dying;
        if (one != NULL) {
            reaper->dying = one->next;
            reaper->joined = one;
        }
        pthread_mutex_unlock(&reaper->lock);
        more = one != NULL;
        if (more) {
            qe_consumer_join(one->consumer);
            pthread_mutex_lock(&reaper->lock);
            reaper->joined = NULL;
            pthread_mutex_unlock(&reaper->lock);
            end_consumer(one->consumer, one->generation);
            qe_free(one);
        }
    }
    return NULL;
}

struct qe_reaper *qe_reaper_new(struct qe_err *err)
{
    struct qe_reaper *reaper = qe_calloc(1, sizeof *reaper);

    if (reaper == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "reaper");
        return NULL;
    }
    pthread_mutex_init(&reaper->lock, NULL);
    pthread_cond_init(&reaper->changed, NULL);
    int rc = pthread_create(&reaper->thread, NULL, reap, reaper);
    reaper->started = rc == 0;
    if (rc != 0) {
        qe_err_set_errno(err, rc, "cannot start a thread");
        qe_reaper_destroy(reaper);
        return NULL;
    }
    return reaper;
}

void qe_reaper_take(struct qe_reaper *reaper, struct qe_consumer *consumer,
                    struct qe_generation *generation)
{
    struct dying *one = qe_calloc(1, sizeof *one);

    if (one == NULL) {
        end_consumer(consumer, generation);
        return;
    }
    one->consumer = consumer;
    one->generation = generation;
    pthread_mutex_lock(&reaper->lock);
    one->next = reaper->dying;
    reaper->dying = one;
    pthread_cond_signal(&reaper->changed);
    pthread_mutex_unlock(&reaper->lock);
}

void qe_reaper_hurry(struct qe_reaper *reaper, int64_t deadline_mono_ms)
{
    pthread_mutex_lock(&reaper->lock);
    if (reaper->joined != NULL) {
        qe_consumer_stop(reaper->joined->consumer, deadline_mono_ms);
    }
    for (struct dying *one = reaper->dying; one != NULL; one = one->next) {
        qe_consumer_stop(one->consumer, deadline_mono_ms);
    }
    pthread_mutex_unlock(&reaper->lock);
}

void qe_reaper_destroy(struct qe_reaper *reaper)
{
    if (reaper == NULL) {
        return;
    }
    if (reaper->started) {
        pthread_mutex_lock(&reaper->lock);
        reaper->stopping = true;
        pthread_cond_signal(&reaper->changed);
        pthread_mutex_unlock(&reaper->lock);
        pthread_join(reaper->thread, NULL);
    }
    pthread_cond_destroy(&reaper->changed);
    pthread_mutex_destroy(&reaper->lock);
    qe_free(reaper);
}
