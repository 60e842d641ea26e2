/* Reads the configuration file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#include "config/config.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/secret.h"

/* A pipe is a fine configuration file, but nobody waits for its writer for ever: a reload would
 * take the signals' thread with it. */
#define READ_MAX_MS 5000

/* Reads until the end, or one byte past the limit: that is how "too large" is seen. */
static int read_all(int fd, char *out, size_t room, size_t *out_bytes)
{
    int64_t deadline_mono_ms = qe_clock_mono_ms() + READ_MAX_MS;
    size_t length = 0;

    for (ssize_t got = 1; got != 0 && length < room;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int64_t left_ms = deadline_mono_ms - qe_clock_mono_ms();

        if (left_ms <= 0 || poll(&ready, 1, (int)left_ms) == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        got = read(fd, out + length, room - length);
        if (got < 0 && errno != EINTR && errno != EAGAIN) {
            return -1;
        }
        length += got > 0 ? (size_t)got : 0;
        got = got < 0 ? 1 : got; /* interrupted: again */
    }
    *out_bytes = length;
    return 0;
}

static void report_errno(const char *path, int sys_errno, struct qe_strbuf *errors)
{
    struct qe_err err = {0};

    if (sys_errno == ENOENT) {
        (void)qe_strbuf_printf(errors,
                               "%s: no such file: start from queue_exporter.example.yml "
                               "(packaging/, or /usr/share/doc/queue-exporter/examples/), or name "
                               "another with --config.file\n",
                               path);
        return;
    }
    (void)qe_err_set_errno(&err, sys_errno, "cannot read the configuration");
    (void)qe_strbuf_printf(errors, "%s: %s\n", path, err.message);
}

struct qe_config *qe_config_load(const char *path, const struct qe_source_type *types,
                                 size_t types_count, struct qe_strbuf *errors)
{
    const size_t room = QE_CONFIG_FILE_MAX_BYTES + 1;
    struct qe_config *config = NULL;
    size_t text_bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        report_errno(path, errno, errors);
        return NULL;
    }
    char *text = qe_calloc(room, 1);
    if (text == NULL) {
        (void)qe_strbuf_printf(errors, "%s: out of memory\n", path);
    } else if (read_all(fd, text, room, &text_bytes) != 0) {
        report_errno(path, errno, errors);
    } else {
        config = qe_config_load_text(path, text, text_bytes, types, types_count, errors);
    }
    if (text != NULL) {
        qe_secret_wipe(text, text_bytes); /* it may hold passwords */
    }
    qe_free(text);
    (void)close(fd);
    return config;
}
