#include "config/yaml.h"

#include <stdint.h>
#include <string.h>

#include <yaml.h>

#include "config/config.h"
#include "util/mem.h"
#include "util/secret.h"
#include "util/text.h"

struct anchor {
    char *name; /* owned */
    struct qe_yaml_node *node;
};

/* libyaml's events rather than its documents: depth, size and aliases are judged as they come in,
 * before anything is built from them. */
struct loader {
    yaml_parser_t parser;
    struct qe_report *report;
    const char *text;
    size_t text_bytes;
    struct qe_yaml_doc *doc;
    struct qe_yaml_node *stack[QE_CONFIG_DEPTH_MAX];
    size_t depth;
    struct anchor anchors[QE_YAML_ANCHORS_MAX];
    size_t anchors_count;
    size_t aliases_count;
};

static void node_destroy(struct qe_yaml_node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->text != NULL) {
        qe_secret_wipe(node->text, strlen(node->text)); /* it may have been a password */
    }
    qe_free(node->text);
    qe_free(node->items);
    qe_free(node);
}

void qe_yaml_destroy(struct qe_yaml_doc *doc)
{
    if (doc == NULL) {
        return;
    }
    for (size_t i = 0; i < doc->count; i++) {
        node_destroy(doc->nodes[i]);
    }
    qe_free(doc->nodes);
    qe_free(doc);
}

/* The byte at a 1-based position, NUL when there is none; columns count characters. */
static char byte_at(const struct loader *loader, size_t line, size_t column)
{
    const char *end = loader->text + loader->text_bytes;
    const char *at = loader->text;

    for (size_t i = 1; i < line && at != NULL; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at == NULL ? NULL : at + 1;
    }
    for (size_t i = 1; at != NULL && at < end && i < column; i++) {
        at++;
        while (at < end && ((unsigned char)*at & 0xC0u) == 0x80u) {
            at++;
        }
    }
    return at == NULL || at >= end ? '\0' : *at;
}

/* Turns a byte offset into line and column. */
static void locate(const char *text, size_t offset, size_t *out_line, size_t *out_column)
{
    *out_line = 1;
    *out_column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            *out_line += 1;
            *out_column = 1;
        } else if (((unsigned char)text[i] & 0xC0u) != 0x80u) {
            *out_column += 1;
        }
    }
}

static int fail_syntax(struct loader *loader)
{
    const yaml_parser_t *parser = &loader->parser;
    size_t line = parser->problem_mark.line + 1;
    size_t column = parser->problem_mark.column + 1;

    if (parser->error == YAML_MEMORY_ERROR) {
        qe_report_nomem(loader->report);
        return -1;
    }
    if (parser->error == YAML_READER_ERROR) {
        size_t offset = parser->problem_offset;
        locate(loader->text, offset < loader->text_bytes ? offset : loader->text_bytes, &line,
               &column);
    }
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;
    if (byte_at(loader, line, column) == '\t') {
        qe_report_add(loader->report, line, column, "a tab cannot indent YAML: use spaces");
    } else if (parser->context != NULL && parser->error != YAML_READER_ERROR) {
        qe_report_add(loader->report, line, column, "not YAML: %s (%s from line %zu)", problem,
                      parser->context, parser->context_mark.line + 1);
    } else {
        qe_report_add(loader->report, line, column, "not YAML: %s", problem);
    }
    return -1;
}

static int fail_at(struct loader *loader, const yaml_event_t *event, const char *message)
{
    qe_report_add(loader->report, event->start_mark.line + 1, event->start_mark.column + 1, "%s",
                  message);
    return -1;
}

static int fail_nomem(struct loader *loader)
{
    qe_report_nomem(loader->report);
    return -1;
}

/* Hangs `node` under the container that is open, or makes it the root. */
static int attach(struct loader *loader, const yaml_event_t *event, struct qe_yaml_node *node)
{
    if (loader->depth == 0) {
        loader->doc->root = node;
        return 0;
    }
    struct qe_yaml_node *parent = loader->stack[loader->depth - 1];
    if (parent->kind == QE_YAML_MAPPING && parent->items_count % 2 == 0) {
        bool is_scalar = node->kind == QE_YAML_SCALAR;

        if (!is_scalar) {
            fail_at(loader, event, "a key must be a plain word");
        } else if (node->plain && strcmp(node->text, "<<") == 0) {
            fail_at(loader, event, "merge keys (<<) are not supported: write the keys out");
        }
    }
    if (qe_grow(&parent->items, parent->items_count, &parent->items_capacity, QE_YAML_NODES_MAX,
                sizeof(struct qe_yaml_node *)) != 0) {
        return fail_nomem(loader);
    }
    parent->items[parent->items_count++] = node;
    return 0;
}

/* Adds to every open container what a finished node weighs; refuses what would grow too big. */
static int weigh(struct loader *loader, const yaml_event_t *event, size_t weight)
{
    for (size_t i = 0; i < loader->depth; i++) {
        loader->stack[i]->weight += weight;
    }
    if (loader->depth > 0 && loader->stack[0]->weight > QE_YAML_NODES_MAX) {
        return fail_at(loader, event, "too many values (aliases count as copies of their anchor)");
    }
    return 0;
}

static int remember_anchor(struct loader *loader, const yaml_event_t *event,
                           const yaml_char_t *name, struct qe_yaml_node *node)
{
    if (name == NULL) {
        return 0;
    }
    if (loader->anchors_count == QE_YAML_ANCHORS_MAX) {
        return fail_at(loader, event, "too many anchors (256 at most)");
    }
    char *copy = qe_strdup((const char *)name);
    if (copy == NULL) {
        return fail_nomem(loader);
    }
    loader->anchors[loader->anchors_count++] = (struct anchor){.name = copy, .node = node};
    return 0;
}

/* A node of `kind`, owned by the document, attached to what is open. */
static struct qe_yaml_node *add_node(struct loader *loader, const yaml_event_t *event,
                                     enum qe_yaml_kind kind)
{
    struct qe_yaml_doc *doc = loader->doc;

    if (doc->count == QE_YAML_NODES_MAX) {
        fail_at(loader, event, "too many values");
        return NULL;
    }
    struct qe_yaml_node *node = qe_calloc(1, sizeof *node);
    if (node == NULL || qe_grow(&doc->nodes, doc->count, &doc->capacity, QE_YAML_NODES_MAX,
                                sizeof(struct qe_yaml_node *)) != 0) {
        node_destroy(node);
        fail_nomem(loader);
        return NULL;
    }
    doc->nodes[doc->count++] = node;
    node->kind = kind;
    node->line = event->start_mark.line + 1;
    node->column = event->start_mark.column + 1;
    node->weight = 1;
    return node;
}

/* The tag is not shown: `password: !x` may be a password that lacks its quotes. */
static void refuse_tag(struct loader *loader, const yaml_event_t *event, const yaml_char_t *tag)
{
    if (tag != NULL) {
        fail_at(loader, event, "tags are not supported (text that starts with ! needs quotes)");
    }
}

static int on_scalar(struct loader *loader, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    struct qe_yaml_node *node = add_node(loader, event, QE_YAML_SCALAR);

    if (node == NULL) {
        return -1;
    }
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = qe_strndup(value, length);
    if (node->text == NULL) {
        return fail_nomem(loader);
    }
    if (strlen(node->text) != length) {
        fail_at(loader, event, "a NUL character is not supported");
    }
    refuse_tag(loader, event, event->data.scalar.tag);
    if (remember_anchor(loader, event, event->data.scalar.anchor, node) != 0 ||
        attach(loader, event, node) != 0) {
        return -1;
    }
    return weigh(loader, event, 1);
}

static int on_start(struct loader *loader, const yaml_event_t *event, enum qe_yaml_kind kind)
{
    bool is_sequence = kind == QE_YAML_SEQUENCE;
    const yaml_char_t *anchor =
        is_sequence ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;

    if (loader->depth == QE_CONFIG_DEPTH_MAX) {
        return fail_at(loader, event, "nested too deeply (32 levels at most)");
    }
    struct qe_yaml_node *node = add_node(loader, event, kind);
    if (node == NULL) {
        return -1;
    }
    refuse_tag(loader, event,
               is_sequence ? event->data.sequence_start.tag : event->data.mapping_start.tag);
    if (remember_anchor(loader, event, anchor, node) != 0 || attach(loader, event, node) != 0 ||
        weigh(loader, event, 1) != 0) {
        return -1;
    }
    node->open = true;
    loader->stack[loader->depth++] = node;
    return 0;
}

static int on_alias(struct loader *loader, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct qe_yaml_node *target = NULL;

    if (++loader->aliases_count > QE_YAML_ALIASES_MAX) {
        return fail_at(loader, event, "too many aliases (4096 at most)");
    }
    for (size_t i = loader->anchors_count; i > 0 && target == NULL; i--) {
        if (strcmp(loader->anchors[i - 1].name, name) == 0) {
            target = loader->anchors[i - 1].node;
        }
    }
    if (target == NULL) { /* unnamed: `password: *x` may be a password that lacks its quotes */
        return fail_at(loader, event,
                       "alias without an anchor (text that starts with * needs quotes)");
    }
    if (target->open) {
        return fail_at(loader, event, "an alias inside its own anchor");
    }
    /* Aliases can make a tree deeper than the stack allows; nobody minds, since readers follow the
     * option tables, which end. */
    return attach(loader, event, target) == 0 ? weigh(loader, event, target->weight) : -1;
}

/* 0: go on; 1: the stream ended; -1: reported. */
static int on_event(struct loader *loader, const yaml_event_t *event, size_t *documents)
{
    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        return 1;
    case YAML_DOCUMENT_START_EVENT:
        *documents += 1;
        if (*documents > 1) {
            return fail_at(loader, event, "a second document is not supported: use one file");
        }
        return 0;
    case YAML_SCALAR_EVENT:
        return on_scalar(loader, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(loader, event, QE_YAML_SEQUENCE);
    case YAML_MAPPING_START_EVENT:
        return on_start(loader, event, QE_YAML_MAPPING);
    case YAML_ALIAS_EVENT:
        return on_alias(loader, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        loader->stack[--loader->depth]->open = false;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

static void event_delete(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT && event->data.scalar.value != NULL) {
        qe_secret_wipe(event->data.scalar.value, event->data.scalar.length);
    }
    yaml_event_delete(event);
}

static int load_events(struct loader *loader)
{
    size_t documents = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0; i++) {
        yaml_event_t event;

        if (yaml_parser_parse(&loader->parser, &event) == 0) {
            return fail_syntax(loader);
        }
        rc = on_event(loader, &event, &documents);
        event_delete(&event);
    }
    return rc < 0 ? -1 : 0;
}

/* First byte that libyaml need not see: NUL or not UTF-8; SIZE_MAX when all is well. */
static size_t find_bad_byte(const char *text, size_t text_bytes)
{
    const char *nul = memchr(text, '\0', text_bytes);

    if (nul == NULL && qe_text_is_utf8(text, text_bytes)) {
        return SIZE_MAX;
    }
    size_t at = 0;
    while (at < text_bytes && text[at] != '\0') { /* each round steps one good character */
        size_t length = 1;

        while (length < 4 && at + length < text_bytes && !qe_text_is_utf8(text + at, length)) {
            length++;
        }
        if (!qe_text_is_utf8(text + at, length)) {
            break;
        }
        at += length;
    }
    return at;
}

static int check_bytes(const char *text, size_t text_bytes, struct qe_report *report)
{
    size_t line = 0;
    size_t column = 0;

    if (text_bytes > QE_CONFIG_FILE_MAX_BYTES) {
        qe_report_add(report, 0, 0, "larger than 1 MiB: this cannot be a configuration");
        return -1;
    }
    size_t bad = find_bad_byte(text, text_bytes);
    if (bad == SIZE_MAX) {
        return 0;
    }
    locate(text, bad, &line, &column);
    qe_report_add(report, line, column, "%s",
                  bad < text_bytes && text[bad] == '\0' ? "a NUL byte: this is not a text file"
                                                        : "not UTF-8: save the file as UTF-8");
    return -1;
}

static void wipe_parser(yaml_parser_t *parser)
{
    if (parser->raw_buffer.start != NULL) {
        qe_secret_wipe(parser->raw_buffer.start,
                       (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
    }
    if (parser->buffer.start != NULL) {
        qe_secret_wipe(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
    }
}

struct qe_yaml_doc *qe_yaml_load(const char *text, size_t text_bytes, struct qe_report *report)
{
    static const char s_bom[] = "\xEF\xBB\xBF";
    struct loader loader = {.report = report};
    int rc = -1;

    if (check_bytes(text, text_bytes, report) != 0) {
        return NULL;
    }
    if (text_bytes >= 3 && memcmp(text, s_bom, 3) == 0) {
        text += 3; /* libyaml skips it only where it guesses the encoding */
        text_bytes -= 3;
    }
    loader.text = text;
    loader.text_bytes = text_bytes;
    loader.doc = qe_calloc(1, sizeof *loader.doc);
    if (loader.doc == NULL || yaml_parser_initialize(&loader.parser) == 0) {
        qe_free(loader.doc);
        qe_report_nomem(report);
        return NULL;
    }
    yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text, text_bytes);
    rc = load_events(&loader);
    wipe_parser(&loader.parser);
    yaml_parser_delete(&loader.parser);
    for (size_t i = 0; i < loader.anchors_count; i++) {
        qe_free(loader.anchors[i].name);
    }
    if (rc != 0) {
        qe_yaml_destroy(loader.doc);
        return NULL;
    }
    return loader.doc;
}

const struct qe_yaml_node *qe_yaml_get(const struct qe_yaml_node *node, const char *key)
{
    if (node == NULL || node->kind != QE_YAML_MAPPING) {
        return NULL;
    }
    for (size_t i = 0; i + 1 < node->items_count; i += 2) {
        const struct qe_yaml_node *name = node->items[i];

        if (name->kind == QE_YAML_SCALAR && strcmp(name->text, key) == 0) {
            return node->items[i + 1];
        }
    }
    return NULL;
}

bool qe_yaml_is_empty(const struct qe_yaml_node *node)
{
    return node->kind == QE_YAML_SCALAR && node->plain &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

const char *qe_yaml_kind_name(const struct qe_yaml_node *node)
{
    switch (node->kind) {
    case QE_YAML_SCALAR:
        return "text";
    case QE_YAML_SEQUENCE:
        return "a list";
    case QE_YAML_MAPPING:
        return "a section";
    }
    return "";
}
