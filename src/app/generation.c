#include "app/generation.h"

#include "app/drivers.h"
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

struct qe_generation *qe_generation_load(const char *path, struct qe_strbuf *errors)
{
    size_t types_count = 0;
    const struct qe_source_type *types = qe_drivers_types(&types_count);
    struct qe_config *config = qe_config_load(path, types, types_count, errors);
    struct qe_err err = {0};

    if (config == NULL) {
        return NULL;
    }
    struct qe_generation *generation = qe_generation_new_take(config, &err);
    if (generation == NULL) {
        (void)qe_strbuf_printf(errors, "%s: %s\n", path, err.message);
    }
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
