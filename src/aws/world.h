/* Everything outside that credentials, regions and endpoints are found in. The real one reads the
 * process's environment, files, HTTP and child processes; tests hand in a made one. */
#ifndef QE_AWS_WORLD_H
#define QE_AWS_WORLD_H

#include <stdint.h>

#include "net/http_client.h"
#include "util/err.h"
#include "util/strbuf.h"

/* Any thread, several at once. */
struct qe_aws_world {
    void *self;
    /* Value of an environment variable; NULL: not set. Blank counts as not set, which is the
     * caller's business. Borrowed, and stays: nobody changes the environment while we run. */
    const char *(*get)(void *self, const char *name);
    /* Appends a file's content. QE_ERR_NOT_FOUND: no such file; QE_ERR_AUTH, _LIMIT, _IO,
     * _INVALID (no regular file or pipe). */
    int (*read_file)(void *self, const char *path, size_t max_bytes, struct qe_strbuf *out,
                     struct qe_err *err);
    /* One HTTP request on a connection of its own. As qe_http_fetch(). ca_file: NULL for the
     * system's. */
    int (*fetch)(void *self, const struct qe_http_request *request, const char *ca_file,
                 struct qe_http_reply *out_reply, struct qe_err *err);
    /* Runs a program (argv ends with NULL, no shell) and appends what it prints. When it ends with
     * another code than 0, the start of its error output is the error's text, as it came: the
     * caller makes it fit to be shown. Killed, with all it started in its process group, at the
     * deadline. */
    int (*run)(void *self, char *const *argv, int64_t deadline_mono_ms, size_t max_bytes,
               struct qe_strbuf *out, struct qe_err *err);
    int64_t (*now_unix_ms)(void *self);
    int64_t (*now_mono_ms)(void *self);
    /* Returns at that time: the pause before something is tried again. */
    void (*pause)(void *self, int64_t until_mono_ms);
};

/* The real one; static. */
const struct qe_aws_world *qe_aws_real_world(void);

#endif
