/* One YAML document as a tree with positions; everything hostile is refused before it costs. */
#ifndef QE_CONFIG_YAML_H
#define QE_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "config/report.h"
#include "util/err.h"

enum qe_yaml_kind {
    QE_YAML_SCALAR = 0,
    QE_YAML_SEQUENCE,
    QE_YAML_MAPPING
};

/* Limits: about ten times what the largest sensible configuration needs. */
#define QE_YAML_NODES_MAX 200000 /* also counts what aliases would expand to */
#define QE_YAML_ANCHORS_MAX 256
#define QE_YAML_ALIASES_MAX 4096

struct qe_yaml_node {
    enum qe_yaml_kind kind;
    size_t line; /* 1-based */
    size_t column;
    bool plain;    /* scalar without quotes */
    bool open;     /* while loading: its end has not been seen */
    char *text;    /* scalar: owned, NUL-terminated, no NUL inside; wiped when freed */
    size_t weight; /* nodes below and including this one, aliases counted as copies */
    struct qe_yaml_node **items; /* owned array, nodes borrowed from the document; a mapping holds
                                    key, value, key, value */
    size_t items_count;
    size_t items_capacity;
};

struct qe_yaml_doc {
    struct qe_yaml_node **nodes; /* owned, as each node */
    size_t count;
    size_t capacity;
    struct qe_yaml_node *root; /* borrowed from nodes; NULL: an empty document */
};

/* Reads one document. Each error goes to `report`; the tree may still be usable then, so that the
 * caller can find more. NULL when nothing can be made of the text, or out of memory. */
struct qe_yaml_doc *qe_yaml_load(const char *text, size_t text_bytes,
                                 struct qe_report *report) QE_MUST_CHECK;
void qe_yaml_destroy(struct qe_yaml_doc *doc); /* accepts NULL */

/* The value of the first `key` in a mapping; NULL when absent or not a mapping. */
const struct qe_yaml_node *qe_yaml_get(const struct qe_yaml_node *node, const char *key);
/* `key:` with nothing behind it, ~ or null. */
bool qe_yaml_is_empty(const struct qe_yaml_node *node);
/* "text", "a list" or "a section": how errors call it. */
const char *qe_yaml_kind_name(const struct qe_yaml_node *node);

#endif
