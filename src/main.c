/* queue_exporter: the daemon. */
#include <stdio.h>

#include "app/app.h"
#include "app/build.h"
#include "app/cli.h"
#include "app/flags.h"
#include "app/generation.h"
#include "util/descriptors.h"
#include "util/log.h"

#define ERRORS_MAX_BYTES ((size_t)64 << 10)

static struct qe_generation *load(const struct qe_flags *flags)
{
    struct qe_strbuf errors;
    struct qe_generation *generation = NULL;

    qe_strbuf_init(&errors, ERRORS_MAX_BYTES);
    generation = qe_generation_load(flags->config_file, &errors);
    (void)fputs(qe_strbuf_text(&errors), stderr);
    qe_strbuf_deinit(&errors);
    return generation;
}

static enum qe_exit check(const struct qe_flags *flags, struct qe_generation *generation)
{
    (void)printf("%s: good: %zu sources, %zu consumers\n", flags->config_file,
                 generation->config->sources_count, generation->config->consumers_count);
    qe_generation_release(generation);
    return QE_EXIT_OK;
}

static enum qe_exit run(const struct qe_flags *flags, struct qe_generation *generation)
{
    struct qe_err err = {0};

    if (qe_app_block_signals(&err) != 0) {
        qe_log(QE_LOG_ERROR, "cannot start", "error", err.message, NULL);
        qe_generation_release(generation);
        return QE_EXIT_FAILURE;
    }
    qe_descriptors_raise();
    qe_log(QE_LOG_INFO, "starting queue_exporter", "version", qe_build_info()->version, "revision",
           qe_build_info()->revision, "config", flags->config_file, NULL);
    struct qe_app *app = qe_app_new_take(flags, generation, &err);
    if (app == NULL) {
        qe_log(QE_LOG_ERROR, "cannot start", "error", err.message, NULL);
        return QE_EXIT_FAILURE;
    }
    qe_app_run(app);
    qe_app_destroy(app);
    qe_log(QE_LOG_INFO, "stopped", NULL);
    return QE_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct qe_flags flags = {0};
    struct qe_err err = {0};

    if (qe_flags_parse(argc, argv, &flags, &err) != 0) {
        (void)fprintf(stderr, "queue_exporter: %s\nTry queue_exporter --help.\n", err.message);
        return QE_EXIT_USAGE;
    }
    if (flags.help) {
        qe_flags_print_help();
        return QE_EXIT_OK;
    }
    if (flags.version) {
        qe_build_print(stdout, "queue_exporter");
        return QE_EXIT_OK;
    }
    qe_log_setup(flags.log_level, flags.log_format);
    struct qe_generation *generation = load(&flags);
    if (generation == NULL) {
        return QE_EXIT_USAGE;
    }
    return (int)(flags.config_check ? check(&flags, generation) : run(&flags, generation));
}
