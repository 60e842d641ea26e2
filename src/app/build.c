#include "app/build.h"

#include "metrics/compress.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const struct qe_build_info s_build = {
    .version = QE_VERSION,
    .revision = QE_REVISION,
    .compiler = COMPILER,
};

const struct qe_build_info *qe_build_info(void)
{
    return &s_build;
}

const char *qe_build_date(void)
{
    return QE_DATE;
}

void qe_build_print(FILE *out, const char *program)
{
    (void)fprintf(out, "%s, version %s (revision: %s)\n  compiler:    %s\n  compression: %s\n",
                  program, s_build.version, s_build.revision, s_build.compiler,
                  qe_compress_library());
}
