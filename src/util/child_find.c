#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/child.h"

/* What execvp() takes where PATH is not set. */
#define DEFAULT_PATH "/bin:/usr/bin"

/* 0 or an errno value. */
static int is_program(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        return errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return EACCES;
    }
    return access(path, X_OK) == 0 ? 0 : errno;
}

int qe_child_find(const char *program, char out[QE_CHILD_PATH_BYTES], struct qe_err *err)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment while we run */
    const char *path = getenv("PATH");
    char candidate[QE_CHILD_PATH_BYTES];
    int reason = ENOENT;

    if (strchr(program, '/') != NULL) {
        reason = is_program(program);
        if (reason == 0) {
            (void)snprintf(out, QE_CHILD_PATH_BYTES, "%s", program);
            return 0;
        }
        return qe_err_set_errno(err, reason, "%s is no program that can be run", program);
    }
    path = path != NULL && *path != '\0' ? path : DEFAULT_PATH;
    for (const char *at = path, *end = path; *end != '\0'; at = end + 1) {
        end = at + strcspn(at, ":");
        int length = snprintf(candidate, sizeof candidate, "%.*s/%s", (int)(end - at), at, program);
        int rc = length > 0 && (size_t)length < sizeof candidate ? is_program(candidate) : ENOENT;

        if (rc == 0) {
            (void)snprintf(out, QE_CHILD_PATH_BYTES, "%s", candidate);
            return 0;
        }
        reason = rc == EACCES ? rc : reason;
    }
    return qe_err_set_errno(err, reason, "no program %s on PATH (%.300s)", program, path);
}
