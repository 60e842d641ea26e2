/* Option tables: one row per key drives parsing, --config.check, defaults, ranges, units, /config
 * and the README's reference. */
#ifndef QE_CONFIG_OPTION_H
#define QE_CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/regex.h"
#include "util/secret.h"

#define QE_OPTIONS_MAX 64 /* keys that one section (with its extension) may have */

/* The C type found at `offset` is in the comment. */
enum qe_option_type {
    QE_OPT_TEXT,       /* char *, owned; NULL when absent without default */
    QE_OPT_BOOL,       /* bool */
    QE_OPT_UINT,       /* uint64_t */
    QE_OPT_NUMBER,     /* double */
    QE_OPT_DURATION,   /* int64_t, milliseconds */
    QE_OPT_SIZE,       /* uint64_t, bytes */
    QE_OPT_CHOICE,     /* int: index into choices */
    QE_OPT_SECRET,     /* struct qe_secret *, owned; the key `x` or the file named by `x_file` */
    QE_OPT_TEXT_LIST,  /* struct qe_text_list */
    QE_OPT_REGEX,      /* struct qe_regex *, owned */
    QE_OPT_REGEX_LIST, /* struct qe_regex_list */
    /* The section's struct, inline. Absent and not required: its defaults. But where one of its own
     * keys is required, that key (TEXT, SECRET or REGEX) tells: NULL means that the whole section
     * is absent, and then all of it is zero. */
    QE_OPT_SECTION,
    QE_OPT_SECTION_LIST /* struct qe_section_list */
};

struct qe_text_list {
    char **items; /* owned, as each item */
    size_t count;
};
struct qe_regex_list {
    struct qe_regex **items; /* owned, as each item */
    size_t count;
};
struct qe_section_list {
    void *items; /* owned; `count` structs of section->size_bytes */
    size_t count;
};

struct qe_section;

struct qe_option {
    const char *key;
    enum qe_option_type type;
    size_t offset;
    bool required;
    const char *default_text; /* as one would write it; NULL: absent (zero, NULL or empty), as for
                                 every list and section */
    const char *default_note; /* for the reference, where the default follows from other keys */
    const char *example; /* a value for the smallest example; for required keys without default */
    /* Inclusive, in the unit of the C type; both 0: unchecked. TEXT: how many bytes; lists: how
     * many items. */
    double min;
    double max;
    const char *const *choices; /* CHOICE: NULL-terminated */
    const struct qe_section *section;
    const char *help; /* one line for the reference; Markdown */
};

/* A rule between keys. *out_key names the key to point at (or stays NULL: the section itself). -1
 * with the message when it is broken. */
typedef int qe_rule_fn(const void *settings, const char **out_key, struct qe_err *err);
#define QE_RULES_MAX 8

/* Why a key of the section has no effect, given the others: static text; NULL: it has one. A key
 * that is written all the same is an error, and one that is not is left out of what is printed. */
typedef const char *qe_unused_fn(const void *settings, const char *key);

struct qe_section {
    const char *name; /* for messages and the reference: "consumers" */
    size_t size_bytes;
    const struct qe_option *options;
    size_t options_count;
    qe_rule_fn *rules[QE_RULES_MAX]; /* each is asked, once all keys parsed well; NULL: none */
    qe_unused_fn
        *unused; /* asked of each key that is there, before the rules; NULL: all are used */
};

/* Fills a zeroed struct with defaults. -1: out of memory (a bad default is a bug and asserts in
 * tests). */
int qe_section_set_defaults(const struct qe_section *section, void *settings,
                            struct qe_err *err) QE_MUST_CHECK;
/* Frees what the struct owns and zeroes it; zeroed is fine. */
void qe_section_deinit(const struct qe_section *section, void *settings);
/* Same values, secrets included. */
bool qe_section_equal(const struct qe_section *section, const void *a, const void *b);

#endif
