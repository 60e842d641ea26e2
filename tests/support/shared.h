/* Test data that lives beside the checkout, in ../shared (QE_SHARED, as environment or CMake
 * variable, names another place). A test that needs it skips, with the reason, where it is absent.
 */
#ifndef QE_TESTS_SUPPORT_SHARED_H
#define QE_TESTS_SUPPORT_SHARED_H

#include <stdbool.h>
#include <stddef.h>

#include "util/strbuf.h"

#define QE_SHARED_PATH_BYTES 1024

/* "vectors/sigv4" -> ".../shared/vectors/sigv4". Returns whether it is there. */
bool qe_shared_path(const char *relative, char out[QE_SHARED_PATH_BYTES]);
/* Prints that `relative` is missing and skips the running test. */
void qe_shared_skip(const char *relative);
/* What main() returns for so many failures: when there are none, and a test was skipped, what CTest
 * counts as skipped. Else the program would count as passed. */
int qe_shared_result(int failures);
/* The whole file, which must be there. */
void qe_shared_read(const char *path, struct qe_strbuf *out);
/* The names in a folder, sorted, without those that begin with '.'; ends with NULL. Freed with
 * qe_shared_free_names(). */
char **qe_shared_names(const char *folder);
void qe_shared_free_names(char **names);

#endif
