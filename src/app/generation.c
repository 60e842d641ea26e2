#include "app/generation.h"

#include "util/mem.h"

struct qe_generation *qe_generation_new_take(struct qe_config *config, struct qe_err *err)
{
    struct qe_generation *generation = qe_calloc(1, sizeof *generation);

    if (generation == NULL) {
        qe_config_destroy(config);
        qe_err_set(err, QE_ERR_NOMEM, "configuration");
        return NULL;
    }
    atomic_init(&generation->refs, 1);
    generation->config = config;
    return generation;
}

struct qe_generation *qe_generation_acquire(struct qe_generation *generation)
{
    atomic_fetch_add_explicit(&generation->refs, 1, memory_order_relaxed);
    return generation;
}

void qe_generation_release(struct qe_generation *generation)
{
    if (generation == NULL ||
        atomic_fetch_sub_explicit(&generation->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    qe_config_destroy(generation->config);
    qe_free(generation);
}
