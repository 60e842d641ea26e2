/* Rows of a file, the exact lines that users see when it is wrong, and why. */
#ifndef QE_TESTS_UNIT_CONFIG_CHECK_ROWS_H
#define QE_TESTS_UNIT_CONFIG_CHECK_ROWS_H

#include "support/check.h"
#include "unit/config/sample_types.h"
#include "util/strbuf.h"

#define GOOD "sources: [{name: a, type: shelf, path: p}]\n"

struct row {
    const char *why;
    const char *text;
    const char *errors; /* "" : loads */
};

static inline void check_row(const struct row *row)
{
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, 0);
    struct qe_config *config = load_sample(row->text, &errors);
    if (strcmp(qe_strbuf_text(&errors), row->errors) != 0) {
        print_error("%s\n--- got\n%s--- wanted\n%s", row->why, qe_strbuf_text(&errors),
                    row->errors);
        fail();
    }
    assert_int_equal(config != NULL, row->errors[0] == '\0');
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
}

static inline void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_row(&rows[i]);
    }
}
#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

#endif
