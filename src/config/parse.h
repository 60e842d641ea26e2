/* Sections of the tree into structs, by their option tables. Every error goes to the report, and
 * parsing goes on. */
#ifndef QE_CONFIG_PARSE_H
#define QE_CONFIG_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/option.h"
#include "config/report.h"
#include "config/yaml.h"

struct qe_parse;

/* Fills one item of a section list that needs more than its table: a source, whose keys depend on
 * its type. `settings` is zeroed. */
typedef void qe_parse_item_fn(struct qe_parse *parse, const struct qe_yaml_node *node,
                              void *settings);

struct qe_parse {
    struct qe_report *report;
    const struct qe_section *special; /* section lists of this section use `item`; may be NULL */
    qe_parse_item_fn *item;
    void *context; /* for `item` */
};

/* One mapping may fill several structs: a source's common keys and those of its type. */
struct qe_section_part {
    const struct qe_section *section;
    void *settings;
};

/* Parses `node` into every part; their defaults are already set. `name` is what errors call the
 * section. strict: keys in no part are errors. Missing required keys, duplicates, and each part's
 * own check() after all else went well are errors too. */
void qe_parse_mapping(struct qe_parse *parse, const struct qe_yaml_node *node, const char *name,
                      const struct qe_section_part *parts, size_t parts_count, bool strict);

/* The text of a scalar node with variables expanded, for the caller to free (and wipe when it is a
 * secret); NULL when it has none or the expansion failed, which is reported. */
char *qe_parse_text(struct qe_parse *parse, const struct qe_yaml_node *node, const char *key);

#endif
