/* queuectl: an operator's hands on the queues. */
#include <stdio.h>
#include <string.h>

#include "app/build.h"
#include "app/flags.h"
#include "queuectl/ctl.h"
#include "util/text.h"

static const struct ctl_command *const s_commands[] = {
    &ctl_send, &ctl_receive, &ctl_peek, &ctl_stats, &ctl_purge, &ctl_redrive,
};
#define COMMANDS_COUNT (sizeof s_commands / sizeof s_commands[0])

static const struct qe_cli_flag s_flags[] = {
    {"config.file", "FILE", "the exporter's configuration", QE_DEFAULT_CONFIG_FILE,
     CTL_AT(config_file)},
    {"version", NULL, "print the version and exit", CTL_AT(version)},
    {"help", NULL, "print this and exit (also -h); after a command: that command's flags",
     CTL_AT(help)},
};
#define FLAGS_COUNT (sizeof s_flags / sizeof s_flags[0])

static void print_help(void)
{
    (void)fputs("usage: queuectl [--config.file=FILE] COMMAND ...\n\ncommands:\n", stdout);
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        (void)printf("  %-8s %-14s %s\n", s_commands[i]->name, s_commands[i]->operands,
                     s_commands[i]->summary);
    }
    (void)fputs("\nflags:\n", stdout);
    qe_cli_print_flags(stdout, s_flags, FLAGS_COUNT);
    (void)fputs("\nexit: 0 done, 1 could not be done, 2 wrong usage or configuration\n", stdout);
}

static void print_command_help(const struct ctl_command *command)
{
    (void)printf("usage: queuectl [--config.file=FILE] %s %s [flags]\n\n%s\n\nflags:\n",
                 command->name, command->operands, command->summary);
    qe_cli_print_flags(stdout, command->flags, command->flags_count);
}

static const struct ctl_command *find_command(const char *name, struct qe_err *err)
{
    const char *names[COMMANDS_COUNT] = {NULL};

    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        names[i] = s_commands[i]->name;
        if (strcmp(names[i], name) == 0) {
            return s_commands[i];
        }
    }
    const char *nearest = qe_text_nearest(name, names, COMMANDS_COUNT);
    (void)qe_err_set(err, QE_ERR_INVALID, "unknown command \"%.40s\"%s%s%s", name,
                     nearest != NULL ? " (did you mean \"" : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? "\"?)" : "");
    return NULL;
}

static int usage_error(const char *prefix, const char *command, const struct qe_err *err)
{
    (void)fprintf(stderr, "queuectl%s%s: %s\nTry queuectl %s%s--help.\n", prefix, command,
                  err->message, command, *command != '\0' ? " " : "");
    return QE_EXIT_USAGE;
}

/* argv[0] is the command's name. */
static enum qe_exit run_command(struct ctl *ctl, const struct ctl_command *command, int argc,
                                char **argv)
{
    struct qe_err err = {0};
    struct qe_cli_flag flags[QE_CLI_FLAGS_MAX] = {0};
    size_t flags_count = command->flags_count;

    memcpy(flags, command->flags, flags_count * sizeof flags[0]);
    flags[flags_count++] = s_flags[0];               /* --config.file, before or after COMMAND */
    flags[flags_count++] = s_flags[FLAGS_COUNT - 1]; /* --help */
    int first = qe_cli_parse(flags, flags_count, false, argc, argv, &ctl->options, &err);
    if (first < 0) {
        return (enum qe_exit)usage_error(" ", command->name, &err);
    }
    if (ctl->options.help) {
        print_command_help(command);
        return QE_EXIT_OK;
    }
    size_t count = (size_t)(argc - first);
    if (count < command->operands_min || count > command->operands_max) {
        (void)qe_err_set(&err, QE_ERR_INVALID, "expected %s", command->operands);
        return (enum qe_exit)usage_error(" ", command->name, &err);
    }
    if (!ctl_load(ctl)) {
        return QE_EXIT_USAGE;
    }
    enum qe_exit code = command->run(ctl, argv + first, count, &err);
    if (err.code != QE_OK) {
        ctl_complain(command->name, &err);
        code = err.code == QE_ERR_INVALID ? QE_EXIT_USAGE : QE_EXIT_FAILURE;
    }
    return code;
}

int main(int argc, char **argv)
{
    struct qe_err err = {0};
    struct ctl ctl = {
        .options = {.config_file = QE_DEFAULT_CONFIG_FILE,
                    .timeout_ms = 10000,
                    .delay_ms = -1,
                    .count = 1,
                    .max = 10,
                    .interval_ms = 2000},
    };
    int first = qe_cli_parse(s_flags, FLAGS_COUNT, true, argc, argv, &ctl.options, &err);

    if (first < 0) {
        return usage_error("", "", &err);
    }
    if (ctl.options.version) {
        qe_build_print(stdout, "queuectl");
        return QE_EXIT_OK;
    }
    if (ctl.options.help) {
        print_help();
        return QE_EXIT_OK;
    }
    if (first == argc) {
        (void)qe_err_set(&err, QE_ERR_INVALID, "which command?");
        return usage_error("", "", &err);
    }
    const struct ctl_command *command = find_command(argv[first], &err);
    if (command == NULL) {
        return usage_error("", "", &err);
    }
    enum qe_exit code = run_command(&ctl, command, argc - first, argv + first);
    if (ctl_flush(&err) != 0 && code == QE_EXIT_OK) {
        (void)fprintf(stderr, "queuectl: %s\n", err.message);
        code = QE_EXIT_FAILURE;
    }
    ctl_deinit(&ctl);
    return (int)code;
}
