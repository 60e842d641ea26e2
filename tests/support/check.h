/* What every test needs: cmocka with its headers in their order, and checks that cmocka lacks. */
#ifndef QE_TESTS_SUPPORT_CHECK_H
#define QE_TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/err.h"

/* Fails with the error's own words. */
#define assert_ok(rc, err) qe_check_ok((rc), &(err), __FILE__, __LINE__)
void qe_check_ok(int rc, const struct qe_err *err, const char *file, int line);

/* Exact comparison of doubles through their shortest text (cmocka's own casts to float). */
#define assert_double_equal(a, b) qe_check_double((a), (b), __FILE__, __LINE__)
void qe_check_double(double a, double b, const char *file, int line);

/* Allocation torture: runs `body` with allocation 1..N of this thread failing, until one run needs
 * no failed allocation. `body` returns 0 on success; on failure it must have cleaned up and set
 * *err to QE_ERR_NOMEM. */
void qe_check_torture(int (*body)(void *context, struct qe_err *err), void *context);

#endif
