#include "support/check.h"

#include <math.h>
#include <string.h>

#include "util/mem.h"
#include "util/number.h"

/* A unit test that asks for more than this has another problem. */
#define TORTURE_MAX_ALLOCATIONS 20000

void qe_check_ok(int rc, const struct qe_err *err, const char *file, int line)
{
    if (rc != 0) {
        print_error("%s:%d: failed: %s: %s\n", file, line, qe_err_code_name(err->code),
                    err->message);
        _fail(file, line);
    }
}

void qe_check_double(double a, double b, const char *file, int line)
{
    char text_a[QE_NUMBER_MAX_BYTES + 1] = "";
    char text_b[QE_NUMBER_MAX_BYTES + 1] = "";

    text_a[qe_number_write_double(a, text_a)] = '\0';
    text_b[qe_number_write_double(b, text_b)] = '\0';
    if (strcmp(text_a, text_b) != 0) {
        print_error("%s:%d: %s is not %s\n", file, line, text_a, text_b);
        _fail(file, line);
    }
}

void qe_check_torture(int (*body)(void *context, struct qe_err *err), void *context)
{
    for (size_t nth = 1; nth <= TORTURE_MAX_ALLOCATIONS; nth++) {
        struct qe_err err = {0};

        qe_mem_fail_at(nth);
        int rc = body(context, &err);
        size_t asked = qe_mem_allocations();
        qe_mem_fail_at(0);
        if (asked < nth) {
            qe_check_ok(rc, &err, __FILE__, __LINE__); /* no allocation failed: it must succeed */
            return;
        }
        if (rc != 0 && err.code != QE_ERR_NOMEM) {
            print_error("allocation %zu failed, and the error says %s: %s\n", nth,
                        qe_err_code_name(err.code), err.message);
            _fail(__FILE__, __LINE__);
        }
    }
    fail_msg("more than %d allocations", TORTURE_MAX_ALLOCATIONS);
}
