/* JSON out: small documents for people and scripts. The only door to cJSON; a reader comes with the
 * first driver that needs one. */
#ifndef QE_UTIL_JSON_H
#define QE_UTIL_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

struct qe_json; /* a value; children belong to their parent */

struct qe_json *
qe_json_new_object(void); /* NULL when out of memory; every adder accepts NULL and then fails */
struct qe_json *qe_json_new_array(void);
void qe_json_destroy(struct qe_json *root); /* accepts NULL; never on a child */

/* All return 0, or -1 when out of memory. Text must be UTF-8. */
int qe_json_add_text(struct qe_json *object, const char *key, const char *text);
int qe_json_add_number(struct qe_json *object, const char *key, double number);
int qe_json_add_bool(struct qe_json *object, const char *key, bool value);
int qe_json_add_null(struct qe_json *object, const char *key);
/* The callee owns `child` from the call on, even on failure. key is NULL when `parent` is an array.
 */
int qe_json_add_take(struct qe_json *parent, const char *key, struct qe_json *child);

/* Text without spaces (pretty: indented); the caller frees it with qe_free. NULL when out of
 * memory. */
char *qe_json_print(const struct qe_json *root, bool pretty) QE_MUST_CHECK;

#endif
