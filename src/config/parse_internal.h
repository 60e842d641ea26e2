/* The values of single options; for parse.c. */
#ifndef QE_CONFIG_PARSE_INTERNAL_H
#define QE_CONFIG_PARSE_INTERNAL_H

#include "config/parse.h"

/* "key: problem" at a node. */
void qe_parse_report(struct qe_parse *parse, const struct qe_yaml_node *node, const char *key,
                     const char *problem);
/* "key: must be <wanted>, not <what it is>". */
void qe_parse_report_kind(struct qe_parse *parse, const struct qe_yaml_node *node, const char *key,
                          const char *wanted);

/* Each parses a node into the option's slot, or reports why not. */
void qe_parse_scalar(struct qe_parse *parse, const struct qe_option *option,
                     const struct qe_yaml_node *node, void *slot);
void qe_parse_secret_file(struct qe_parse *parse, const char *key, const struct qe_yaml_node *node,
                          struct qe_secret **slot);
void qe_parse_text_list(struct qe_parse *parse, const struct qe_option *option,
                        const struct qe_yaml_node *node, struct qe_text_list *list);
void qe_parse_regex_list(struct qe_parse *parse, const struct qe_option *option,
                         const struct qe_yaml_node *node, struct qe_regex_list *list);

/* True for a list with items to parse, of a length in range; an empty list is fine and false. */
bool qe_parse_check_list(struct qe_parse *parse, const struct qe_option *option,
                         const struct qe_yaml_node *node);

#endif
