#include "config/value.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "util/mem.h"
#include "util/number.h"
#include "util/text.h"

#define RANGE_TEXT_MAX_BYTES 256

void *qe_option_slot(const struct qe_option *option, void *settings)
{
    return (char *)settings + option->offset;
}

const void *qe_option_slot_const(const struct qe_option *option, const void *settings)
{
    return (const char *)settings + option->offset;
}

bool qe_option_is_list(const struct qe_option *option)
{
    return option->type == QE_OPT_TEXT_LIST || option->type == QE_OPT_REGEX_LIST ||
           option->type == QE_OPT_SECTION_LIST;
}

static bool is_pointer(enum qe_option_type type)
{
    return type == QE_OPT_TEXT || type == QE_OPT_SECRET || type == QE_OPT_REGEX;
}

bool qe_section_is_absent(const struct qe_option *option, const void *slot)
{
    if (option->type != QE_OPT_SECTION || option->required) {
        return false;
    }
    for (size_t i = 0; i < option->section->options_count; i++) {
        const struct qe_option *inner = &option->section->options[i];

        if (inner->required && is_pointer(inner->type)) {
            const void *pointer = NULL; /* any object pointer: copied, as qe_grow does */

            memcpy(&pointer, qe_option_slot_const(inner, slot), sizeof pointer);
            return pointer == NULL;
        }
    }
    return false;
}

static void print_number(double number, struct qe_strbuf *out)
{
    char text[QE_NUMBER_MAX_BYTES] = "";

    (void)qe_strbuf_append(out, text, qe_number_write_double(number, text));
}

/* One end of a range, in the unit that users write. */
static void print_limit(const struct qe_option *option, double limit, struct qe_strbuf *out)
{
    char text[32];

    if (option->type == QE_OPT_DURATION) {
        (void)qe_strbuf_append_text(out, qe_text_from_duration((int64_t)limit, text));
    } else if (option->type == QE_OPT_SIZE) {
        (void)qe_strbuf_append_text(out, qe_text_from_size((uint64_t)limit, text));
    } else {
        print_number(limit, out);
    }
}

static bool has_range(const struct qe_option *option)
{
    return option->min < 0 || option->min > 0 || option->max < 0 || option->max > 0;
}

void qe_value_print_range(const struct qe_option *option, struct qe_strbuf *out)
{
    if (!has_range(option)) {
        return;
    }
    print_limit(option, option->min, out);
    (void)qe_strbuf_append_text(out, " to ");
    print_limit(option, option->max, out);
    if (option->type == QE_OPT_TEXT) {
        (void)qe_strbuf_append_text(out, " bytes");
    } else if (qe_option_is_list(option)) {
        (void)qe_strbuf_append_text(out, " items");
    }
}

void qe_value_print_choices(const struct qe_option *option, const char *quote,
                            struct qe_strbuf *out)
{
    const char *mark = quote == NULL ? "" : quote;

    for (size_t i = 0; option->choices[i] != NULL; i++) {
        (void)qe_strbuf_printf(out, "%s%s%s%s", i == 0 ? "" : ", ", mark, option->choices[i], mark);
    }
}

static int check_range(const struct qe_option *option, double value, struct qe_err *err)
{
    if (!has_range(option) || (value >= option->min && value <= option->max)) {
        return 0;
    }
    struct qe_strbuf range;
    qe_strbuf_init(&range, RANGE_TEXT_MAX_BYTES);
    qe_value_print_range(option, &range);
    int rc = qe_strbuf_error(&range, err);
    if (rc == 0) {
        rc = qe_err_set(err, QE_ERR_INVALID, "is out of range: %s", qe_strbuf_text(&range));
    }
    qe_strbuf_deinit(&range);
    return rc;
}

static int set_bool(const char *text, bool *slot, struct qe_err *err)
{
    bool is_true = strcmp(text, "true") == 0;

    if (!is_true && strcmp(text, "false") != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "is neither true nor false");
    }
    *slot = is_true;
    return 0;
}

/* The parsers below say what they met; their words are replaced, since they repeat the text. */
static int set_uint(const struct qe_option *option, const char *text, uint64_t *slot,
                    struct qe_err *err)
{
    struct qe_err ignored = {0};
    uint64_t value = 0;

    if (qe_text_to_u64(text, UINT64_MAX, &value, &ignored) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "is not a whole number");
    }
    if (check_range(option, (double)value, err) != 0) {
        return -1;
    }
    *slot = value;
    return 0;
}

static int set_size(const struct qe_option *option, const char *text, uint64_t *slot,
                    struct qe_err *err)
{
    struct qe_err ignored = {0};
    uint64_t value = 0;

    if (qe_text_to_size_bytes(text, &value, &ignored) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "is not a size (like 512B, 64KiB, 1MiB)");
    }
    if (check_range(option, (double)value, err) != 0) {
        return -1;
    }
    *slot = value;
    return 0;
}

static int set_duration(const struct qe_option *option, const char *text, int64_t *slot,
                        struct qe_err *err)
{
    struct qe_err ignored = {0};
    int64_t value = 0;

    if (qe_text_to_duration_ms(text, &value, &ignored) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "is not a duration (like 250ms, 30s, 5m, 4h, 14d)");
    }
    if (check_range(option, (double)value, err) != 0) {
        return -1;
    }
    *slot = value;
    return 0;
}

static int set_number(const struct qe_option *option, const char *text, double *slot,
                      struct qe_err *err)
{
    struct qe_err ignored = {0};
    double value = 0;

    if (qe_text_to_double(text, &value, &ignored) != 0) {
        return qe_err_set(err, QE_ERR_INVALID, "is not a number");
    }
    if (check_range(option, value, err) != 0) {
        return -1;
    }
    *slot = value;
    return 0;
}

static int set_choice(const struct qe_option *option, const char *text, int *slot,
                      struct qe_err *err)
{
    struct qe_strbuf known;
    int count = 0;

    for (count = 0; option->choices[count] != NULL; count++) {
        if (strcmp(option->choices[count], text) == 0) {
            *slot = count;
            return 0;
        }
    }
    qe_strbuf_init(&known, RANGE_TEXT_MAX_BYTES);
    qe_value_print_choices(option, NULL, &known);
    int rc = qe_strbuf_error(&known, err);
    if (rc == 0) {
        const char *near = qe_text_nearest(text, option->choices, (size_t)count);

        (void)qe_err_set(err, QE_ERR_INVALID, "is not one of %s%s%s%s", qe_strbuf_text(&known),
                         near == NULL ? "" : " (did you mean \"", near == NULL ? "" : near,
                         near == NULL ? "" : "\"?)");
        rc = -1;
    }
    qe_strbuf_deinit(&known);
    return rc;
}

static int new_text(const struct qe_option *option, const char *text, char **out,
                    struct qe_err *err)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F) {
            return qe_err_set(err, QE_ERR_INVALID, "contains a control character or a line end");
        }
    }
    /* A list's range counts its items. */
    if (option->type == QE_OPT_TEXT && check_range(option, (double)strlen(text), err) != 0) {
        return -1;
    }
    char *copy = qe_strdup(text);
    if (copy == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory");
    }
    *out = copy;
    return 0;
}

static int set_text(const struct qe_option *option, const char *text, char **slot,
                    struct qe_err *err)
{
    char *copy = NULL;

    if (new_text(option, text, &copy, err) != 0) {
        return -1;
    }
    qe_free(*slot);
    *slot = copy;
    return 0;
}

static int set_secret(const char *text, struct qe_secret **slot, struct qe_err *err)
{
    if (text[0] == '\0') {
        return qe_err_set(err, QE_ERR_INVALID, "is empty");
    }
    struct qe_secret *secret = qe_secret_new(text, strlen(text), err);
    if (secret == NULL) {
        return -1;
    }
    qe_secret_destroy(*slot);
    *slot = secret;
    return 0;
}

static int set_regex(const char *text, struct qe_regex **slot, struct qe_err *err)
{
    struct qe_regex *regex = qe_regex_new(text, err);

    if (regex == NULL) {
        return -1;
    }
    qe_regex_destroy(*slot);
    *slot = regex;
    return 0;
}

int qe_value_new_item(const struct qe_option *option, const char *text, void **out,
                      struct qe_err *err)
{
    if (option->type == QE_OPT_REGEX_LIST) {
        struct qe_regex *regex = qe_regex_new(text, err);

        if (regex == NULL) {
            return -1;
        }
        *out = regex;
        return 0;
    }
    char *copy = NULL;
    if (new_text(option, text, &copy, err) != 0) {
        return -1;
    }
    *out = copy;
    return 0;
}

int qe_value_set(const struct qe_option *option, const char *text, void *slot, struct qe_err *err)
{
    switch (option->type) {
    case QE_OPT_TEXT:
        return set_text(option, text, slot, err);
    case QE_OPT_BOOL:
        return set_bool(text, slot, err);
    case QE_OPT_UINT:
        return set_uint(option, text, slot, err);
    case QE_OPT_NUMBER:
        return set_number(option, text, slot, err);
    case QE_OPT_DURATION:
        return set_duration(option, text, slot, err);
    case QE_OPT_SIZE:
        return set_size(option, text, slot, err);
    case QE_OPT_CHOICE:
        return set_choice(option, text, slot, err);
    case QE_OPT_SECRET:
        return set_secret(text, slot, err);
    case QE_OPT_REGEX:
        return set_regex(text, slot, err);
    case QE_OPT_TEXT_LIST:
    case QE_OPT_REGEX_LIST:
    case QE_OPT_SECTION:
    case QE_OPT_SECTION_LIST:
        break;
    }
    return qe_err_set(err, QE_ERR_INVALID, "cannot be written as text");
}
