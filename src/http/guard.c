#include "http/guard.h"

#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

#include "util/mem.h"

#define CLIENT_KEY_BYTES 8

enum state {
    STATE_FREE = 0,
    STATE_HEAD,    /* its first request is arriving */
    STATE_BUSY,    /* a reply is under way */
    STATE_IDLE,    /* between requests, or the next one is arriving */
    STATE_REFUSED, /* over a limit: told no and closed */
    STATE_CUT      /* shut down by us, not yet closed by the library */
};

struct qe_guard_slot {
    enum state state;
    int fd;
    int64_t deadline_mono_ms;
    int64_t since_mono_ms; /* of the state */
    unsigned char family;
    unsigned char client[CLIENT_KEY_BYTES];
};

struct qe_guard {
    pthread_mutex_t lock; /* guards the slots */
    struct qe_guard_options options;
    struct qe_guard_slot *slots; /* owned; options.slots of them */
};

struct qe_guard *qe_guard_new(const struct qe_guard_options *options, struct qe_err *err)
{
    struct qe_guard *guard = qe_calloc(1, sizeof *guard);
    struct qe_guard_slot *slots = qe_calloc(options->slots, sizeof *slots);

    if (guard == NULL || slots == NULL || pthread_mutex_init(&guard->lock, NULL) != 0) {
        qe_err_set(err, QE_ERR_NOMEM, "connection table");
        qe_free(slots);
        qe_free(guard);
        return NULL;
    }
    guard->options = *options;
    guard->slots = slots;
    return guard;
}

void qe_guard_destroy(struct qe_guard *guard)
{
    if (guard == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&guard->lock);
    qe_free(guard->slots);
    qe_free(guard);
}

/* One host commonly owns a whole IPv6 /64, so that is what counts as one client. */
static void set_client(struct qe_guard_slot *slot, const struct sockaddr *peer)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memset(slot->client, 0, sizeof slot->client);
    slot->family = 0;
    if (peer != NULL && peer->sa_family == AF_INET) {
        memcpy(&v4, peer, sizeof v4);
        slot->family = 4;
        memcpy(slot->client, &v4.sin_addr, sizeof v4.sin_addr);
    } else if (peer != NULL && peer->sa_family == AF_INET6) {
        memcpy(&v6, peer, sizeof v6);
        bool mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
        slot->family = mapped ? 4 : 6;
        memcpy(slot->client, v6.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
    }
}

static bool is_active(const struct qe_guard_slot *slot)
{
    return slot->state == STATE_HEAD || slot->state == STATE_BUSY || slot->state == STATE_IDLE;
}

static bool is_same_client(const struct qe_guard_slot *a, const struct qe_guard_slot *b)
{
    return a->family == b->family && memcmp(a->client, b->client, sizeof a->client) == 0;
}

/* Under the lock: the descriptor cannot have been closed and given to somebody else meanwhile. */
static void cut(struct qe_guard_slot *slot)
{
    slot->state = STATE_CUT;
    (void)shutdown(slot->fd, SHUT_RDWR);
}

static void enter(struct qe_guard_slot *slot, enum state state, int64_t now_mono_ms,
                  int64_t allowed_ms)
{
    slot->state = state;
    slot->since_mono_ms = now_mono_ms;
    slot->deadline_mono_ms = now_mono_ms + allowed_ms;
}

/* The connection that has idled longest; `like` not NULL: among that client's. */
static struct qe_guard_slot *longest_idle(struct qe_guard *guard, const struct qe_guard_slot *like)
{
    struct qe_guard_slot *found = NULL;

    for (unsigned i = 0; i < guard->options.slots; i++) {
        struct qe_guard_slot *slot = &guard->slots[i];
        if (slot->state != STATE_IDLE || (like != NULL && !is_same_client(slot, like))) {
            continue;
        }
        if (found == NULL || slot->since_mono_ms < found->since_mono_ms) {
            found = slot;
        }
    }
    return found;
}

/* Room for a newcomer, if need be by closing what idles. */
static bool make_room(struct qe_guard *guard, const struct qe_guard_slot *newcomer)
{
    unsigned active = 0;
    unsigned same = 0;

    for (unsigned i = 0; i < guard->options.slots; i++) {
        if (is_active(&guard->slots[i])) {
            active++;
            same += is_same_client(&guard->slots[i], newcomer) ? 1 : 0;
        }
    }
    bool client_full = same >= guard->options.max_per_client;
    if (!client_full && active < guard->options.max_active) {
        return true;
    }
    struct qe_guard_slot *victim = longest_idle(guard, client_full ? newcomer : NULL);
    if (victim == NULL) {
        return false;
    }
    cut(victim);
    return true;
}

struct qe_guard_slot *qe_guard_open(struct qe_guard *guard, int fd, const struct sockaddr *peer,
                                    int64_t now_mono_ms)
{
    struct qe_guard_slot *slot = NULL;

    (void)pthread_mutex_lock(&guard->lock);
    for (unsigned i = 0; i < guard->options.slots && slot == NULL; i++) {
        if (guard->slots[i].state == STATE_FREE) {
            slot = &guard->slots[i];
        }
    }
    if (slot != NULL) {
        slot->fd = fd;
        set_client(slot, peer);
        if (make_room(guard, slot)) {
            enter(slot, STATE_HEAD, now_mono_ms, guard->options.head_ms);
        } else {
            enter(slot, STATE_REFUSED, now_mono_ms, guard->options.refused_ms);
        }
    }
    (void)pthread_mutex_unlock(&guard->lock);
    return slot;
}

void qe_guard_close(struct qe_guard *guard, struct qe_guard_slot *slot)
{
    if (slot == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&guard->lock);
    slot->state = STATE_FREE;
    slot->fd = -1;
    (void)pthread_mutex_unlock(&guard->lock);
}

bool qe_guard_is_refused(struct qe_guard *guard, const struct qe_guard_slot *slot)
{
    if (slot == NULL) {
        return true;
    }
    (void)pthread_mutex_lock(&guard->lock);
    bool refused = slot->state == STATE_REFUSED;
    (void)pthread_mutex_unlock(&guard->lock);
    return refused;
}

/* What was cut stays cut, what is refused keeps its short deadline. */
static void change(struct qe_guard *guard, struct qe_guard_slot *slot, enum state state,
                   int64_t now_mono_ms, int64_t allowed_ms)
{
    if (slot == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&guard->lock);
    if (is_active(slot)) {
        enter(slot, state, now_mono_ms, allowed_ms);
    }
    (void)pthread_mutex_unlock(&guard->lock);
}

void qe_guard_busy(struct qe_guard *guard, struct qe_guard_slot *slot, int64_t now_mono_ms)
{
    change(guard, slot, STATE_BUSY, now_mono_ms, guard->options.reply_ms);
}

void qe_guard_pause(struct qe_guard *guard, struct qe_guard_slot *slot)
{
    change(guard, slot, STATE_BUSY, 0, INT64_MAX);
}

void qe_guard_idle(struct qe_guard *guard, struct qe_guard_slot *slot, int64_t now_mono_ms)
{
    /* The library closes at idle_ms of silence; whoever began to send before that gets head_ms. */
    change(guard, slot, STATE_IDLE, now_mono_ms, guard->options.idle_ms + guard->options.head_ms);
}

size_t qe_guard_sweep(struct qe_guard *guard, int64_t now_mono_ms)
{
    size_t cut_count = 0;

    (void)pthread_mutex_lock(&guard->lock);
    for (unsigned i = 0; i < guard->options.slots; i++) {
        struct qe_guard_slot *slot = &guard->slots[i];
        if (slot->state == STATE_FREE || slot->state == STATE_CUT ||
            slot->deadline_mono_ms > now_mono_ms) {
            continue;
        }
        cut(slot);
        cut_count++;
    }
    (void)pthread_mutex_unlock(&guard->lock);
    return cut_count;
}

struct qe_guard_counts qe_guard_count(struct qe_guard *guard)
{
    struct qe_guard_counts counts = {0};

    (void)pthread_mutex_lock(&guard->lock);
    for (unsigned i = 0; i < guard->options.slots; i++) {
        counts.open += guard->slots[i].state == STATE_FREE ? 0 : 1;
        counts.busy += guard->slots[i].state == STATE_BUSY ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&guard->lock);
    return counts;
}
