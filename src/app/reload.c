#include "app/reload.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "util/mem.h"

struct qe_reload {
    pthread_t main_thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t ended;
    uint64_t begun; /* reloads begun */
    uint64_t done;  /* reloads ended: at most one behind `begun` */
    int last_rc;
    char last_reason[4096];
    bool closed;
};

struct qe_reload *qe_reload_new(struct qe_err *err)
{
    struct qe_reload *reload = qe_calloc(1, sizeof *reload);

    if (reload == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "reload");
        return NULL;
    }
    reload->main_thread = pthread_self();
    pthread_mutex_init(&reload->lock, NULL);
    pthread_cond_init(&reload->ended, NULL);
    return reload;
}

void qe_reload_destroy(struct qe_reload *reload)
{
    if (reload == NULL) {
        return;
    }
    pthread_cond_destroy(&reload->ended);
    pthread_mutex_destroy(&reload->lock);
    qe_free(reload);
}

int qe_reload_request(struct qe_reload *reload, struct qe_strbuf *reason)
{
    pthread_mutex_lock(&reload->lock);
    /* One that runs now may have read the file before the caller changed it: wait for the next. */
    uint64_t wanted = reload->begun + 1;
    if (!reload->closed) {
        pthread_kill(reload->main_thread, SIGHUP);
    }
    while (reload->done < wanted && !reload->closed) {
        pthread_cond_wait(&reload->ended, &reload->lock);
    }
    bool happened = reload->done >= wanted;
    int rc = happened ? reload->last_rc : -1;
    if (rc != 0) {
        (void)qe_strbuf_append_text(reason, happened ? reload->last_reason
                                                     : "queue_exporter is stopping\n");
    }
    pthread_mutex_unlock(&reload->lock);
    return rc;
}

void qe_reload_begin(struct qe_reload *reload)
{
    pthread_mutex_lock(&reload->lock);
    reload->begun++;
    pthread_mutex_unlock(&reload->lock);
}

void qe_reload_end(struct qe_reload *reload, int rc, const char *reason)
{
    pthread_mutex_lock(&reload->lock);
    reload->done = reload->begun;
    reload->last_rc = rc;
    (void)snprintf(reload->last_reason, sizeof reload->last_reason, "%s", reason);
    pthread_cond_broadcast(&reload->ended);
    pthread_mutex_unlock(&reload->lock);
}

void qe_reload_close(struct qe_reload *reload)
{
    pthread_mutex_lock(&reload->lock);
    reload->closed = true;
    pthread_cond_broadcast(&reload->ended);
    pthread_mutex_unlock(&reload->lock);
}
