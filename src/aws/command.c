#include "aws/command.h"

#include <stdbool.h>
#include <string.h>

#include "util/mem.h"
#include "util/secret.h"

struct qe_aws_command {
    char *argv[QE_AWS_COMMAND_WORDS_MAX + 1]; /* borrowed from text */
    size_t count;
    char *text; /* owned: the words, each with its NUL */
    size_t text_bytes;
};

/* The command line, and where the next character of a word goes: never before what is read. */
struct reader {
    const char *next;
    char *to;
    char quote; /* '\0': in none */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What a backslash takes the meaning from; in double quotes only these. */
static bool is_escape(const struct reader *reader)
{
    return reader->next[0] == '\\' && reader->next[1] != '\0' && reader->quote != '\'' &&
           (reader->quote == '\0' || strchr("\"\\$`", reader->next[1]) != NULL);
}

/* One step within a word; false at its end. */
static bool step(struct reader *reader)
{
    const char c = *reader->next;

    if (c == '\0' || (reader->quote == '\0' && is_blank(c))) {
        return false;
    }
    if (is_escape(reader)) {
        *reader->to++ = reader->next[1];
        reader->next += 2;
        return true;
    }
    reader->next++;
    if (reader->quote == '\0' && (c == '\'' || c == '"')) {
        reader->quote = c;
    } else if (reader->quote == c) {
        reader->quote = '\0';
    } else {
        *reader->to++ = c;
    }
    return true;
}

static int split(struct qe_aws_command *command, const char *line, struct qe_err *err)
{
    struct reader reader = {.next = line, .to = command->text};

    while (*(reader.next += strspn(reader.next, " \t\r\n")) != '\0') {
        if (command->count == QE_AWS_COMMAND_WORDS_MAX) {
            return qe_err_set(err, QE_ERR_INVALID, "more than %d words", QE_AWS_COMMAND_WORDS_MAX);
        }
        command->argv[command->count++] = reader.to;
        while (step(&reader)) {
        }
        *reader.to++ = '\0';
    }
    if (reader.quote != '\0') {
        return qe_err_set(err, QE_ERR_INVALID, "a quote (%c) is not closed", reader.quote);
    }
    return command->count > 0 ? 0 : qe_err_set(err, QE_ERR_INVALID, "there is no program to run");
}

struct qe_aws_command *qe_aws_command_new(const char *line, struct qe_err *err)
{
    const size_t bytes = strlen(line);
    struct qe_aws_command *command = qe_calloc(1, sizeof *command);

    if (bytes > QE_AWS_COMMAND_MAX_BYTES) {
        qe_err_set(err, QE_ERR_LIMIT, "longer than %d bytes", QE_AWS_COMMAND_MAX_BYTES);
        goto failed;
    }
    /* A word is never longer than it was written, and its NUL stands where a blank was. */
    if (command == NULL || (command->text = qe_calloc(bytes + 2, 1)) == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for a command line");
        goto failed;
    }
    command->text_bytes = bytes + 2;
    if (split(command, line, err) != 0) {
        goto failed;
    }
    return command;

failed:
    qe_aws_command_destroy(command);
    return NULL;
}

void qe_aws_command_destroy(struct qe_aws_command *command)
{
    if (command == NULL) {
        return;
    }
    if (command->text != NULL) {
        qe_secret_wipe(command->text, command->text_bytes);
    }
    qe_free(command->text);
    qe_free(command);
}

char *const *qe_aws_command_argv(const struct qe_aws_command *command)
{
    return command->argv;
}
