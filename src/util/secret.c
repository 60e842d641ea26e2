/* mmap of anonymous memory and madvise are not in POSIX. */
#define _DEFAULT_SOURCE
#include "util/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/mem.h"

/* One mapping of its own per secret, so that no neighbour of it on the heap, and no copy left by
 * realloc or free, ever carries its bytes. */
struct qe_secret {
    char *bytes; /* owned, mapped */
    size_t length;
    size_t mapped_bytes;
};

void qe_secret_wipe(void *bytes, size_t count)
{
    if (count > 0) {
        explicit_bzero(bytes, count);
    }
}

void qe_secret_destroy(struct qe_secret *secret)
{
    if (secret == NULL) {
        return;
    }
    if (secret->bytes != NULL) {
        qe_secret_wipe(secret->bytes, secret->mapped_bytes);
        (void)munmap(secret->bytes, secret->mapped_bytes);
    }
    qe_free(secret);
}

/* An empty secret with room for `room` bytes and a NUL. */
static struct qe_secret *allocate(size_t room, struct qe_err *err)
{
    struct qe_secret *secret = qe_calloc(1, sizeof *secret);

    if (secret == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for a secret");
        return NULL;
    }
    void *mapped = mmap(NULL, room + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapped == MAP_FAILED) {
        qe_err_set_errno(err, errno, "cannot map memory for a secret");
        qe_secret_destroy(secret);
        return NULL;
    }
    secret->bytes = mapped;
    secret->mapped_bytes = room + 1;
    /* Best effort, both: a kernel without them, or a small RLIMIT_MEMLOCK, is no reason to stop. */
    (void)madvise(mapped, room + 1, MADV_DONTDUMP);
    (void)mlock(mapped, room + 1);
    return secret;
}

struct qe_secret *qe_secret_new(const char *bytes, size_t count, struct qe_err *err)
{
    if (count > QE_SECRET_MAX_BYTES) {
        qe_err_set(err, QE_ERR_LIMIT, "secret is longer than %d bytes", QE_SECRET_MAX_BYTES);
        return NULL;
    }
    struct qe_secret *secret = allocate(count, err);

    if (secret != NULL && count > 0) {
        memcpy(secret->bytes, bytes, count);
        secret->length = count;
    }
    return secret;
}

/* Reads straight into the secret's own memory: no copy to wipe. */
static int read_all(struct qe_secret *secret, int fd, const char *path, struct qe_err *err)
{
    for (;;) {
        /* One byte more than allowed is asked for: that is how "too long" is seen. */
        ssize_t got =
            read(fd, secret->bytes + secret->length, secret->mapped_bytes - 1 - secret->length);

        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return qe_err_set_errno(err, errno, "cannot read %s", path);
        }
        secret->length += got > 0 ? (size_t)got : 0;
        if (secret->length > QE_SECRET_MAX_BYTES) {
            return qe_err_set(err, QE_ERR_LIMIT, "%s is longer than the %d bytes of a secret", path,
                              QE_SECRET_MAX_BYTES);
        }
    }
    return 0;
}

static void drop_line_end(struct qe_secret *secret)
{
    if (secret->length > 0 && secret->bytes[secret->length - 1] == '\n') {
        secret->length--;
        if (secret->length > 0 && secret->bytes[secret->length - 1] == '\r') {
            secret->length--;
        }
    }
    qe_secret_wipe(secret->bytes + secret->length, secret->mapped_bytes - secret->length);
}

static int check_content(const struct qe_secret *secret, const char *path, struct qe_err *err)
{
    if (secret->length == 0) {
        return qe_err_set(err, QE_ERR_INVALID, "%s is empty: put the secret into it", path);
    }
    /* Libraries take secrets as C strings: a NUL would silently shorten it. */
    if (memchr(secret->bytes, '\0', secret->length) != NULL) {
        return qe_err_set(err, QE_ERR_INVALID, "%s contains a NUL byte", path);
    }
    return 0;
}

struct qe_secret *qe_secret_new_from_file(const char *path, struct qe_err *err)
{
    struct qe_secret *secret = allocate(QE_SECRET_MAX_BYTES + 1, err);

    if (secret == NULL) {
        return NULL;
    }
    /* Non-blocking, so that a FIFO nobody writes to cannot hang the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 ? qe_err_set_errno(err, errno, "cannot open %s", path)
                    : read_all(secret, fd, path, err);

    if (fd >= 0) {
        (void)close(fd);
    }
    if (rc == 0) {
        drop_line_end(secret);
        rc = check_content(secret, path, err);
    }
    if (rc != 0) {
        qe_secret_destroy(secret);
        return NULL;
    }
    return secret;
}

const char *qe_secret_bytes(const struct qe_secret *secret)
{
    return secret == NULL ? "" : secret->bytes;
}

size_t qe_secret_length(const struct qe_secret *secret)
{
    return secret == NULL ? 0 : secret->length;
}

bool qe_secret_equal(const struct qe_secret *a, const struct qe_secret *b)
{
    size_t length = qe_secret_length(a);

    if (length != qe_secret_length(b)) {
        return false;
    }
    const char *left = qe_secret_bytes(a);
    const char *right = qe_secret_bytes(b);
    unsigned char different = 0;

    for (size_t i = 0; i < length; i++) {
        different |= (unsigned char)(left[i] ^ right[i]);
    }
    return different == 0;
}
