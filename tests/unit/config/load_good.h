/* Loads what must load. */
#ifndef QE_TESTS_UNIT_CONFIG_LOAD_GOOD_H
#define QE_TESTS_UNIT_CONFIG_LOAD_GOOD_H

#include "support/check.h"
#include "unit/config/sample_types.h"
#include "util/strbuf.h"

static inline struct qe_config *load_good(const char *text)
{
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, 0);
    struct qe_config *config = load_sample(text, &errors);
    if (config == NULL) {
        print_error("%s", qe_strbuf_text(&errors));
        fail();
    }
    assert_int_equal(errors.length_bytes, 0);
    qe_strbuf_deinit(&errors);
    return config;
}

#endif
