#include <string.h>

#include "config/expand.h"
#include "config/parse_internal.h"
#include "config/value.h"
#include "util/mem.h"
#include "util/strbuf.h"

#define RANGE_MAX_BYTES 256

void qe_parse_report(struct qe_parse *parse, const struct qe_yaml_node *node, const char *key,
                     const char *problem)
{
    qe_report_add(parse->report, node->line, node->column, "%s: %s", key, problem);
}

/* Says what is wrong with a value, without showing it where it is secret. */
static void report_value(struct qe_parse *parse, const struct qe_option *option,
                         const struct qe_yaml_node *node, const char *key, const struct qe_err *err)
{
    char shown[QE_SHOWN_BYTES];

    if (err->code == QE_ERR_NOMEM) {
        qe_report_nomem(parse->report);
    } else if (option->type == QE_OPT_SECRET) {
        qe_parse_report(parse, node, key, err->message);
    } else {
        bool is_regex = option->type == QE_OPT_REGEX || option->type == QE_OPT_REGEX_LIST;

        /* The text as written: what a variable holds may be nobody's business. */
        qe_report_add(parse->report, node->line, node->column, "%s: \"%s\"%s %s%s", key,
                      qe_report_show(node->text, shown), is_regex ? ":" : "", err->message,
                      qe_expand_needed(node->text) ? " (after expansion)" : "");
    }
}

void qe_parse_report_kind(struct qe_parse *parse, const struct qe_yaml_node *node, const char *key,
                          const char *wanted)
{
    qe_report_add(parse->report, node->line, node->column, "%s: must be %s, not %s", key, wanted,
                  qe_yaml_is_empty(node) ? "empty" : qe_yaml_kind_name(node));
}

static void wipe_free(char *text)
{
    if (text != NULL) {
        qe_secret_wipe(text, strlen(text));
    }
    qe_free(text);
}

char *qe_parse_text(struct qe_parse *parse, const struct qe_yaml_node *node, const char *key)
{
    struct qe_err err = {0};
    struct qe_strbuf expanded;

    if (node->kind != QE_YAML_SCALAR) {
        qe_parse_report_kind(parse, node, key, "a single value");
        return NULL;
    }
    if (qe_yaml_is_empty(node)) {
        qe_parse_report(parse, node, key, "has no value (leave the key out for its default)");
        return NULL;
    }
    if (!qe_expand_needed(node->text)) {
        char *copy = qe_strdup(node->text);
        if (copy == NULL) {
            qe_report_nomem(parse->report);
        }
        return copy;
    }
    qe_strbuf_init(&expanded, QE_EXPAND_MAX_BYTES);
    if (qe_expand(node->text, &expanded, &err) != 0) {
        if (err.code == QE_ERR_NOMEM) {
            qe_report_nomem(parse->report);
        } else {
            qe_parse_report(parse, node, key, err.message);
        }
        if (expanded.data != NULL) {
            qe_secret_wipe(expanded.data, expanded.length_bytes);
        }
        qe_strbuf_deinit(&expanded);
        return NULL;
    }
    (void)qe_strbuf_text(&expanded); /* an empty result still needs its end */
    return qe_strbuf_detach(&expanded);
}

void qe_parse_scalar(struct qe_parse *parse, const struct qe_option *option,
                     const struct qe_yaml_node *node, void *slot)
{
    struct qe_err err = {0};
    char *text = qe_parse_text(parse, node, option->key);

    if (text != NULL && qe_value_set(option, text, slot, &err) != 0) {
        report_value(parse, option, node, option->key, &err);
    }
    wipe_free(text);
}

void qe_parse_secret_file(struct qe_parse *parse, const char *key, const struct qe_yaml_node *node,
                          struct qe_secret **slot)
{
    struct qe_err err = {0};
    char *path = qe_parse_text(parse, node, key);

    if (path != NULL) {
        struct qe_secret *secret = qe_secret_new_from_file(path, &err);

        if (secret != NULL) {
            qe_secret_destroy(*slot);
            *slot = secret;
        } else if (err.code == QE_ERR_NOMEM) {
            qe_report_nomem(parse->report);
        } else {
            qe_parse_report(parse, node, key, err.message);
        }
    }
    qe_free(path);
}

bool qe_parse_check_list(struct qe_parse *parse, const struct qe_option *option,
                         const struct qe_yaml_node *node)
{
    if (node->kind != QE_YAML_SEQUENCE) {
        if (!qe_yaml_is_empty(node)) { /* all its lines commented out: an empty list */
            qe_parse_report_kind(parse, node, option->key, "a list");
        }
        return false;
    }
    double count = (double)node->items_count;
    if (option->max > 0 && (count < option->min || count > option->max)) {
        struct qe_strbuf range;

        qe_strbuf_init(&range, RANGE_MAX_BYTES);
        qe_value_print_range(option, &range);
        qe_report_add(parse->report, node->line, node->column, "%s: %zu items: must be %s",
                      option->key, node->items_count, qe_strbuf_text(&range));
        qe_strbuf_deinit(&range);
        return false;
    }
    return node->items_count > 0;
}

/* The item as a new object, or NULL with the reason reported. */
static void *parse_item(struct qe_parse *parse, const struct qe_option *option,
                        const struct qe_yaml_node *node)
{
    struct qe_err err = {0};
    void *item = NULL;
    char *text = qe_parse_text(parse, node, option->key);

    if (text != NULL && qe_value_new_item(option, text, &item, &err) != 0) {
        report_value(parse, option, node, option->key, &err);
    }
    qe_free(text);
    return item;
}

void qe_parse_text_list(struct qe_parse *parse, const struct qe_option *option,
                        const struct qe_yaml_node *node, struct qe_text_list *list)
{
    if (!qe_parse_check_list(parse, option, node)) {
        return;
    }
    list->items = qe_calloc(node->items_count, sizeof *list->items);
    if (list->items == NULL) {
        qe_report_nomem(parse->report);
        return;
    }
    for (size_t i = 0; i < node->items_count; i++) {
        char *item = parse_item(parse, option, node->items[i]);

        if (item != NULL) {
            list->items[list->count++] = item;
        }
    }
}

void qe_parse_regex_list(struct qe_parse *parse, const struct qe_option *option,
                         const struct qe_yaml_node *node, struct qe_regex_list *list)
{
    if (!qe_parse_check_list(parse, option, node)) {
        return;
    }
    list->items = qe_calloc(node->items_count, sizeof(struct qe_regex *));
    if (list->items == NULL) {
        qe_report_nomem(parse->report);
        return;
    }
    for (size_t i = 0; i < node->items_count; i++) {
        struct qe_regex *item = parse_item(parse, option, node->items[i]);

        if (item != NULL) {
            list->items[list->count++] = item;
        }
    }
}
