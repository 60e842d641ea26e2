#include "config/option.h"

#include <string.h>

#include "config/value.h"
#include "util/mem.h"

/* Sections nest as the static tables do, a few levels: recursion over them ends with the table. */
/* NOLINTBEGIN(misc-no-recursion) */

static int set_default(const struct qe_option *option, void *slot, struct qe_err *err)
{
    if (option->type == QE_OPT_SECTION) {
        /* With a required key inside, zero is what says "absent". */
        return qe_section_is_absent(option, slot)
                   ? 0
                   : qe_section_set_defaults(option->section, slot, err);
    }
    if (option->default_text == NULL) {
        return 0;
    }
    if (qe_value_set(option, option->default_text, slot, err) != 0) {
        return qe_err_wrap(err, "default of %s", option->key);
    }
    return 0;
}

int qe_section_set_defaults(const struct qe_section *section, void *settings, struct qe_err *err)
{
    for (size_t i = 0; i < section->options_count; i++) {
        const struct qe_option *option = &section->options[i];

        if (set_default(option, qe_option_slot(option, settings), err) != 0) {
            return -1;
        }
    }
    return 0;
}

static void deinit_text_list(struct qe_text_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        qe_free(list->items[i]);
    }
    qe_free(list->items);
}

static void deinit_regex_list(struct qe_regex_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        qe_regex_destroy(list->items[i]);
    }
    qe_free(list->items);
}

static void deinit_section_list(const struct qe_section *section, struct qe_section_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        qe_section_deinit(section, (char *)list->items + i * section->size_bytes);
    }
    qe_free(list->items);
}

void qe_value_deinit(const struct qe_option *option, void *slot)
{
    switch (option->type) {
    case QE_OPT_TEXT:
        qe_free(*(char **)slot);
        *(char **)slot = NULL;
        break;
    case QE_OPT_SECRET:
        qe_secret_destroy(*(struct qe_secret **)slot);
        *(struct qe_secret **)slot = NULL;
        break;
    case QE_OPT_REGEX:
        qe_regex_destroy(*(struct qe_regex **)slot);
        *(struct qe_regex **)slot = NULL;
        break;
    case QE_OPT_TEXT_LIST:
        deinit_text_list(slot);
        *(struct qe_text_list *)slot = (struct qe_text_list){0};
        break;
    case QE_OPT_REGEX_LIST:
        deinit_regex_list(slot);
        *(struct qe_regex_list *)slot = (struct qe_regex_list){0};
        break;
    case QE_OPT_SECTION_LIST:
        deinit_section_list(option->section, slot);
        *(struct qe_section_list *)slot = (struct qe_section_list){0};
        break;
    case QE_OPT_SECTION:
        qe_section_deinit(option->section, slot);
        break;
    case QE_OPT_BOOL:
    case QE_OPT_UINT:
    case QE_OPT_NUMBER:
    case QE_OPT_DURATION:
    case QE_OPT_SIZE:
    case QE_OPT_CHOICE:
        break;
    }
}

void qe_section_deinit(const struct qe_section *section, void *settings)
{
    for (size_t i = 0; i < section->options_count; i++) {
        const struct qe_option *option = &section->options[i];

        qe_value_deinit(option, qe_option_slot(option, settings));
    }
    memset(settings, 0, section->size_bytes);
}

static bool texts_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool regexes_equal(const struct qe_regex *a, const struct qe_regex *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(qe_regex_pattern(a), qe_regex_pattern(b)) == 0;
}

static bool secrets_equal(const struct qe_secret *a, const struct qe_secret *b)
{
    return a == NULL || b == NULL ? a == b : qe_secret_equal(a, b);
}

static bool text_lists_equal(const struct qe_text_list *a, const struct qe_text_list *b)
{
    bool equal = a->count == b->count;

    for (size_t i = 0; equal && i < a->count; i++) {
        equal = texts_equal(a->items[i], b->items[i]);
    }
    return equal;
}

static bool regex_lists_equal(const struct qe_regex_list *a, const struct qe_regex_list *b)
{
    bool equal = a->count == b->count;

    for (size_t i = 0; equal && i < a->count; i++) {
        equal = regexes_equal(a->items[i], b->items[i]);
    }
    return equal;
}

static bool section_lists_equal(const struct qe_section *section, const struct qe_section_list *a,
                                const struct qe_section_list *b)
{
    bool equal = a->count == b->count;

    for (size_t i = 0; equal && i < a->count; i++) {
        size_t offset = i * section->size_bytes;

        equal = qe_section_equal(section, (const char *)a->items + offset,
                                 (const char *)b->items + offset);
    }
    return equal;
}

bool qe_value_equal(const struct qe_option *option, const void *a, const void *b)
{
    switch (option->type) {
    case QE_OPT_TEXT:
        return texts_equal(*(char *const *)a, *(char *const *)b);
    case QE_OPT_SECRET:
        return secrets_equal(*(struct qe_secret *const *)a, *(struct qe_secret *const *)b);
    case QE_OPT_REGEX:
        return regexes_equal(*(struct qe_regex *const *)a, *(struct qe_regex *const *)b);
    case QE_OPT_TEXT_LIST:
        return text_lists_equal(a, b);
    case QE_OPT_REGEX_LIST:
        return regex_lists_equal(a, b);
    case QE_OPT_SECTION_LIST:
        return section_lists_equal(option->section, a, b);
    case QE_OPT_SECTION:
        return qe_section_equal(option->section, a, b);
    case QE_OPT_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case QE_OPT_UINT:
    case QE_OPT_SIZE:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    case QE_OPT_DURATION:
        return *(const int64_t *)a == *(const int64_t *)b;
    case QE_OPT_NUMBER: /* both came from a parser that refuses NaN */
        return *(const double *)a >= *(const double *)b && *(const double *)a <= *(const double *)b;
    case QE_OPT_CHOICE:
        return *(const int *)a == *(const int *)b;
    }
    return false;
}

bool qe_section_equal(const struct qe_section *section, const void *a, const void *b)
{
    for (size_t i = 0; i < section->options_count; i++) {
        const struct qe_option *option = &section->options[i];

        if (!qe_value_equal(option, qe_option_slot_const(option, a),
                            qe_option_slot_const(option, b))) {
            return false;
        }
    }
    return true;
}

/* NOLINTEND(misc-no-recursion) */
