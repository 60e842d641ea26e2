/* queuectl: an operator's hands on the queues. */
#include <stdio.h>
#include <string.h>

#include "app/build.h"
#include "app/flags.h"
#include "queuectl/commands.h"
#include "util/columns.h"
#include "util/text.h"

#define CTL_COMMANDS_MAX 64

static void print_help(void)
{
    (void)fputs("usage: queuectl [--config.file=FILE] COMMAND ...\n\ncommands:\n", stdout);
    for (size_t i = 0; i < ctl_commands_count; i++) {
        (void)printf("  %-12s %-14s %s\n", ctl_commands[i]->name, ctl_commands[i]->operands,
                     ctl_commands[i]->summary);
    }
    (void)fputs("\nflags:\n", stdout);
    qe_cli_print_flags(stdout, ctl_flags, ctl_flags_count);
    (void)fputs("\nexit: 0 done, 1 could not be done, 2 wrong usage or configuration\n", stdout);
}

static void print_command_help(const struct ctl_command *command)
{
    (void)printf("usage: queuectl [--config.file=FILE] %s %s [flags]\n\n%s\n\nflags:\n",
                 command->name, command->operands, command->summary);
    qe_cli_print_flags(stdout, command->flags, command->flags_count);
}

/* How many words of the command line are this command's name; 0: it is another one's. */
static int words_of(const char *name, int argc, char **argv)
{
    const char *space = strchr(name, ' ');

    if (space == NULL) {
        return strcmp(argv[0], name) == 0;
    }
    size_t length = (size_t)(space - name);

    return argc > 1 && strlen(argv[0]) == length && strncmp(argv[0], name, length) == 0 &&
                   strcmp(argv[1], space + 1) == 0
               ? 2
               : 0;
}

/* "dlq" alone, or with a word that is none of its commands. */
static bool is_group(const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; i < ctl_commands_count; i++) {
        const char *name = ctl_commands[i]->name;

        if (strncmp(name, word, length) == 0 && name[length] == ' ') {
            return true;
        }
    }
    return false;
}

/* What may have been meant; NULL: no idea. "redrive" is the second word of "dlq redrive". */
static const char *nearest_command(const char *given)
{
    const char *names[CTL_COMMANDS_MAX] = {NULL};
    size_t count = 0;

    for (size_t i = 0; i < ctl_commands_count && count < CTL_COMMANDS_MAX; i++) {
        const char *space = strchr(ctl_commands[i]->name, ' ');

        names[count++] = ctl_commands[i]->name;
        if (space != NULL && strcmp(space + 1, given) == 0) {
            return ctl_commands[i]->name;
        }
    }
    return qe_text_nearest(given, names, count);
}

static const struct ctl_command *find_command(int argc, char **argv, int *out_words,
                                              struct qe_err *err)
{
    char given[80];

    for (size_t i = 0; i < ctl_commands_count; i++) {
        *out_words = words_of(ctl_commands[i]->name, argc, argv);
        if (*out_words > 0) {
            return ctl_commands[i];
        }
    }
    bool grouped = is_group(argv[0]);

    if (grouped && (argc == 1 || argv[1][0] == '-')) {
        (void)qe_err_set(err, QE_ERR_INVALID, "which command of %.40s?", argv[0]);
        return NULL;
    }
    (void)snprintf(given, sizeof given, "%.36s%s%.40s", argv[0], grouped ? " " : "",
                   grouped ? argv[1] : "");
    const char *nearest = nearest_command(given);
    (void)qe_err_set(err, QE_ERR_INVALID, "unknown command \"%.78s\"%s%s%s", given,
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

/* What the broker itself does not find may be in another vhost than the default one. */
static void hint_at_vhost(const struct ctl *ctl, const struct ctl_command *command,
                          struct qe_err *err)
{
    const struct qe_err why = *err;
    bool has_flag = false;

    for (size_t i = 0; i < command->flags_count; i++) {
        has_flag = has_flag || strcmp(command->flags[i].name, "vhost") == 0;
    }
    if (has_flag && why.code == QE_ERR_NOT_FOUND && ctl->driver != NULL &&
        ctl->driver->default_vhost != NULL && ctl->options.vhost == NULL &&
        strstr(why.message, "--vhost") == NULL) {
        qe_err_set(err, why.code, "%.220s; --vhost says which vhost", why.message);
    }
}

/* argv[0] is the last word of the command's name. */
static enum qe_exit run_command(struct ctl *ctl, const struct ctl_command *command, int argc,
                                char **argv)
{
    struct qe_err err = {0};
    struct qe_cli_flag flags[QE_CLI_FLAGS_MAX] = {0};
    size_t flags_count = command->flags_count;

    for (size_t i = 0; i < flags_count; i++) { /* of some commands there are none */
        flags[i] = command->flags[i];
    }
    flags[flags_count++] = ctl_flags[0]; /* --config.file, before or after COMMAND */
    flags[flags_count++] = ctl_flags[ctl_flags_count - 1]; /* --help */
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
    if (!command->without_config && !ctl_load(ctl)) {
        return QE_EXIT_USAGE;
    }
    enum qe_exit code = command->run(ctl, argv + first, count, &err);
    if (err.code != QE_OK) {
        hint_at_vhost(ctl, command, &err);
        ctl_complain(command->name, &err);
        code = err.code == QE_ERR_INVALID ? QE_EXIT_USAGE : QE_EXIT_FAILURE;
    }
    return code;
}

/* What could not be written was not done. */
static enum qe_exit flushed(enum qe_exit code)
{
    struct qe_err err = {0};

    if (ctl_flush(&err) != 0 && code == QE_EXIT_OK) {
        (void)fprintf(stderr, "queuectl: %s\n", err.message);
        return QE_EXIT_FAILURE;
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
                    .interval_ms = 2000,
                    .canary_wait_ms = 60000},
    };
    qe_columns_setup();
    int first = qe_cli_parse(ctl_flags, ctl_flags_count, true, argc, argv, &ctl.options, &err);

    if (first < 0) {
        return usage_error("", "", &err);
    }
    if (ctl.options.version) {
        qe_build_print(stdout, "queuectl");
        return (int)flushed(QE_EXIT_OK);
    }
    if (ctl.options.help) {
        print_help();
        return (int)flushed(QE_EXIT_OK);
    }
    if (first == argc) {
        (void)qe_err_set(&err, QE_ERR_INVALID, "which command?");
        return usage_error("", "", &err);
    }
    int words = 0;
    const struct ctl_command *command = find_command(argc - first, argv + first, &words, &err);
    if (command == NULL) {
        return usage_error("", "", &err);
    }
    enum qe_exit code =
        flushed(run_command(&ctl, command, argc - first - words + 1, argv + first + words - 1));

    ctl_deinit(&ctl);
    return (int)code;
}
