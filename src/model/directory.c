#include "model/directory.h"

#include <pthread.h>
#include <stdatomic.h>

#include "util/mem.h"

struct qe_directory {
    atomic_size_t refs;
    atomic_int_least64_t interval_ms;
    atomic_uint_least64_t version; /* written with the lock held */
    pthread_mutex_t lock;          /* guards set; held for a pointer copy */
    struct qe_queue_set *set;      /* acquired; NULL: none yet */
};

struct qe_directory *qe_directory_new(struct qe_err *err)
{
    struct qe_directory *directory = qe_calloc(1, sizeof *directory);

    if (directory == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "directory of queues");
        return NULL;
    }
    const int rc = pthread_mutex_init(&directory->lock, NULL);

    if (rc != 0) {
        (void)qe_err_set_errno(err, rc, "directory of queues");
        qe_free(directory);
        return NULL;
    }
    atomic_init(&directory->refs, 1);
    return directory;
}

struct qe_directory *qe_directory_acquire(struct qe_directory *directory)
{
    atomic_fetch_add_explicit(&directory->refs, 1, memory_order_relaxed);
    return directory;
}

void qe_directory_release(struct qe_directory *directory)
{
    if (directory == NULL ||
        atomic_fetch_sub_explicit(&directory->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    qe_queue_set_release(directory->set);
    (void)pthread_mutex_destroy(&directory->lock);
    qe_free(directory);
}

void qe_directory_set_interval(struct qe_directory *directory, int64_t interval_ms)
{
    atomic_store(&directory->interval_ms, interval_ms);
}

int64_t qe_directory_interval_ms(const struct qe_directory *directory)
{
    return atomic_load(&directory->interval_ms);
}

void qe_directory_put(struct qe_directory *directory, struct qe_queue_set *set)
{
    struct qe_queue_set *before = NULL;

    pthread_mutex_lock(&directory->lock);
    const bool is_other = set != NULL && set != directory->set;

    if (is_other) {
        before = directory->set;
        directory->set = qe_queue_set_acquire(set);
    }
    if (is_other || atomic_load(&directory->version) == 0) {
        (void)atomic_fetch_add(&directory->version, 1);
    }
    pthread_mutex_unlock(&directory->lock);
    qe_queue_set_release(before);
}

uint64_t qe_directory_version(const struct qe_directory *directory)
{
    return atomic_load(&directory->version);
}

struct qe_queue_set *qe_directory_get(struct qe_directory *directory, uint64_t *out_version)
{
    pthread_mutex_lock(&directory->lock);
    struct qe_queue_set *set = directory->set == NULL ? NULL : qe_queue_set_acquire(directory->set);

    *out_version = atomic_load(&directory->version);
    pthread_mutex_unlock(&directory->lock);
    return set;
}
