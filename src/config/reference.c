/* The configuration reference in Markdown, one table per section, from the option tables. */
#include <string.h>

#include "config/config.h"
#include "config/settings.h"
#include "config/value.h"

#define PATH_MAX_BYTES 256

static const char *type_words(enum qe_option_type type)
{
    switch (type) {
    case QE_OPT_TEXT:
        return "text";
    case QE_OPT_BOOL:
        return "`true` or `false`";
    case QE_OPT_UINT:
        return "whole number";
    case QE_OPT_NUMBER:
        return "number";
    case QE_OPT_DURATION:
        return "duration";
    case QE_OPT_SIZE:
        return "size";
    case QE_OPT_CHOICE:
        return "one of ";
    case QE_OPT_SECRET:
        return "secret";
    case QE_OPT_TEXT_LIST:
        return "list of text";
    case QE_OPT_REGEX:
        return "regular expression";
    case QE_OPT_REGEX_LIST:
        return "list of regular expressions";
    case QE_OPT_SECTION:
        return "section";
    case QE_OPT_SECTION_LIST:
        return "list of sections";
    }
    return "";
}

/* A cell's text: a bar would end the cell. */
static void print_cell(struct qe_strbuf *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '|') {
            (void)qe_strbuf_append_char(out, '\\');
        }
        (void)qe_strbuf_append_char(out, *at);
    }
}

static void print_default(struct qe_strbuf *out, const struct qe_option *option)
{
    if (option->required) {
        (void)qe_strbuf_append_text(out, "required");
    } else if (option->default_note != NULL) {
        print_cell(out, option->default_note);
    } else if (option->default_text != NULL && option->default_text[0] != '\0') {
        (void)qe_strbuf_append_char(out, '`');
        print_cell(out, option->default_text);
        (void)qe_strbuf_append_char(out, '`');
    }
}

static void print_row(struct qe_strbuf *out, const char *path, const struct qe_option *option)
{
    (void)qe_strbuf_printf(out, "| `%s%s`", path, option->key);
    if (option->type == QE_OPT_SECRET) {
        (void)qe_strbuf_printf(out, ", or the file `%s%s_file`", path, option->key);
    }
    (void)qe_strbuf_printf(out, " | %s", type_words(option->type));
    if (option->type == QE_OPT_CHOICE) {
        qe_value_print_choices(option, "`", out);
    }
    (void)qe_strbuf_append_text(out, " | ");
    print_default(out, option);
    (void)qe_strbuf_append_text(out, " | ");
    qe_value_print_range(option, out);
    (void)qe_strbuf_append_text(out, " | ");
    print_cell(out, option->help == NULL ? "" : option->help);
    (void)qe_strbuf_append_text(out, " |\n");
}

/* Nested keys stand under their section as `retry.max`, those of list items as `queues[].name`. */
static void print_rows(struct qe_strbuf *out, /* NOLINT(misc-no-recursion): as the tables nest */
                       const char *path, const struct qe_section *section)
{
    for (size_t i = 0; i < section->options_count; i++) {
        const struct qe_option *option = &section->options[i];
        struct qe_strbuf inner;

        print_row(out, path, option);
        if (option->section == NULL) {
            continue;
        }
        qe_strbuf_init(&inner, PATH_MAX_BYTES);
        (void)qe_strbuf_printf(&inner, "%s%s%s.", path, option->key,
                               option->type == QE_OPT_SECTION_LIST ? "[]" : "");
        if (inner.failed == QE_OK) {
            print_rows(out, qe_strbuf_text(&inner), option->section);
        } else {
            out->failed = inner.failed;
        }
        qe_strbuf_deinit(&inner);
    }
}

static void print_head(struct qe_strbuf *out)
{
    (void)qe_strbuf_append_text(out, "\n| key | type | default | range | meaning |\n"
                                     "|---|---|---|---|---|\n");
}

static void print_table(struct qe_strbuf *out, const char *title, const struct qe_section *section)
{
    (void)qe_strbuf_printf(out, "\n### %s\n", title);
    print_head(out);
    print_rows(out, "", section);
}

int qe_config_reference(const struct qe_source_type *types, size_t types_count,
                        struct qe_strbuf *out)
{
    (void)qe_strbuf_append_text(
        out,
        "Durations are written `250ms`, `30s`, `5m`, `4h`, `14d` or `1h30m`; sizes `512B`, `64KiB`,"
        " `1MiB`.\n"
        "In every value `${NAME}` is replaced by that environment variable and `${NAME:-text}` by\n"
        "`text` where it is unset or empty; `$$` is a plain `$`. A secret `x` can come from the\n"
        "file named by `x_file` instead. Regular expressions (PCRE2) match the whole name.\n"
        "\n### Top level\n");
    print_head(out);
    for (size_t i = 0; i < qe_section_root.options_count; i++) {
        print_row(out, "", &qe_section_root.options[i]); /* its sections follow as own tables */
    }
    print_table(out, "`defaults`", &qe_section_defaults);
    print_table(out, "`sources`: every type", &qe_section_source);
    for (size_t i = 0; i < types_count; i++) {
        (void)qe_strbuf_printf(out, "\n### `sources`: `type: %s`\n", types[i].name);
        print_head(out);
        print_rows(out, "", types[i].section);
    }
    print_table(out, "`objectives`", &qe_section_objective);
    print_table(out, "`consumers`", &qe_section_consumer);
    return out->failed == QE_OK ? 0 : -1;
}
