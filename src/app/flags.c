#include "app/flags.h"

#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "http/listen.h"
#include "http/routes.h"

static int take_listen(void *context, const char *value, struct qe_err *err)
{
    struct qe_flags *flags = context;
    struct qe_listen_address address;

    if (flags->listen_count == QE_LISTEN_MAX) {
        return qe_err_set(err, QE_ERR_INVALID, "more than %d addresses", QE_LISTEN_MAX);
    }
    if (qe_listen_parse(value, &address, err) != 0) {
        return -1;
    }
    flags->listen[flags->listen_count++] = value;
    return 0;
}

static int take_telemetry_path(void *context, const char *value, struct qe_err *err)
{
    struct qe_flags *flags = context;

    if (qe_routes_check_telemetry_path(value, err) != 0) {
        return -1;
    }
    flags->telemetry_path = value;
    return 0;
}

static int take_log_level(void *context, const char *value, struct qe_err *err)
{
    struct qe_flags *flags = context;

    if (qe_log_level_from_name(value, &flags->log_level) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "\"%.40s\" is not one of debug, info, warn, error",
                          value);
    }
    return 0;
}

static int take_log_format(void *context, const char *value, struct qe_err *err)
{
    struct qe_flags *flags = context;

    if (strcmp(value, "json") == 0) {
        flags->log_format = QE_LOG_JSON;
    } else if (strcmp(value, "logfmt") == 0) {
        flags->log_format = QE_LOG_LOGFMT;
    } else {
        return qe_err_set(err, QE_ERR_INVALID, "\"%.40s\" is not one of logfmt, json", value);
    }
    return 0;
}

#define AT(member) .offset = offsetof(struct qe_flags, member)

static const struct qe_cli_flag s_flags[] = {
    {"config.file", "FILE", "what to watch and what to work on", QE_DEFAULT_CONFIG_FILE,
     AT(config_file)},
    {"config.check", NULL, "print every error of the configuration and exit: 0 good, 2 bad",
     AT(config_check)},
    {"web.listen-address", "ADDRESS", "host:port, [::1]:port or :port; repeatable", ":10019",
     .take = take_listen},
    {"web.telemetry-path", "PATH", "where the metrics are", "/metrics",
     .take = take_telemetry_path},
    {"web.enable-lifecycle", NULL, "allow a reload by POST to /-/reload", AT(lifecycle_enabled)},
    {"log.level", "LEVEL", "debug, info, warn or error", "info", .take = take_log_level},
    {"log.format", "FORMAT", "logfmt or json, to stderr", "logfmt", .take = take_log_format},
    {"version", NULL, "print the version and exit", AT(version)},
    {"help", NULL, "print this and exit (also -h)", AT(help)},
};
#define FLAGS_COUNT (sizeof s_flags / sizeof s_flags[0])

int qe_flags_parse(int argc, char **argv, struct qe_flags *out, struct qe_err *err)
{
    struct qe_flags flags = {
        .config_file = QE_DEFAULT_CONFIG_FILE,
        .telemetry_path = "/metrics",
        .log_level = QE_LOG_INFO,
        .log_format = QE_LOG_LOGFMT,
    };
    int operand = qe_cli_parse(s_flags, FLAGS_COUNT, false, argc, argv, &flags, err);

    if (operand < 0) {
        return -1;
    }
    if (operand < argc) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "unexpected \"%.80s\": queue_exporter takes flags only", argv[operand]);
    }
    if (flags.listen_count == 0) {
        flags.listen[flags.listen_count++] = ":10019";
    }
    *out = flags;
    return 0;
}

void qe_flags_print_help(void)
{
    (void)fputs("usage: queue_exporter [flags]\n\n"
                "Watches queues, works on them with a reference consumer, and serves /metrics.\n\n"
                "flags (--name=value or --name value):\n",
                stdout);
    qe_cli_print_flags(stdout, s_flags, FLAGS_COUNT);
    (void)fputs("\nsignals: SIGHUP reloads the configuration; SIGTERM and SIGINT stop gracefully\n"
                "exit:    0 ended as asked, 1 failed at run time, 2 wrong usage or configuration\n",
                stdout);
}

const struct qe_cli_flag *qe_flags_table(size_t *out_count)
{
    *out_count = FLAGS_COUNT;
    return s_flags;
}
