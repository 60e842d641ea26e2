/* The real world's own files: world.c, and world_run.c, which runs programs. */
#ifndef QE_AWS_WORLD_INTERNAL_H
#define QE_AWS_WORLD_INTERNAL_H

#include "aws/world.h"

/* As qe_aws_world.run. Any thread, also while others fork. */
int qe_aws_run_program(char *const *argv, int64_t deadline_mono_ms, size_t max_bytes,
                       struct qe_strbuf *out, struct qe_err *err) QE_MUST_CHECK;

#endif
