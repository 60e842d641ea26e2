#include "backend/embedded/hub.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "util/clock.h"
#include "util/mem.h"

/* Generations are kept per queue modulo this: a wake-up too many costs one comparison. */
#define HUB_SLOTS 64

struct qe_hub {
    struct qe_hub *next; /* guarded by s_lock, as refs */
    char *key;           /* owned */
    size_t refs;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t wake;
    pthread_cond_t turn;
    bool taken;  /* somebody writes, or the turn is on its way to a waiter */
    bool handed; /* the turn waits for whichever of those waiters runs first that were there */
    uint64_t handovers;
    size_t waiting; /* for the turn */
    uint64_t generations[HUB_SLOTS];
};

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER; /* guards s_hubs */
static struct qe_hub *s_hubs;

static struct qe_hub *hub_new(const char *key)
{
    struct qe_hub *hub = qe_calloc(1, sizeof(*hub));

    if (hub == NULL) {
        return NULL;
    }
    hub->key = qe_strdup(key);
    if (hub->key == NULL) {
        goto no_key;
    }
    if (pthread_mutex_init(&hub->lock, NULL) != 0) {
        goto no_lock;
    }
    if (qe_clock_cond_init(&hub->wake) != 0) {
        goto no_wake;
    }
    if (qe_clock_cond_init(&hub->turn) == 0) {
        return hub;
    }
    (void)pthread_cond_destroy(&hub->wake);
no_wake:
    (void)pthread_mutex_destroy(&hub->lock);
no_lock:
    qe_free(hub->key);
no_key:
    qe_free(hub);
    return NULL;
}

static void hub_destroy(struct qe_hub *hub)
{
    (void)pthread_cond_destroy(&hub->turn);
    (void)pthread_cond_destroy(&hub->wake);
    (void)pthread_mutex_destroy(&hub->lock);
    qe_free(hub->key);
    qe_free(hub);
}

/* With s_lock held. */
static struct qe_hub *hub_find(const char *key)
{
    for (struct qe_hub *hub = s_hubs; hub != NULL; hub = hub->next) {
        if (strcmp(hub->key, key) == 0) {
            hub->refs++;
            return hub;
        }
    }
    return NULL;
}

struct qe_hub *qe_hub_acquire(const char *key, struct qe_err *err)
{
    pthread_mutex_lock(&s_lock);
    struct qe_hub *hub = hub_find(key);
    pthread_mutex_unlock(&s_lock);
    if (hub != NULL) {
        return hub;
    }

    struct qe_hub *fresh = hub_new(key);
    if (fresh == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "store %s: out of memory", key);
        return NULL;
    }
    pthread_mutex_lock(&s_lock);
    hub = hub_find(key); /* another thread may have been quicker */
    if (hub == NULL) {
        fresh->refs = 1;
        fresh->next = s_hubs;
        s_hubs = fresh;
        hub = fresh;
        fresh = NULL;
    }
    pthread_mutex_unlock(&s_lock);
    if (fresh != NULL) {
        hub_destroy(fresh);
    }
    return hub;
}

void qe_hub_release(struct qe_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    pthread_mutex_lock(&s_lock);
    bool last = --hub->refs == 0;
    if (last) {
        struct qe_hub **link = &s_hubs;

        while (*link != hub) {
            link = &(*link)->next;
        }
        *link = hub->next;
    }
    pthread_mutex_unlock(&s_lock);
    if (last) {
        hub_destroy(hub);
    }
}

static bool is_stopped(const atomic_bool *stop)
{
    return stop != NULL && atomic_load(stop);
}

bool qe_hub_take_turn(struct qe_hub *hub, int64_t deadline_mono_ms, const atomic_bool *stop)
{
    bool mine = true;

    pthread_mutex_lock(&hub->lock);
    if (!hub->taken) {
        hub->taken = true;
    } else {
        const uint64_t arrival = hub->handovers;
        bool in_time = true;

        /* A turn handed over before we came is not ours to snatch. One handed over since is never
         * refused, not even past the deadline: somebody must take it on. */
        hub->waiting++;
        while (!(hub->handed && hub->handovers > arrival) && in_time && !is_stopped(stop)) {
            in_time = qe_clock_cond_wait(&hub->turn, &hub->lock, deadline_mono_ms);
        }
        hub->waiting--;
        mine = hub->handed && hub->handovers > arrival;
        hub->handed = hub->handed && !mine;
    }
    pthread_mutex_unlock(&hub->lock);
    return mine;
}

void qe_hub_give_turn(struct qe_hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    if (hub->waiting > 0) {
        hub->handed = true;
        hub->handovers++;
        (void)pthread_cond_broadcast(&hub->turn);
    } else {
        hub->taken = false;
    }
    pthread_mutex_unlock(&hub->lock);
}

static size_t slot_of(int64_t queue_id)
{
    return (size_t)((uint64_t)queue_id % HUB_SLOTS);
}

uint64_t qe_hub_generation(struct qe_hub *hub, int64_t queue_id)
{
    pthread_mutex_lock(&hub->lock);
    uint64_t generation = hub->generations[slot_of(queue_id)];
    pthread_mutex_unlock(&hub->lock);
    return generation;
}

void qe_hub_notify(struct qe_hub *hub, int64_t queue_id)
{
    pthread_mutex_lock(&hub->lock);
    hub->generations[slot_of(queue_id)]++;
    (void)pthread_cond_broadcast(&hub->wake);
    pthread_mutex_unlock(&hub->lock);
}

void qe_hub_wait(struct qe_hub *hub, int64_t queue_id, uint64_t seen, int64_t deadline_mono_ms,
                 const atomic_bool *stop)
{
    bool in_time = true;

    pthread_mutex_lock(&hub->lock);
    while (hub->generations[slot_of(queue_id)] == seen && in_time && !is_stopped(stop)) {
        in_time = qe_clock_cond_wait(&hub->wake, &hub->lock, deadline_mono_ms);
    }
    pthread_mutex_unlock(&hub->lock);
}

void qe_hub_kick(struct qe_hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    (void)pthread_cond_broadcast(&hub->wake);
    (void)pthread_cond_broadcast(&hub->turn);
    pthread_mutex_unlock(&hub->lock);
}
