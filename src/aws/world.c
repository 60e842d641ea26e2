#include "aws/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "aws/world_internal.h"
#include "util/clock.h"

#define READ_BYTES ((size_t)4096)

static const char *real_get(void *self, const char *name)
{
    (void)self;
    return getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody sets the environment */
}

static int append_all(int fd, const char *path, size_t max_bytes, struct qe_strbuf *out,
                      struct qe_err *err)
{
    for (size_t total = 0;;) {
        char *room = qe_strbuf_reserve(out, READ_BYTES);

        if (room == NULL) {
            return qe_strbuf_error(out, err);
        }
        const ssize_t got = read(fd, room, READ_BYTES);

        if (got == 0) {
            *room = '\0';
            return 0;
        }
        if (got < 0 && errno != EINTR) {
            return qe_err_set_errno(err, errno, "cannot read %s", path);
        }
        total += got > 0 ? (size_t)got : 0;
        out->length_bytes += got > 0 ? (size_t)got : 0;
        if (total > max_bytes) {
            return qe_err_set(err, QE_ERR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
        }
    }
}

static int real_read_file(void *self, const char *path, size_t max_bytes, struct qe_strbuf *out,
                          struct qe_err *err)
{
    struct stat status = {0};

    (void)self;
    /* Non-blocking, so that a FIFO nobody writes to cannot hang a poll. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return qe_err_set_errno(err, errno, "cannot open %s", path);
    }
    int rc = fstat(fd, &status) == 0 && S_ISREG(status.st_mode)
                 ? append_all(fd, path, max_bytes, out, err)
                 : qe_err_set(err, QE_ERR_INVALID, "%s is not a regular file", path);

    (void)close(fd);
    return rc;
}

static int real_fetch(void *self, const struct qe_http_request *request, const char *ca_file,
                      struct qe_http_reply *out_reply, struct qe_err *err)
{
    const struct qe_http_client_options options = {
        .ca_file = ca_file, .user_agent = "queue_exporter", .connections_max = 1};
    struct qe_http_client *client = qe_http_client_new(&options, err);

    (void)self;
    if (client == NULL) {
        return -1;
    }
    const int rc = qe_http_fetch(client, request, out_reply, err);

    qe_http_client_destroy(client);
    return rc;
}

static int real_run(void *self, char *const *argv, int64_t deadline_mono_ms, size_t max_bytes,
                    struct qe_strbuf *out, struct qe_err *err)
{
    (void)self;
    return qe_aws_run_program(argv, deadline_mono_ms, max_bytes, out, err);
}

static int64_t real_now_unix_ms(void *self)
{
    (void)self;
    return qe_clock_unix_ms();
}

static int64_t real_now_mono_ms(void *self)
{
    (void)self;
    return qe_clock_mono_ms();
}

static void real_pause(void *self, int64_t until_mono_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(until_mono_ms / 1000),
                                   .tv_nsec = (long)(until_mono_ms % 1000) * 1000000L};

    (void)self;
    for (int rc = EINTR; rc == EINTR;) {
        rc = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
}

static const struct qe_aws_world s_real_world = {
    .get = real_get,
    .read_file = real_read_file,
    .fetch = real_fetch,
    .run = real_run,
    .now_unix_ms = real_now_unix_ms,
    .now_mono_ms = real_now_mono_ms,
    .pause = real_pause,
};

const struct qe_aws_world *qe_aws_real_world(void)
{
    return &s_real_world;
}
