/* What the files of the server share; the libmicrohttpd side of it. */
#ifndef QE_HTTP_SERVER_INTERNAL_H
#define QE_HTTP_SERVER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <microhttpd.h>

#include "http/guard.h"
#include "http/request.h"
#include "http/server.h"
#include "http/worker.h"

/* One address: one daemon with one poll() thread. Not epoll: libmicrohttpd up to 1.0.1 sleeps when
 * one epoll_wait() returns exactly 128 events. */
struct qe_http_listener {
    struct qe_http_server *server; /* borrowed */
    struct MHD_Daemon *daemon;     /* owned */
    struct qe_guard *guard;        /* owned */
    int fd;                        /* owned; -1 none */
    unsigned port;
};

struct qe_http_server {
    const struct qe_http_route *routes; /* borrowed */
    size_t routes_count;
    void *context;                      /* borrowed */
    struct qe_process_stats *stats;     /* borrowed; may be NULL */
    struct MHD_Response *out_of_memory; /* owned; made before it is needed */
    struct qe_worker *worker;           /* owned; runs the slow routes */
    struct qe_http_listener *listeners; /* owned */
    size_t listeners_count;
    atomic_bool stopping; /* finish what is under way, then close */

    pthread_t watchdog;
    bool watchdog_started;
    pthread_mutex_t watchdog_lock; /* guards watchdog_stopping */
    pthread_cond_t watchdog_wake;
    bool watchdog_stopping;
    unsigned watchdog_interval_ms;
};

/* MHD_AccessHandlerCallback; cls is the listener. */
enum MHD_Result qe_http_serve(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **con_cls);
/* MHD_RequestCompletedCallback; cls is the listener. */
void qe_http_served(void *cls, struct MHD_Connection *connection, void **con_cls,
                    enum MHD_RequestTerminationCode toe);

/* Makes libmicrohttpd's response of ours. Always consumes `response`: its free_body runs when the
 * result is destroyed, or before this returns NULL (out of memory). */
struct MHD_Response *qe_http_reply_new_take(const struct qe_http_response *response);

#endif
