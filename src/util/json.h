/* JSON, out and in. The only door to cJSON. */
#ifndef QE_UTIL_JSON_H
#define QE_UTIL_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"
#include "util/strbuf.h"

struct qe_json; /* a value; children belong to their parent */

struct qe_json *
qe_json_new_object(void); /* NULL when out of memory; every adder accepts NULL and then fails */
struct qe_json *qe_json_new_array(void);
void qe_json_destroy(struct qe_json *root); /* accepts NULL; never on a child */
/* The same, and every text in it is wiped first: for what holds secrets. */
void qe_json_destroy_wiped(struct qe_json *root);

/* All return 0, or -1 when out of memory. Text must be UTF-8. */
int qe_json_add_text(struct qe_json *object, const char *key, const char *text);
int qe_json_add_number(struct qe_json *object, const char *key, double number);
int qe_json_add_bool(struct qe_json *object, const char *key, bool value);
int qe_json_add_null(struct qe_json *object, const char *key);
/* The callee owns `child` from the call on, even on failure. key is NULL when `parent` is an array.
 */
int qe_json_add_take(struct qe_json *parent, const char *key, struct qe_json *child);

/* Text without spaces; the caller frees it with qe_free. NULL when out of memory. */
char *qe_json_print(const struct qe_json *root) QE_MUST_CHECK;

/* --- in: hostile bytes --- */

#define QE_JSON_DEPTH_MAX 64

/* Parses exactly one value (white space around it is fine). QE_ERR_PROTOCOL with the byte offset
 * for what is not JSON or nested deeper than QE_JSON_DEPTH_MAX; nothing of the text is in the
 * message. The caller destroys the result. */
struct qe_json *qe_json_parse(const char *text, size_t bytes, struct qe_err *err) QE_MUST_CHECK;

/* Appends what qe_json_parse() has read, a line for each value, and each value as it was written: a
 * number that is printed anew may be another one. qe_strbuf_error() says whether it had room. */
void qe_json_indent(const char *text, size_t bytes, struct qe_strbuf *out);

/* One value of a list, borrowed for the call. -1 ends the reading. */
typedef int qe_json_item_fn(void *context, const struct qe_json *item, struct qe_err *err);
/* Parses a list value by value, so that a long one is never in memory as a whole. QE_ERR_PROTOCOL
 * as above, and for what is no list; of what is neither cut short nor has a wrong byte, values that
 * come before the fault may have been given. */
int qe_json_each(const char *text, size_t bytes, qe_json_item_fn *item, void *context,
                 struct qe_err *err) QE_MUST_CHECK;

/* All accept NULL and then say "no". Borrowed from the root. */
bool qe_json_is_object(const struct qe_json *value);
bool qe_json_is_array(const struct qe_json *value);
/* The member of that name (case counts; the first one where a name stands twice); NULL when there
 * is none, when it is null, or when `object` is none. */
const struct qe_json *qe_json_get(const struct qe_json *object, const char *key);
const char *qe_json_text(const struct qe_json *value);         /* NULL: not a string */
bool qe_json_number(const struct qe_json *value, double *out); /* finite numbers only */
bool qe_json_bool(const struct qe_json *value, bool *out);
/* Walks an array or object. */
const struct qe_json *qe_json_first(const struct qe_json *parent);
const struct qe_json *qe_json_next(const struct qe_json *value);
const char *qe_json_key(const struct qe_json *value); /* of an object's member; "" else */
size_t qe_json_count(const struct qe_json *parent);

/* A valid JSON pointer (RFC 6901): "" is the root, else /key/0/key with ~1 for / and ~0 for ~. */
bool qe_json_pointer_is_valid(const char *text) QE_MUST_CHECK;
/* What a valid pointer points at (of keys that stand twice the first); NULL: nothing is there. */
const struct qe_json *qe_json_at(const struct qe_json *root, const char *pointer);
/* The same as it stands in `text`, of which qe_json_parse() has made `root`: a number in full, of
 * which qe_json_number() tells the nearest double. Borrowed from `text`, without blanks around it;
 * NULL: nothing is there. */
const char *qe_json_written_at(const char *text, size_t bytes, const struct qe_json *root,
                               const char *pointer, size_t *out_bytes);

#endif
