/* Who is connected to one listener, since when, and who has had enough time. libmicrohttpd only
 * closes clients that are silent; one that sends a byte now and then, or reads a byte now and
 * then, would hold its place for ever. Knows descriptors and times, nothing of HTTP. */
#ifndef QE_HTTP_GUARD_H
#define QE_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "util/err.h"

struct qe_guard_options {
    unsigned slots;          /* connections that can exist at all */
    unsigned max_active;     /* more than that: the newcomers are refused */
    unsigned max_per_client; /* per IPv4 address or IPv6 /64 */
    int64_t head_ms;         /* for a whole request to arrive */
    int64_t idle_ms;         /* between requests */
    int64_t reply_ms;        /* for a whole reply to be taken */
    int64_t refused_ms;      /* for a client that is only to be told no */
};

struct qe_guard;
struct qe_guard_slot; /* one connection */

/* Thread: every call from any thread. The lock inside is held for a walk over the slots and for
 * shutdown(), never for anything that waits. */
struct qe_guard *qe_guard_new(const struct qe_guard_options *options,
                              struct qe_err *err) QE_MUST_CHECK;
void qe_guard_destroy(struct qe_guard *guard); /* accepts NULL */

/* A connection has been accepted. When there is no room left, the connection that has idled
 * longest between two requests makes room. NULL when even the slots are used up: the connection
 * is then unguarded, which the library's own limits must prevent. */
struct qe_guard_slot *qe_guard_open(struct qe_guard *guard, int fd, const struct sockaddr *peer,
                                    int64_t now_mono_ms);
/* Must come before the descriptor is closed; accepts NULL, as the following do. */
void qe_guard_close(struct qe_guard *guard, struct qe_guard_slot *slot);

/* True when the connection came over a limit and is to be told so. */
bool qe_guard_is_refused(struct qe_guard *guard, const struct qe_guard_slot *slot);
/* A whole request has arrived, its reply begins: until qe_guard_idle() the reply's deadline holds.
 */
void qe_guard_busy(struct qe_guard *guard, struct qe_guard_slot *slot, int64_t now_mono_ms);
/* Without any deadline: it is us the client waits for. */
void qe_guard_pause(struct qe_guard *guard, struct qe_guard_slot *slot);
/* The reply has been sent (or given up). */
void qe_guard_idle(struct qe_guard *guard, struct qe_guard_slot *slot, int64_t now_mono_ms);

/* Shuts down every connection past its deadline; returns how many. */
size_t qe_guard_sweep(struct qe_guard *guard, int64_t now_mono_ms);

struct qe_guard_counts {
    size_t open; /* accepted and not yet closed */
    size_t busy; /* with a reply under way */
};
struct qe_guard_counts qe_guard_count(struct qe_guard *guard);

#endif
