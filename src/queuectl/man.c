/* queuectl man: the manual pages of both programs, from the tables that parse. */
#include <stdio.h>
#include <string.h>

#include "app/build.h"
#include "app/flags.h"
#include "queuectl/commands.h"

/* Text as roff shows it: no line begins a request, and a hyphen stays one that can be copied. */
static void put_text(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '-') {
            (void)fputs("\\-", stdout);
        } else if (*at == '\\') {
            (void)fputs("\\e", stdout);
        } else if (*at == '\'') {
            (void)fputs("\\(aq", stdout);
        } else if (*at == '`') {
            (void)fputs("\\(ga", stdout);
        } else {
            (void)putchar(*at);
        }
    }
}

static void put_flag(const struct qe_cli_flag *flag)
{
    (void)fputs(".TP\n\\fB\\-\\-", stdout);
    put_text(flag->name);
    (void)fputs("\\fR", stdout);
    if (flag->argument != NULL) {
        (void)fputs("=\\fI", stdout);
        put_text(flag->argument);
        (void)fputs("\\fR", stdout);
    }
    (void)fputs("\n", stdout);
    put_text(flag->help);
    if (flag->default_text != NULL) {
        (void)fputs(" (default ", stdout);
        put_text(flag->default_text);
        (void)fputs(")", stdout);
    }
    (void)fputs("\n", stdout);
}

static void put_head(const char *name, const char *summary)
{
    (void)fputs(".TH ", stdout);
    for (const char *at = name; *at != '\0'; at++) {
        (void)putchar(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    }
    (void)printf(" 1 \"%s\" \"queue_exporter %s\" \"User Commands\"\n", qe_build_date(),
                 qe_build_info()->version);
    (void)printf(".SH NAME\n%s \\- %s\n", name, summary);
}

static void put_exit_status(void)
{
    (void)fputs(".SH EXIT STATUS\n"
                ".TP\n0\ndone\n"
                ".TP\n1\ncould not be done: the message on standard error names what, where and "
                "what to do\n"
                ".TP\n2\nwrong usage or configuration\n",
                stdout);
}

static void put_command(const struct ctl_command *command)
{
    (void)fputs(".SS \"", stdout);
    put_text(command->name);
    (void)fputs(command->operands[0] != '\0' ? " " : "", stdout);
    put_text(command->operands);
    (void)fputs("\"\n", stdout);
    put_text(command->summary);
    (void)fputs("\n", stdout);
    for (size_t i = 0; i < command->flags_count; i++) {
        put_flag(&command->flags[i]);
    }
}

static void print_queuectl(void)
{
    put_head("queuectl", "an operator\\(aqs hands on message queues");
    (void)fputs(".SH SYNOPSIS\n"
                "\\fBqueuectl\\fR [\\fB\\-\\-config.file\\fR=\\fIFILE\\fR] \\fICOMMAND\\fR ...\n"
                ".SH DESCRIPTION\n"
                "Sends, receives and counts messages on every type of source that the exporter "
                "watches, and takes dead letters from the page to the repair. It uses the "
                "exporter\\(aqs configuration file.\n"
                ".SH OPTIONS\n",
                stdout);
    for (size_t i = 0; i < ctl_flags_count; i++) {
        put_flag(&ctl_flags[i]);
    }
    (void)fputs(".SH COMMANDS\n", stdout);
    for (size_t i = 0; i < ctl_commands_count; i++) {
        put_command(ctl_commands[i]);
    }
    put_exit_status();
    (void)fputs(".SH SEE ALSO\n\\fBqueue_exporter\\fR(1)\n", stdout);
}

static void print_exporter(void)
{
    size_t count = 0;
    const struct qe_cli_flag *flags = qe_flags_table(&count);

    put_head("queue_exporter", "a Prometheus exporter for message queues");
    (void)fputs(".SH SYNOPSIS\n"
                "\\fBqueue_exporter\\fR [\\fIFLAGS\\fR]\n"
                ".SH DESCRIPTION\n"
                "Watches the queues of its sources and serves what it knows of them to Prometheus. "
                "SIGHUP reloads the configuration, SIGTERM and SIGINT end it.\n"
                ".SH OPTIONS\n",
                stdout);
    for (size_t i = 0; i < count; i++) {
        put_flag(&flags[i]);
    }
    put_exit_status();
    (void)fputs(".SH SEE ALSO\n\\fBqueuectl\\fR(1)\n", stdout);
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const char *page = count == 1 ? operands[0] : "queuectl";

    (void)ctl;
    if (strcmp(page, "queuectl") == 0) {
        print_queuectl();
        return QE_EXIT_OK;
    }
    if (strcmp(page, "queue_exporter") == 0) {
        print_exporter();
        return QE_EXIT_OK;
    }
    qe_err_set(err, QE_ERR_INVALID, "no manual page for \"%.40s\": queuectl or queue_exporter",
               page);
    return QE_EXIT_USAGE;
}

const struct ctl_command ctl_man = {
    .name = "man",
    .operands = "[queuectl|queue_exporter]",
    .summary = "print a manual page: of queuectl, or of queue_exporter",
    .operands_min = 0,
    .operands_max = 1,
    .without_config = true,
    .run = run,
};
