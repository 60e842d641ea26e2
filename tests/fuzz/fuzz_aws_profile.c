/* Any bytes as a shared settings file: no crash, no hang; names are as they must be, and what was
 * parsed, written down again, parses to the same. The commands in it are split. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/command.h"
#include "aws/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const s_kinds[] = {[QE_AWS_SECTION_PROFILE] = "profile",
                                      [QE_AWS_SECTION_SERVICES] = "services",
                                      [QE_AWS_SECTION_SSO_SESSION] = "sso-session"};

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static void check_command(const struct qe_aws_section *section)
{
    const char *line = qe_aws_section_get(section, "credential_process");
    struct qe_err err = {0};
    struct qe_aws_command *command = line == NULL ? NULL : qe_aws_command_new(line, &err);

    if (command != NULL) {
        size_t bytes = 0;

        require(qe_aws_command_argv(command)[0] != NULL, "a command has a first word");
        for (char *const *word = qe_aws_command_argv(command); *word != NULL; word++) {
            bytes += strlen(*word);
        }
        require(bytes <= strlen(line), "words are no longer than they were written");
    }
    qe_aws_command_destroy(command);
}

/* Behind '=' without a blank, lest a value that begins with '#' becomes a comment. */
static void write_section(const struct qe_aws_section *section, const char *kind,
                          struct qe_strbuf *out)
{
    (void)qe_strbuf_printf(out, "[%s %s]\n", kind, qe_aws_section_name(section));
    for (size_t i = 0; i < qe_aws_section_count(section); i++) {
        const char *key = qe_aws_section_key(section, i);

        require(key[0] != '\0' &&
                    key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_")] == '\0',
                "a key is made of lower-case letters, digits, - and _");
        (void)qe_strbuf_append_text(out, key);
        (void)qe_strbuf_append_char(out, '=');
        for (const char *c = qe_aws_section_value(section, i); *c != '\0'; c++) {
            (void)qe_strbuf_append_char(out, *c);
            if (*c == '\n') {
                (void)qe_strbuf_append_char(out, ' ');
            }
        }
        (void)qe_strbuf_append_char(out, '\n');
    }
}

static int same_section(const struct qe_aws_section *a, const struct qe_aws_section *b)
{
    int same = b != NULL && qe_aws_section_count(a) == qe_aws_section_count(b);

    for (size_t i = 0; same && i < qe_aws_section_count(a); i++) {
        same = strcmp(qe_aws_section_key(a, i), qe_aws_section_key(b, i)) == 0 &&
               strcmp(qe_aws_section_value(a, i), qe_aws_section_value(b, i)) == 0;
    }
    return same;
}

static void check_round_trip(const struct qe_aws_profiles *profiles)
{
    struct qe_err err = {0};
    struct qe_strbuf text = {0};
    struct qe_aws_profiles *again = qe_aws_profiles_new(&err);

    require(again != NULL, "memory");
    for (unsigned kind = 0; kind < 3; kind++) {
        const struct qe_aws_section *section = NULL;

        while ((section = qe_aws_profiles_next(profiles, kind, section)) != NULL) {
            check_command(section);
            write_section(section, s_kinds[kind], &text);
        }
    }
    /* It may have grown beyond what a file may be: keys that stood in two files. */
    if (text.length_bytes <= QE_AWS_PROFILE_FILE_MAX_BYTES) {
        require(qe_aws_profiles_add(again, QE_AWS_FILE_CONFIG, "again", qe_strbuf_text(&text),
                                    text.length_bytes, &err) == 0,
                "what was parsed parses again");
        for (unsigned kind = 0; kind < 3; kind++) {
            const struct qe_aws_section *section = NULL;

            while ((section = qe_aws_profiles_next(profiles, kind, section)) != NULL) {
                require(same_section(section, qe_aws_profiles_find(again, kind,
                                                                   qe_aws_section_name(section))),
                        "and is the same");
            }
        }
    }
    qe_aws_profiles_destroy(again);
    qe_strbuf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_err err = {0};
    struct qe_strbuf nested = {0};
    struct qe_aws_profiles *profiles = qe_aws_profiles_new(&err);
    const char *text = (const char *)data;

    require(profiles != NULL, "memory");
    for (unsigned file = 0; file < 2; file++) {
        if (qe_aws_profiles_add(profiles, file, "the-file", text, size, &err) != 0) {
            require(err.code == QE_ERR_INVALID || err.code == QE_ERR_LIMIT, "the code of an error");
            require(strncmp(err.message, "the-file:", 9) == 0, "an error names the file");
        }
    }
    const struct qe_aws_section *services =
        qe_aws_profiles_next(profiles, QE_AWS_SECTION_SERVICES, NULL);

    if (qe_aws_section_get_nested(services, "sqs", "endpoint_url", &nested)) {
        require(strchr(qe_strbuf_text(&nested), '\n') == NULL, "a nested value is one line");
    }
    check_round_trip(profiles);
    qe_strbuf_deinit(&nested);
    qe_aws_profiles_destroy(profiles);
    return 0;
}
