/* The daemon's command line. */
#ifndef QE_APP_FLAGS_H
#define QE_APP_FLAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "app/cli.h"
#include "util/err.h"
#include "util/log.h"

#define QE_LISTEN_MAX 16
#define QE_DEFAULT_CONFIG_FILE "queue_exporter.yml"

/* All text is borrowed from argv or static. */
struct qe_flags {
    const char *config_file;
    bool config_check;
    const char *listen[QE_LISTEN_MAX];
    size_t listen_count;
    const char *telemetry_path;
    bool lifecycle_enabled;
    enum qe_log_level log_level;
    enum qe_log_format log_format;
    bool version;
    bool help;
};

/* -1: a usage error, said in *err. Main thread. */
int qe_flags_parse(int argc, char **argv, struct qe_flags *out, struct qe_err *err) QE_MUST_CHECK;
/* What --help prints, to stdout. */
void qe_flags_print_help(void);
/* The table behind both, for the manual page. */
const struct qe_cli_flag *qe_flags_table(size_t *out_count);

#endif
