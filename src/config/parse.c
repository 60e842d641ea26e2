#include "config/parse.h"

#include <stdio.h>
#include <string.h>

#include "config/parse_internal.h"
#include "config/value.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

#define FILE_SUFFIX "_file"
#define KNOWN_KEYS_MAX_BYTES 1024
#define KEY_MAX_BYTES 48

/* Where the file sets an option: its key (or the key `x_file`) and the value. */
struct found {
    const struct qe_yaml_node *key;
    const struct qe_yaml_node *value;
    const struct qe_yaml_node *file_key;
    const struct qe_yaml_node *file_value;
};

struct section_parse {
    struct qe_parse *parse;
    const struct qe_yaml_node *node;
    const char *name;
    const struct qe_section_part *parts;
    size_t parts_count;
    bool strict;
    struct found found[QE_OPTIONS_MAX]; /* in the order of the parts' options */
};

/* From here on parsing follows the option tables, which nest a few static levels: the recursion
 * ends with them, whatever the file holds. */
/* NOLINTBEGIN(misc-no-recursion) */

static void parse_section(struct qe_parse *parse, const struct qe_option *option,
                          const struct qe_yaml_node *node, void *slot)
{
    struct qe_err err = {0};
    const struct qe_section_part part = {.section = option->section, .settings = slot};

    if (qe_yaml_is_empty(node) && !option->required) {
        return; /* all its lines commented out */
    }
    if (node->kind != QE_YAML_MAPPING) {
        qe_parse_report_kind(parse, node, option->key, "a section (key: value)");
        return;
    }
    qe_section_deinit(option->section, slot);
    if (qe_section_set_defaults(option->section, slot, &err) != 0) {
        qe_report_nomem(parse->report);
        return;
    }
    qe_parse_mapping(parse, node, option->section->name, &part, 1, true);
}

static void parse_section_item(struct qe_parse *parse, const struct qe_option *option,
                               const struct qe_yaml_node *node, void *settings)
{
    struct qe_err err = {0};
    const struct qe_section_part part = {.section = option->section, .settings = settings};

    if (option->section == parse->special) {
        parse->item(parse, node, settings);
        return;
    }
    if (qe_section_set_defaults(option->section, settings, &err) != 0) {
        qe_report_nomem(parse->report);
        return;
    }
    if (node->kind != QE_YAML_MAPPING) {
        qe_parse_report_kind(parse, node, option->key, "a list of sections (- key: value)");
        return;
    }
    qe_parse_mapping(parse, node, option->section->name, &part, 1, true);
}

/* Items keep their place even when they are wrong: item i of the list is item i of the file. */
static void parse_section_list(struct qe_parse *parse, const struct qe_option *option,
                               const struct qe_yaml_node *node, struct qe_section_list *list)
{
    size_t item_bytes = option->section->size_bytes;

    if (!qe_parse_check_list(parse, option, node)) {
        return;
    }
    list->items = qe_calloc(node->items_count, item_bytes);
    if (list->items == NULL) {
        qe_report_nomem(parse->report);
        return;
    }
    list->count = node->items_count;
    for (size_t i = 0; i < node->items_count; i++) {
        parse_section_item(parse, option, node->items[i], (char *)list->items + i * item_bytes);
    }
}

static void parse_value(struct qe_parse *parse, const struct qe_option *option,
                        const struct qe_yaml_node *node, void *slot)
{
    switch (option->type) {
    case QE_OPT_TEXT_LIST:
        qe_parse_text_list(parse, option, node, slot);
        break;
    case QE_OPT_REGEX_LIST:
        qe_parse_regex_list(parse, option, node, slot);
        break;
    case QE_OPT_SECTION:
        parse_section(parse, option, node, slot);
        break;
    case QE_OPT_SECTION_LIST:
        parse_section_list(parse, option, node, slot);
        break;
    case QE_OPT_TEXT:
    case QE_OPT_BOOL:
    case QE_OPT_UINT:
    case QE_OPT_NUMBER:
    case QE_OPT_DURATION:
    case QE_OPT_SIZE:
    case QE_OPT_CHOICE:
    case QE_OPT_SECRET:
    case QE_OPT_REGEX:
        qe_parse_scalar(parse, option, node, slot);
        break;
    }
}

/* The option at `index`, counted through all parts; *out_part says whose it is. NULL past the end.
 */
static const struct qe_option *option_at(const struct section_parse *self, size_t index,
                                         const struct qe_section_part **out_part)
{
    for (size_t i = 0; i < self->parts_count; i++) {
        if (index < self->parts[i].section->options_count) {
            *out_part = &self->parts[i];
            return &self->parts[i].section->options[index];
        }
        index -= self->parts[i].section->options_count;
    }
    return NULL;
}

static bool is_file_key(const struct qe_option *option, const char *key)
{
    size_t length = strlen(option->key);

    return option->type == QE_OPT_SECRET && strncmp(key, option->key, length) == 0 &&
           strcmp(key + length, FILE_SUFFIX) == 0;
}

/* Every key that would have been right, "x_file" of a secret x too. */
struct known_keys {
    const char *names[2 * QE_OPTIONS_MAX];
    size_t count;
    char file_keys[QE_OPTIONS_MAX][KEY_MAX_BYTES];
};

static void collect_known(const struct section_parse *self, struct known_keys *known)
{
    const struct qe_section_part *part = NULL;
    const struct qe_option *option = NULL;

    known->count = 0;
    for (size_t i = 0; (option = option_at(self, i, &part)) != NULL && i < QE_OPTIONS_MAX; i++) {
        known->names[known->count++] = option->key;
        if (option->type == QE_OPT_SECRET) {
            (void)snprintf(known->file_keys[i], KEY_MAX_BYTES, "%s" FILE_SUFFIX, option->key);
            known->names[known->count++] = known->file_keys[i];
        }
    }
}

static void report_unknown(const struct section_parse *self, const struct qe_yaml_node *key)
{
    struct known_keys known;
    char shown[QE_SHOWN_BYTES];
    struct qe_report *report = self->parse->report;

    collect_known(self, &known);
    (void)qe_report_show(key->text, shown);
    const char *near = qe_text_nearest(key->text, known.names, known.count);
    if (near != NULL) {
        qe_report_add(report, key->line, key->column, "unknown key \"%s\" (did you mean \"%s\"?)",
                      shown, near);
        return;
    }
    struct qe_strbuf list;
    qe_strbuf_init(&list, KNOWN_KEYS_MAX_BYTES);
    for (size_t i = 0; i < known.count; i++) {
        (void)qe_strbuf_printf(&list, "%s%s", i == 0 ? "" : ", ", known.names[i]);
    }
    if (list.failed == QE_ERR_NOMEM) {
        qe_report_nomem(report);
    }
    qe_report_add(report, key->line, key->column, "unknown key \"%s\" in %s (known: %s)", shown,
                  self->name, qe_strbuf_text(&list));
    qe_strbuf_deinit(&list);
}

static void remember(struct section_parse *self, const struct qe_yaml_node **slot,
                     const struct qe_yaml_node **value_slot, const struct qe_yaml_node *key,
                     const struct qe_yaml_node *value)
{
    if (*slot != NULL) {
        qe_report_add(self->parse->report, key->line, key->column,
                      "duplicate key \"%s\" (first on line %zu)", key->text, (*slot)->line);
        return;
    }
    *slot = key;
    *value_slot = value;
}

/* Finds the option that a pair of the mapping sets. */
static void match_key(struct section_parse *self, const struct qe_yaml_node *key,
                      const struct qe_yaml_node *value)
{
    const struct qe_section_part *part = NULL;
    const struct qe_option *option = NULL;

    for (size_t i = 0; (option = option_at(self, i, &part)) != NULL && i < QE_OPTIONS_MAX; i++) {
        struct found *found = &self->found[i];

        if (strcmp(option->key, key->text) == 0) {
            remember(self, &found->key, &found->value, key, value);
            return;
        }
        if (is_file_key(option, key->text)) {
            remember(self, &found->file_key, &found->file_value, key, value);
            return;
        }
    }
    if (self->strict && self->parse->report->dropped == 0) {
        report_unknown(self, key);
    } else if (self->strict) {
        self->parse->report->dropped++; /* not worth finding a near name for */
    }
}

static void parse_option(struct section_parse *self, const struct qe_option *option,
                         const struct found *found, void *slot)
{
    struct qe_parse *parse = self->parse;

    if (found->key != NULL && found->file_key != NULL) {
        qe_report_add(parse->report, found->file_key->line, found->file_key->column,
                      "%s and %s exclude each other: keep one", option->key, found->file_key->text);
    } else if (found->key != NULL) {
        parse_value(parse, option, found->value, slot);
    } else if (found->file_key != NULL) {
        qe_parse_secret_file(parse, found->file_key->text, found->file_value, slot);
    } else if (option->required) {
        qe_report_add(parse->report, self->node->line, self->node->column, "%s: missing key \"%s\"",
                      self->name, option->key);
    }
}

/* Where to point for a rule between keys: the named key's value, its default's section otherwise.
 */
static const struct qe_yaml_node *find_value(const struct section_parse *self, const char *key)
{
    const struct qe_yaml_node *value = key == NULL ? NULL : qe_yaml_get(self->node, key);

    return value == NULL ? self->node : value;
}

static void check_rule(struct section_parse *self, const struct qe_section_part *part,
                       qe_rule_fn *rule)
{
    const char *key = NULL;
    struct qe_err err = {0};

    if (rule(part->settings, &key, &err) == 0) {
        return;
    }
    if (err.code == QE_ERR_NOMEM) {
        qe_report_nomem(self->parse->report);
        return;
    }
    qe_parse_report(self->parse, find_value(self, key), key == NULL ? self->name : key,
                    err.message);
}

/* A key that does nothing is said to: who wrote it takes it for something. */
static void check_used(struct section_parse *self)
{
    const struct qe_section_part *part = NULL;
    const struct qe_option *option = NULL;

    for (size_t i = 0; (option = option_at(self, i, &part)) != NULL && i < QE_OPTIONS_MAX; i++) {
        const struct found *found = &self->found[i];
        const struct qe_yaml_node *value = found->key != NULL ? found->value : found->file_value;
        const char *why = value == NULL || qe_yaml_is_empty(value) || part->section->unused == NULL
                              ? NULL
                              : part->section->unused(part->settings, option->key);

        if (why != NULL) {
            qe_parse_report(self->parse, value, option->key, why);
        }
    }
}

static void check_parts(struct section_parse *self)
{
    for (size_t i = 0; i < self->parts_count; i++) {
        const struct qe_section_part *part = &self->parts[i];

        for (size_t k = 0; k < QE_RULES_MAX && part->section->rules[k] != NULL; k++) {
            check_rule(self, part, part->section->rules[k]);
        }
    }
}

void qe_parse_mapping(struct qe_parse *parse, const struct qe_yaml_node *node, const char *name,
                      const struct qe_section_part *parts, size_t parts_count, bool strict)
{
    struct section_parse self = {.parse = parse,
                                 .node = node,
                                 .name = name,
                                 .parts = parts,
                                 .parts_count = parts_count,
                                 .strict = strict};
    const struct qe_section_part *part = NULL;
    const struct qe_option *option = NULL;
    size_t errors = qe_report_errors(parse->report);

    for (size_t i = 0; i + 1 < node->items_count; i += 2) {
        const struct qe_yaml_node *key = node->items[i];

        /* What cannot be a key was reported when the document was read. */
        if (key->kind == QE_YAML_SCALAR && strcmp(key->text, "<<") != 0) {
            match_key(&self, key, node->items[i + 1]);
        }
    }
    for (size_t i = 0; (option = option_at(&self, i, &part)) != NULL && i < QE_OPTIONS_MAX; i++) {
        parse_option(&self, option, &self.found[i], qe_option_slot(option, part->settings));
    }
    if (strict && qe_report_errors(parse->report) == errors) {
        check_used(&self);
    }
    if (strict && qe_report_errors(parse->report) == errors) {
        check_parts(&self);
    }
}

/* NOLINTEND(misc-no-recursion) */
