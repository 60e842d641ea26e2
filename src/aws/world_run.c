/* pipe2, addclosefrom and environ are not in POSIX. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "aws/world_internal.h"
#include "util/clock.h"

#define READ_BYTES ((size_t)4096)
#define WORDS_MAX_BYTES ((size_t)2048) /* of the error output that is kept; the rest is let go */
#define WAIT_STEP_MS 10

/* One of the program's outputs. */
struct outlet {
    int fd; /* -1: it has ended */
    struct qe_strbuf *text;
    size_t taken_bytes; /* now */
    size_t max_bytes;
    bool is_cut; /* past max_bytes: read on, and let go */
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* Reads what is there. -1: no more memory, or the pipe broke. */
static int take(struct outlet *outlet, struct qe_err *err)
{
    char bytes[READ_BYTES];
    const ssize_t got = read(outlet->fd, bytes, sizeof bytes);
    int rc = 0;

    if (got == 0) {
        close_fd(&outlet->fd);
    } else if (got < 0) {
        rc = errno == EINTR || errno == EAGAIN
                 ? 0
                 : qe_err_set_errno(err, errno, "cannot read what the program prints");
    } else {
        const size_t room = outlet->max_bytes - outlet->taken_bytes;
        const size_t count = (size_t)got < room ? (size_t)got : room;

        outlet->is_cut = outlet->is_cut || count < (size_t)got;
        outlet->taken_bytes += count;
        rc = qe_strbuf_append(outlet->text, bytes, count) == 0 ? 0
                                                               : qe_strbuf_error(outlet->text, err);
    }
    explicit_bzero(bytes, sizeof bytes);
    return rc;
}

/* Reads both outlets until both have ended. */
static int take_all(struct outlet outlets[2], int64_t deadline_mono_ms, struct qe_err *err)
{
    while (outlets[0].fd >= 0 || outlets[1].fd >= 0) {
        struct pollfd fds[2] = {{.fd = outlets[0].fd, .events = POLLIN},
                                {.fd = outlets[1].fd, .events = POLLIN}};
        const int64_t left_ms = deadline_mono_ms - qe_clock_mono_ms();

        if (left_ms <= 0) {
            return qe_err_set(err, QE_ERR_TIMEOUT, "the program did not end in time");
        }
        if (poll(fds, 2, left_ms > 1000 ? 1000 : (int)left_ms) < 0 && errno != EINTR) {
            return qe_err_set_errno(err, errno, "cannot wait for the program");
        }
        for (size_t i = 0; i < 2; i++) {
            if (fds[i].revents != 0 && take(&outlets[i], err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* The program has closed its outputs: it is about to end. Waiting in steps, since a wait with a
 * deadline would need a signal handler of the whole process. */
static int wait_for_end(pid_t pid, int64_t deadline_mono_ms, int *out_status)
{
    for (;;) {
        const pid_t ended = waitpid(pid, out_status, WNOHANG);

        if (ended == pid || (ended < 0 && errno != EINTR)) {
            return ended == pid ? 0 : -1;
        }
        if (qe_clock_mono_ms() >= deadline_mono_ms) {
            return -1;
        }
        const struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};

        (void)nanosleep(&step, NULL);
    }
}

static void kill_group(pid_t pid)
{
    int status = 0;

    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
}

/* Of a program that ended: 0, or its complaint as the error. */
static int judge(int status, const struct outlet *out, const struct qe_strbuf *words,
                 struct qe_err *err)
{
    if (WIFSIGNALED(status)) {
        return qe_err_set(err, QE_ERR_AUTH, "the program was ended by signal %d: %s",
                          WTERMSIG(status), qe_strbuf_text(words));
    }
    if (WEXITSTATUS(status) != 0) {
        return qe_err_set(err, QE_ERR_AUTH, "the program ended with code %d: %s",
                          WEXITSTATUS(status), qe_strbuf_text(words));
    }
    if (out->is_cut) {
        return qe_err_set(err, QE_ERR_LIMIT, "the program printed more than %zu bytes",
                          out->max_bytes);
    }
    return 0;
}

/* In its own process group, with our signal mask undone, nothing to read, and no descriptor of
 * ours, whoever forgot to mark it. */
static int start(char *const *argv, int out_fd, int words_fd, pid_t *out_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc != 0) {
        return rc;
    }
    rc = posix_spawnattr_init(&attributes);
    if (rc != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                   POSIX_SPAWN_SETSIGDEF);
    if (rc == 0) {
        rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, words_fd, STDERR_FILENO);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    }
    if (rc == 0) {
        rc = posix_spawnp(out_pid, argv[0], &actions, &attributes, argv, environ);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Both outputs of a started program to their end, and its end. */
static int follow(pid_t pid, struct outlet outlets[2], int64_t deadline_mono_ms, struct qe_err *err)
{
    int status = 0;

    if (take_all(outlets, deadline_mono_ms, err) != 0) {
        kill_group(pid);
        return -1;
    }
    if (wait_for_end(pid, deadline_mono_ms, &status) != 0) {
        kill_group(pid);
        return qe_err_set(err, QE_ERR_TIMEOUT, "the program did not end in time");
    }
    return judge(status, &outlets[0], outlets[1].text, err);
}

int qe_aws_run_program(char *const *argv, int64_t deadline_mono_ms, size_t max_bytes,
                       struct qe_strbuf *out, struct qe_err *err)
{
    int out_fds[2] = {-1, -1};
    int words_fds[2] = {-1, -1};
    struct qe_strbuf words = {.is_secret = true};
    struct outlet outlets[2] = {
        {.fd = -1, .text = out, .max_bytes = max_bytes},
        {.fd = -1, .text = &words, .max_bytes = WORDS_MAX_BYTES},
    };
    pid_t pid = 0;
    int refused = 0;
    int rc = -1;

    if (pipe2(out_fds, O_CLOEXEC) != 0 || pipe2(words_fds, O_CLOEXEC) != 0) {
        qe_err_set_errno(err, errno, "cannot make a pipe for the program");
        goto done;
    }
    refused = start(argv, out_fds[1], words_fds[1], &pid);

    if (refused != 0) {
        qe_err_set_errno(err, refused, "cannot run %s", argv[0]);
        goto done;
    }
    close_fd(&out_fds[1]);
    close_fd(&words_fds[1]);
    outlets[0].fd = out_fds[0];
    outlets[1].fd = words_fds[0];
    out_fds[0] = -1;
    words_fds[0] = -1;
    rc = follow(pid, outlets, deadline_mono_ms, err);

done:
    for (size_t i = 0; i < 2; i++) {
        close_fd(&out_fds[i]);
        close_fd(&words_fds[i]);
        close_fd(&outlets[i].fd);
    }
    qe_strbuf_deinit(&words);
    return rc;
}
