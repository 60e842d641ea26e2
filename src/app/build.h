/* What this binary is. */
#ifndef QE_APP_BUILD_H
#define QE_APP_BUILD_H

#include <stdio.h>

#include "metrics/page.h"

const struct qe_build_info *qe_build_info(void);
/* Of the revision, "2026-11-30". */
const char *qe_build_date(void);
/* "queue_exporter, version 0.1.0 (revision: ...)" and the libraries, as --version prints them. */
void qe_build_print(FILE *out, const char *program);

#endif
