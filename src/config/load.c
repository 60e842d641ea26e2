/* From text to settings: parsing by the tables, and the rules between sections. */
#include <string.h>

#include "config/config.h"
#include "config/parse.h"
#include "config/settings.h"
#include "util/mem.h"
#include "util/text.h"

struct load {
    struct qe_config *config;
    struct qe_root_settings root;
    const struct qe_yaml_node *root_node;
    struct qe_report report;
};

void qe_source_settings_deinit(struct qe_source_settings *source)
{
    if (source->driver_settings != NULL) {
        qe_section_deinit(source->type->section, source->driver_settings);
        qe_free(source->driver_settings);
    }
    qe_section_deinit(&qe_section_source, source);
}

/* Items are freed one by one, because a source owns more than its table shows. */
static void free_sources(struct qe_source_settings *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        qe_source_settings_deinit(&sources[i]);
    }
    qe_free(sources);
}

const struct qe_source_settings *qe_config_source(const struct qe_config *config, const char *name)
{
    for (size_t i = 0; i < config->sources_count; i++) {
        if (strcmp(config->sources[i].name, name) == 0) {
            return &config->sources[i];
        }
    }
    return NULL;
}

void qe_config_destroy(struct qe_config *config)
{
    if (config == NULL) {
        return;
    }
    free_sources(config->sources, config->sources_count);
    for (size_t i = 0; i < config->objectives_count; i++) {
        qe_section_deinit(&qe_section_objective, &config->objectives[i]);
    }
    qe_free(config->objectives);
    for (size_t i = 0; i < config->consumers_count; i++) {
        qe_section_deinit(&qe_section_consumer, &config->consumers[i]);
    }
    qe_free(config->consumers);
    qe_free(config);
}

/* The smallest file that works, from the first type's own table. */
static void report_no_source(struct load *load, size_t line, size_t column)
{
    const struct qe_config *config = load->config;
    struct qe_strbuf example;

    qe_strbuf_init(&example, 1024);
    if (config->types_count > 0) {
        const struct qe_source_type *type = &config->types[0];

        (void)qe_strbuf_printf(&example,
                               "; the smallest configuration is:\n"
                               "  sources:\n    - name: local\n      type: %s",
                               type->name);
        for (size_t i = 0; i < type->section->options_count; i++) {
            const struct qe_option *option = &type->section->options[i];

            if (option->required) {
                (void)qe_strbuf_printf(&example, "\n      %s: %s", option->key,
                                       option->example == NULL ? "..." : option->example);
            }
        }
    }
    if (example.failed == QE_ERR_NOMEM) {
        qe_report_nomem(&load->report);
    }
    qe_report_add(&load->report, line, column, "no source is configured%s",
                  qe_strbuf_text(&example));
    qe_strbuf_deinit(&example);
}

static void report_unknown_type(struct load *load, const struct qe_yaml_node *node,
                                const char *type_name)
{
    const char *names[64];
    const size_t names_max = sizeof names / sizeof names[0];
    const struct qe_config *config = load->config;
    size_t count = 0;
    char shown[QE_SHOWN_BYTES];
    struct qe_strbuf known;

    qe_strbuf_init(&known, 1024);
    for (size_t i = 0; i < config->types_count && count < names_max; i++) {
        names[count++] = config->types[i].name;
        (void)qe_strbuf_printf(&known, "%s%s", i == 0 ? "" : ", ", config->types[i].name);
    }
    if (known.failed == QE_ERR_NOMEM) {
        qe_report_nomem(&load->report);
    }
    const char *near = qe_text_nearest(type_name, names, count);
    qe_report_add(&load->report, node->line, node->column,
                  "type: unknown type \"%s\"%s%s%s: this program knows %s",
                  qe_report_show(node->text, shown), near == NULL ? "" : " (did you mean \"",
                  near == NULL ? "" : near, near == NULL ? "" : "\"?)", qe_strbuf_text(&known));
    qe_strbuf_deinit(&known);
}

/* NULL: missing or unknown, which is reported (a missing one when the common keys are parsed). */
static const struct qe_source_type *find_type(struct qe_parse *parse, struct load *load,
                                              const struct qe_yaml_node *node)
{
    const struct qe_yaml_node *type_node = qe_yaml_get(node, "type");
    const struct qe_source_type *type = NULL;

    if (type_node == NULL) {
        return NULL;
    }
    char *type_name = qe_parse_text(parse, type_node, "type");
    if (type_name == NULL) {
        return NULL;
    }
    for (size_t i = 0; type == NULL && i < load->config->types_count; i++) {
        if (strcmp(load->config->types[i].name, type_name) == 0) {
            type = &load->config->types[i];
        }
    }
    if (type == NULL) {
        report_unknown_type(load, type_node, type_name);
    }
    qe_free(type_name);
    return type;
}

/* What `defaults` says wrong is said there; a source answers for the keys it sets itself. */
static void check_poll_rule(struct load *load, const struct qe_yaml_node *node,
                            const struct qe_source_settings *source, qe_rule_fn *rule)
{
    const struct qe_yaml_node *interval = qe_yaml_get(node, "poll_interval");
    const char *key = NULL;
    struct qe_err err = {0};

    if (rule(&source->poll, &key, &err) == 0) {
        return;
    }
    const struct qe_yaml_node *own = qe_yaml_get(node, key);
    const struct qe_yaml_node *at = own == NULL ? interval : own;
    if (at != NULL) {
        qe_report_add(&load->report, at->line, at->column, "%s: %s%s", key, err.message,
                      own == NULL ? "; it comes from defaults: set it here too" : "");
    }
}

static void check_source_poll(struct load *load, const struct qe_yaml_node *node,
                              const struct qe_source_settings *source)
{
    check_poll_rule(load, node, source, qe_poll_timeout_rule);
    check_poll_rule(load, node, source, qe_poll_stale_rule);
}

static int new_driver_settings(struct qe_source_settings *source)
{
    struct qe_err err = {0};
    const struct qe_section *section = source->type->section;

    source->driver_settings = qe_calloc(1, section->size_bytes);
    if (source->driver_settings == NULL) {
        return -1;
    }
    return qe_section_set_defaults(section, source->driver_settings, &err);
}

static void parse_source(struct qe_parse *parse, const struct qe_yaml_node *node, void *settings)
{
    struct load *load = parse->context;
    struct qe_source_settings *source = settings;
    struct qe_section_part parts[2] = {{.section = &qe_section_source, .settings = source}};
    size_t parts_count = 1;
    size_t errors = qe_report_errors(parse->report);

    source->poll = load->root.defaults;
    if (node->kind != QE_YAML_MAPPING) {
        qe_report_add(parse->report, node->line, node->column,
                      "sources: must be a list of sections (- name: ...), not %s",
                      qe_yaml_kind_name(node));
        return;
    }
    source->type = find_type(parse, load, node);
    if (source->type != NULL) {
        if (new_driver_settings(source) != 0) {
            qe_report_nomem(parse->report);
            return;
        }
        parts[parts_count++] = (struct qe_section_part){.section = source->type->section,
                                                        .settings = source->driver_settings};
    }
    /* Without a type nobody can say which further keys are right. */
    qe_parse_mapping(parse, node, "sources", parts, parts_count, source->type != NULL);
    if (qe_report_errors(parse->report) == errors) {
        check_source_poll(load, node, source);
    }
    qe_poll_settings_resolve(&source->poll);
}

/* The node of key `key` in item `index` of the top-level list `list`; the nearest node around it
 * where there is none. Never NULL: a message always has a place. */
static const struct qe_yaml_node *item_value(const struct load *load, const char *list,
                                             size_t index, const char *key)
{
    const struct qe_yaml_node *items = qe_yaml_get(load->root_node, list);

    if (items == NULL || items->kind != QE_YAML_SEQUENCE || index >= items->items_count) {
        return load->root_node;
    }
    const struct qe_yaml_node *value = qe_yaml_get(items->items[index], key);
    return value == NULL ? items->items[index] : value;
}

static void check_source_names(struct load *load)
{
    const struct qe_source_settings *sources = load->config->sources;

    for (size_t i = 0; i < load->config->sources_count; i++) {
        for (size_t j = 0; j < i && sources[i].name != NULL; j++) {
            if (sources[j].name == NULL || strcmp(sources[i].name, sources[j].name) != 0) {
                continue;
            }
            const struct qe_yaml_node *first = item_value(load, "sources", j, "name");
            const struct qe_yaml_node *second = item_value(load, "sources", i, "name");
            char shown[QE_SHOWN_BYTES];

            qe_report_add(&load->report, second->line, second->column,
                          "name: source \"%s\" exists already, on line %zu",
                          qe_report_show(second->text, shown), first->line);
            break;
        }
    }
}

static void check_consumer_source(struct load *load, size_t index)
{
    const struct qe_config *config = load->config;
    const char *wanted = config->consumers[index].source;
    const char *names[QE_CONFIG_SOURCES_MAX] = {NULL};
    size_t count = 0;
    char shown[QE_SHOWN_BYTES];

    for (size_t i = 0; i < config->sources_count && count < QE_CONFIG_SOURCES_MAX; i++) {
        if (config->sources[i].name == NULL || strcmp(config->sources[i].name, wanted) == 0) {
            return; /* found; or one name is broken, and it may be the one that is meant */
        }
        names[count++] = config->sources[i].name;
    }
    const struct qe_yaml_node *node = item_value(load, "consumers", index, "source");
    const char *near = qe_text_nearest(wanted, names, count);
    (void)qe_report_show(node->text, shown);
    if (near != NULL) {
        qe_report_add(&load->report, node->line, node->column,
                      "source: there is no source \"%s\" (did you mean \"%s\"?)", shown, near);
    } else {
        qe_report_add(&load->report, node->line, node->column,
                      "source: there is no source \"%s\" (the first of %zu is \"%s\")", shown,
                      count, names[0]);
    }
}

/* The one that it works in, whether the file names it or not. */
static const char *vhost_of(const struct qe_config *config,
                            const struct qe_consumer_settings *consumer)
{
    const char *otherwise = NULL;

    for (size_t i = 0; i < config->sources_count; i++) {
        const struct qe_source_settings *source = &config->sources[i];

        if (source->name != NULL && source->type != NULL &&
            strcmp(source->name, consumer->source) == 0) {
            otherwise = source->type->default_vhost;
        }
    }
    return consumer->vhost[0] == '\0' && otherwise != NULL ? otherwise : consumer->vhost;
}

static bool same_queue(const struct qe_config *config, const struct qe_consumer_settings *a,
                       const struct qe_consumer_settings *b)
{
    return a->source != NULL && b->source != NULL && a->queue != NULL && b->queue != NULL &&
           a->vhost != NULL && b->vhost != NULL && strcmp(a->source, b->source) == 0 &&
           strcmp(vhost_of(config, a), vhost_of(config, b)) == 0 && strcmp(a->queue, b->queue) == 0;
}

/* The consumer of the queue that `from` sends its dead letters to; NULL: none. */
static const struct qe_consumer_settings *find_next(const struct qe_config *config,
                                                    const struct qe_consumer_settings *from)
{
    struct qe_consumer_settings wanted = *from;

    wanted.queue = from->dead_letter.queue;
    for (size_t i = 0; i < config->consumers_count; i++) {
        if (same_queue(config, &config->consumers[i], &wanted)) {
            return &config->consumers[i];
        }
    }
    return NULL;
}

/* What fails for good would go round for ever. Said of the first of a round; one that sends to
 * itself is refused before. */
static void check_round(struct load *load, size_t index)
{
    const struct qe_consumer_settings *first = &load->config->consumers[index];
    const struct qe_consumer_settings *at = find_next(load->config, first);
    size_t steps = 0;

    for (; at != NULL && at > first && steps < load->config->consumers_count; steps++) {
        at = find_next(load->config, at);
    }
    if (at == NULL || at != first || steps == 0) {
        return;
    }
    const struct qe_yaml_node *node = item_value(load, "consumers", index, "dead_letter");

    qe_report_add(&load->report, node->line, node->column,
                  "dead_letter: what fails for good would go round: the consumer of \"%.100s\" "
                  "sends it on, and in the end back to \"%.100s\"",
                  first->dead_letter.queue, first->queue);
}

static void check_consumers(struct load *load)
{
    const struct qe_consumer_settings *consumers = load->config->consumers;

    for (size_t i = 0; i < load->config->consumers_count; i++) {
        if (consumers[i].source != NULL && load->config->sources_count > 0) {
            check_consumer_source(load, i);
        }
        check_round(load, i);
        for (size_t j = 0; j < i; j++) {
            if (!same_queue(load->config, &consumers[i], &consumers[j])) {
                continue;
            }
            const struct qe_yaml_node *first = item_value(load, "consumers", j, "queue");
            const struct qe_yaml_node *second = item_value(load, "consumers", i, "queue");
            char shown[QE_SHOWN_BYTES];

            qe_report_add(&load->report, second->line, second->column,
                          "queue: \"%s\" of this source has a consumer already, on line %zu: raise "
                          "its workers instead",
                          qe_report_show(second->text, shown), first->line);
            break;
        }
    }
}

/* Moves what was parsed from the generic lists into the config, which owns it from here on. */
static void take_root(struct load *load)
{
    struct qe_config *config = load->config;
    struct qe_root_settings *root = &load->root;

    config->shutdown_timeout_ms = root->shutdown_timeout_ms;
    config->defaults = root->defaults;
    qe_poll_settings_resolve(&config->defaults);
    config->sources = root->sources.items;
    config->sources_count = root->sources.count;
    config->objectives = root->objectives.items;
    config->objectives_count = root->objectives.count;
    config->consumers = root->consumers.items;
    config->consumers_count = root->consumers.count;
    for (size_t i = 0; i < config->consumers_count; i++) {
        qe_handler_settings_resolve(&config->consumers[i].handler);
    }
    *root = (struct qe_root_settings){0};
}

static void parse_root(struct load *load)
{
    struct qe_parse parse = {.report = &load->report,
                             .special = &qe_section_source,
                             .item = parse_source,
                             .context = load};
    const struct qe_section_part part = {.section = &qe_section_root, .settings = &load->root};
    const struct qe_yaml_node *node = load->root_node;
    struct qe_err err = {0};

    if (qe_section_set_defaults(&qe_section_root, &load->root, &err) != 0) {
        qe_report_nomem(&load->report);
        return;
    }
    qe_parse_mapping(&parse, node, "the configuration", &part, 1, true);
    take_root(load);
    const struct qe_yaml_node *sources = qe_yaml_get(node, "sources");
    if (sources == NULL || qe_yaml_is_empty(sources) ||
        (sources->kind == QE_YAML_SEQUENCE && sources->items_count == 0)) {
        const struct qe_yaml_node *at = sources == NULL ? node : sources;
        report_no_source(load, at->line, at->column);
    }
    check_source_names(load);
    check_consumers(load);
}

static void load_document(struct load *load, const char *text, size_t text_bytes)
{
    struct qe_yaml_doc *doc = qe_yaml_load(text, text_bytes, &load->report);

    if (doc == NULL) {
        return;
    }
    load->root_node = doc->root;
    if (doc->root == NULL || qe_yaml_is_empty(doc->root)) {
        report_no_source(load, 1, 1);
    } else if (doc->root->kind != QE_YAML_MAPPING) {
        qe_report_add(&load->report, doc->root->line, doc->root->column,
                      "the file must consist of `key: value` sections, it is %s",
                      qe_yaml_kind_name(doc->root));
    } else {
        parse_root(load);
    }
    qe_yaml_destroy(doc);
}

struct qe_config *qe_config_load_text(const char *name, const char *text, size_t text_bytes,
                                      const struct qe_source_type *types, size_t types_count,
                                      struct qe_strbuf *errors)
{
    struct load load = {0};

    qe_report_init(&load.report, name);
    load.config = qe_calloc(1, sizeof *load.config);
    if (load.config == NULL) {
        qe_report_nomem(&load.report);
    } else {
        load.config->types = types;
        load.config->types_count = types_count;
        load_document(&load, text, text_bytes);
    }
    if (qe_report_errors(&load.report) > 0) {
        qe_report_write(&load.report, errors);
        qe_config_destroy(load.config);
        load.config = NULL;
    }
    qe_report_deinit(&load.report);
    return load.config;
}
