#define _GNU_SOURCE /* getopt_long */
#include "app/cli.h"

#include <getopt.h>
#include <string.h>

#include "util/text.h"

#define VALUE_BASE 256 /* what getopt_long returns for the first flag: clear of every character */

/* The error for what getopt_long refused: argv[optind - 1] is the offender, and optopt the flag
 * when a value is missing. */
static int refuse(const struct qe_cli_flag *flags, size_t flags_count, const char *offender,
                  int result, struct qe_err *err)
{
    const char *names[QE_CLI_FLAGS_MAX] = {NULL};
    char name[64] = "";
    const char *bare = offender;

    if (result == ':') {
        return qe_err_set(err, QE_ERR_INVALID, "flag %s needs a value", offender);
    }
    while (*bare == '-') {
        bare++;
    }
    size_t length = strcspn(bare, "=");
    if (length >= sizeof name) {
        return qe_err_set(err, QE_ERR_INVALID, "unknown flag %.80s", offender);
    }
    memcpy(name, bare, length);
    for (size_t i = 0; i < flags_count; i++) {
        names[i] = flags[i].name;
        if (strcmp(names[i], name) == 0) {
            return qe_err_set(err, QE_ERR_INVALID, "flag --%s takes no value", name);
        }
    }
    const char *nearest = qe_text_nearest(name, names, flags_count);
    for (size_t i = 0; nearest == NULL && i < flags_count; i++) {
        nearest = length > 0 && qe_text_starts_with(names[i], name) ? names[i] : NULL;
    }
    if (nearest == NULL) {
        return qe_err_set(err, QE_ERR_INVALID, "unknown flag %.80s", offender);
    }
    return qe_err_set(err, QE_ERR_INVALID, "unknown flag %.80s (did you mean --%s?)", offender,
                      nearest);
}

static int take_value(const struct qe_cli_flag *flag, void *context, const char *value,
                      struct qe_err *err)
{
    if (flag->take != NULL) {
        return flag->take(context, value, err) == 0 ? 0 : qe_err_wrap(err, "--%s", flag->name);
    }
    void *at = (char *)context + flag->offset;
    if (flag->argument == NULL) {
        *(bool *)at = true;
        return 0;
    }
    if (*value == '\0') {
        return qe_err_set(err, QE_ERR_INVALID, "flag --%s needs a value", flag->name);
    }
    *(const char **)at = value;
    return 0;
}

/* The row that getopt_long's result stands for; NULL: none, or a value is missing. */
static const struct qe_cli_flag *find_flag(const struct qe_cli_flag *flags, size_t flags_count,
                                           int result)
{
    if (result >= VALUE_BASE) {
        return &flags[result - VALUE_BASE];
    }
    if (result == 'h') { /* -h is --help, in every program that has one */
        for (size_t i = 0; i < flags_count; i++) {
            if (strcmp(flags[i].name, "help") == 0) {
                return &flags[i];
            }
        }
    }
    return NULL;
}

/* The word that held the flag; its value may have been the next one. */
static const char *last_word(char **argv)
{
    return optarg != NULL && optarg == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
}

/* getopt_long takes any unambiguous beginning for the whole: `purge --y` must not be `--yes`, and
 * the next flag that is added must not change what a start script means. */
static bool is_abbreviated(const struct qe_cli_flag *flag, int result, const char *word)
{
    return result >= VALUE_BASE && strcspn(word + 2, "=") != strlen(flag->name);
}

/* NOLINTNEXTLINE(readability-function-size): argc and argv are one thing in two parameters. */
int qe_cli_parse(const struct qe_cli_flag *flags, size_t flags_count, bool stop_at_operand,
                 int argc, char **argv, void *context, struct qe_err *err)
{
    struct option longs[QE_CLI_FLAGS_MAX + 1] = {0};
    const char *shorts = stop_at_operand ? "+:h" : ":h";

    if (flags_count > QE_CLI_FLAGS_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "more than %d flags", QE_CLI_FLAGS_MAX);
    }
    for (size_t i = 0; i < flags_count; i++) {
        longs[i].name = flags[i].name;
        longs[i].has_arg = flags[i].argument != NULL ? required_argument : no_argument;
        longs[i].val = (int)i + VALUE_BASE;
    }
    opterr = 0;
    optind = 0; /* glibc: start anew, also for a second command line in one process */
    for (;;) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): main thread only, before others start. */
        int result = getopt_long(argc, argv, shorts, longs, NULL);
        if (result == -1) {
            return optind;
        }
        const struct qe_cli_flag *flag = find_flag(flags, flags_count, result);
        if (flag != NULL && is_abbreviated(flag, result, last_word(argv))) {
            return refuse(flags, flags_count, last_word(argv), result, err);
        }
        if (flag == NULL) {
            return refuse(flags, flags_count, argv[optind - 1], result, err);
        }
        if (take_value(flag, context, optarg, err) != 0) {
            return -1;
        }
    }
}

void qe_cli_print_flags(FILE *out, const struct qe_cli_flag *flags, size_t flags_count)
{
    for (size_t i = 0; i < flags_count; i++) {
        const struct qe_cli_flag *flag = &flags[i];
        char head[80] = "";

        (void)snprintf(head, sizeof head, "--%s%s%s", flag->name, flag->argument != NULL ? "=" : "",
                       flag->argument != NULL ? flag->argument : "");
        (void)fprintf(out, "  %-32s %s", head, flag->help);
        if (flag->default_text != NULL) {
            (void)fprintf(out, " (default %s)", flag->default_text);
        }
        (void)fputc('\n', out);
    }
}
