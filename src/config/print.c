/* The effective configuration as YAML that loads again to the same settings, but for secrets. */
#include <stdint.h>
#include <string.h>

#include "config/config.h"
#include "config/settings.h"
#include "config/value.h"
#include "util/number.h"
#include "util/text.h"

struct printer {
    struct qe_strbuf *out;
    size_t indent;
    bool dash; /* the next key is the first of a list item */
};

static void start_line(struct printer *printer)
{
    for (size_t i = 0; i + (printer->dash ? 2 : 0) < printer->indent; i++) {
        (void)qe_strbuf_append_char(printer->out, ' ');
    }
    if (printer->dash) {
        (void)qe_strbuf_append_text(printer->out, "- ");
        printer->dash = false;
    }
}

static void start_key(struct printer *printer, const char *key)
{
    start_line(printer);
    (void)qe_strbuf_printf(printer->out, "%s:", key);
}

/* Decodes one character of valid UTF-8; returns its length in bytes. */
static size_t decode(const char *at, uint32_t *out)
{
    const unsigned char *bytes = (const unsigned char *)at;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xE0 ? 2 : bytes[0] < 0xF0 ? 3 : 4;

    *out = length == 1 ? bytes[0] : bytes[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        *out = (*out << 6) | (bytes[i] & 0x3Fu);
    }
    return length;
}

/* What YAML would not take as it stands, or would read as a line end. */
static bool needs_escape(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF ||
           c == 0xFFFE || c == 0xFFFF;
}

/* Double quotes, and every `$` that would start an expansion doubled. */
static void print_quoted(struct qe_strbuf *out, const char *text)
{
    (void)qe_strbuf_append_char(out, '"');
    for (const char *at = text; *at != '\0';) {
        uint32_t c = 0;
        size_t length = decode(at, &c);

        if (needs_escape(c)) {
            (void)qe_strbuf_printf(out, "\\U%08lX", (unsigned long)c);
        } else {
            if (c == '"' || c == '\\') {
                (void)qe_strbuf_append_char(out, '\\');
            } else if (c == '$' && (at[1] == '$' || at[1] == '{')) {
                (void)qe_strbuf_append_char(out, '$');
            }
            (void)qe_strbuf_append(out, at, length);
        }
        at += length;
    }
    (void)qe_strbuf_append_char(out, '"');
}

/* Reads the same without quotes, here and in every other YAML reader. */
static bool is_plain(const char *text)
{
    static const char *const s_words[] = {"null", "true", "false", "yes", "no", "on",
                                          "off",  "y",    "n",     "nan", "inf"};
    static const char s_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (size_t i = 0; i < sizeof s_words / sizeof s_words[0]; i++) {
        if (qe_text_equal_nocase(text, s_words[i])) {
            return false;
        }
    }
    return text[0] != '\0' && (strchr(s_letters, text[0]) != NULL || text[0] == '/') &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "_./-")] == '\0';
}

static void print_text(struct printer *printer, const char *key, const char *text)
{
    if (text == NULL) {
        return;
    }
    start_key(printer, key);
    (void)qe_strbuf_append_char(printer->out, ' ');
    if (is_plain(text)) {
        (void)qe_strbuf_append_text(printer->out, text);
    } else {
        print_quoted(printer->out, text);
    }
    (void)qe_strbuf_append_char(printer->out, '\n');
}

static void print_raw(struct printer *printer, const char *key, const char *text)
{
    start_key(printer, key);
    (void)qe_strbuf_printf(printer->out, " %s\n", text);
}

static void print_number(struct printer *printer, const char *key, double number)
{
    char text[QE_NUMBER_MAX_BYTES + 1];

    text[qe_number_write_double(number, text)] = '\0';
    print_raw(printer, key, text);
}

static void print_uint(struct printer *printer, const char *key, uint64_t number)
{
    char text[QE_NUMBER_MAX_BYTES + 1];

    text[qe_number_write_u64(number, text)] = '\0';
    print_raw(printer, key, text);
}

/* Zero, where zero could not have been written: nobody set it. */
static bool is_unset(const struct qe_option *option, double value)
{
    bool is_zero = value <= 0 && value >= 0;

    return is_zero && option->default_text == NULL && option->min > 0;
}

static void print_regex(struct printer *printer, const char *key, const struct qe_regex *regex)
{
    if (regex != NULL) {
        print_text(printer, key, qe_regex_pattern(regex));
    }
}

static void print_text_list(struct printer *printer, const char *key,
                            const struct qe_text_list *list)
{
    if (list->count == 0) {
        return;
    }
    start_key(printer, key);
    for (size_t i = 0; i < list->count; i++) {
        (void)qe_strbuf_append_text(printer->out, i == 0 ? " [" : ", ");
        print_quoted(printer->out, list->items[i]);
    }
    (void)qe_strbuf_append_text(printer->out, "]\n");
}

static void print_regex_list(struct printer *printer, const char *key,
                             const struct qe_regex_list *list)
{
    if (list->count == 0) {
        return;
    }
    start_key(printer, key);
    for (size_t i = 0; i < list->count; i++) {
        (void)qe_strbuf_append_text(printer->out, i == 0 ? " [" : ", ");
        print_quoted(printer->out, qe_regex_pattern(list->items[i]));
    }
    (void)qe_strbuf_append_text(printer->out, "]\n");
}

static void print_scalar(struct printer *printer, const struct qe_option *option, const void *slot)
{
    char text[32];

    switch (option->type) {
    case QE_OPT_TEXT:
        print_text(printer, option->key, *(char *const *)slot);
        break;
    case QE_OPT_BOOL:
        print_raw(printer, option->key, *(const bool *)slot ? "true" : "false");
        break;
    case QE_OPT_UINT:
        if (!is_unset(option, (double)*(const uint64_t *)slot)) {
            print_uint(printer, option->key, *(const uint64_t *)slot);
        }
        break;
    case QE_OPT_NUMBER:
        if (!is_unset(option, *(const double *)slot)) {
            print_number(printer, option->key, *(const double *)slot);
        }
        break;
    case QE_OPT_DURATION:
        if (!is_unset(option, (double)*(const int64_t *)slot)) {
            print_raw(printer, option->key, qe_text_from_duration(*(const int64_t *)slot, text));
        }
        break;
    case QE_OPT_SIZE:
        if (!is_unset(option, (double)*(const uint64_t *)slot)) {
            print_raw(printer, option->key, qe_text_from_size(*(const uint64_t *)slot, text));
        }
        break;
    case QE_OPT_CHOICE:
        print_raw(printer, option->key, option->choices[*(const int *)slot]);
        break;
    case QE_OPT_SECRET:
        if (*(struct qe_secret *const *)slot != NULL) {
            print_raw(printer, option->key, "<secret>");
        }
        break;
    case QE_OPT_REGEX:
        print_regex(printer, option->key, *(struct qe_regex *const *)slot);
        break;
    case QE_OPT_TEXT_LIST:
        print_text_list(printer, option->key, slot);
        break;
    case QE_OPT_REGEX_LIST:
        print_regex_list(printer, option->key, slot);
        break;
    case QE_OPT_SECTION:
    case QE_OPT_SECTION_LIST:
        break;
    }
}

/* Sections nest as the static tables do: the recursion ends with them. */
/* NOLINTBEGIN(misc-no-recursion) */

static void print_options(struct printer *printer, const struct qe_section *section,
                          const void *settings);

static void print_section(struct printer *printer, const struct qe_option *option, const void *slot)
{
    const struct printer before = *printer;
    size_t length_bytes = printer->out->length_bytes;

    if (qe_section_is_absent(option, slot)) {
        return;
    }
    start_key(printer, option->key);
    (void)qe_strbuf_append_char(printer->out, '\n');
    size_t head_bytes = printer->out->length_bytes;
    printer->indent += 2;
    print_options(printer, option->section, slot);
    printer->indent -= 2;
    if (printer->out->length_bytes == head_bytes && printer->out->failed == QE_OK) {
        printer->out->length_bytes = length_bytes; /* nothing in it: no heading either */
        *printer = before;
    }
}

static void start_item(struct printer *printer)
{
    printer->indent += 4;
    printer->dash = true;
}

static void end_item(struct printer *printer)
{
    if (printer->dash) { /* no key is set */
        start_line(printer);
        (void)qe_strbuf_append_text(printer->out, "{}\n");
    }
    printer->indent -= 4;
}

static void print_section_list(struct printer *printer, const struct qe_option *option,
                               const struct qe_section_list *list)
{
    if (list->count == 0) {
        return;
    }
    start_key(printer, option->key);
    (void)qe_strbuf_append_char(printer->out, '\n');
    for (size_t i = 0; i < list->count; i++) {
        start_item(printer);
        print_options(printer, option->section,
                      (const char *)list->items + i * option->section->size_bytes);
        end_item(printer);
    }
}

static void print_options(struct printer *printer, const struct qe_section *section,
                          const void *settings)
{
    for (size_t i = 0; i < section->options_count; i++) {
        const struct qe_option *option = &section->options[i];
        const void *slot = qe_option_slot_const(option, settings);

        if (section->unused != NULL && section->unused(settings, option->key) != NULL) {
            continue;
        }
        if (option->type == QE_OPT_SECTION) {
            print_section(printer, option, slot);
        } else if (option->type == QE_OPT_SECTION_LIST) {
            print_section_list(printer, option, slot);
        } else {
            print_scalar(printer, option, slot);
        }
    }
}

/* NOLINTEND(misc-no-recursion) */

int qe_config_print(const struct qe_config *config, struct qe_strbuf *out)
{
    struct printer printer = {.out = out};
    char text[32];

    print_raw(&printer, "shutdown_timeout",
              qe_text_from_duration(config->shutdown_timeout_ms, text));
    (void)qe_strbuf_append_text(out, "defaults:\n");
    printer.indent = 2;
    print_options(&printer, &qe_section_defaults, &config->defaults);
    printer.indent = 0;
    (void)qe_strbuf_append_text(out, "sources:\n");
    for (size_t i = 0; i < config->sources_count; i++) {
        const struct qe_source_settings *source = &config->sources[i];

        start_item(&printer);
        print_options(&printer, &qe_section_source, source);
        print_options(&printer, source->type->section, source->driver_settings);
        end_item(&printer);
    }
    (void)qe_strbuf_append_text(out, config->objectives_count == 0 ? "" : "objectives:\n");
    for (size_t i = 0; i < config->objectives_count; i++) {
        start_item(&printer);
        print_options(&printer, &qe_section_objective, &config->objectives[i]);
        end_item(&printer);
    }
    (void)qe_strbuf_append_text(out, config->consumers_count == 0 ? "" : "consumers:\n");
    for (size_t i = 0; i < config->consumers_count; i++) {
        start_item(&printer);
        print_options(&printer, &qe_section_consumer, &config->consumers[i]);
        end_item(&printer);
    }
    return out->failed == QE_OK ? 0 : -1;
}
