#include "queuectl/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

#define CHUNK_BYTES ((size_t)64 << 10)
#define REAP_EVERY_MS 10

struct child {
    pid_t pid;
    int to;   /* its standard input; -1 closed */
    int from; /* its standard output; -1 closed */
    const char *input;
    size_t input_left;
};

static void close_one(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* In the child: never returns. */
static void become(const char *command, const struct qe_message *message, const int in[2],
                   const int out[2])
{
    const struct sigaction plain = {.sa_handler = SIG_DFL};

    (void)setpgid(0, 0);
    (void)sigaction(SIGPIPE, &plain, NULL);
    (void)sigaction(SIGINT, &plain, NULL);
    (void)sigaction(SIGTERM, &plain, NULL);
    if (dup2(in[0], STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0 &&
        setenv("QUEUE_MESSAGE_ID", message->id, 1) == 0 &&
        setenv("QUEUE_CORRELATION_ID", message->correlation_id, 1) == 0 &&
        setenv("QUEUE_REPLY_TO", message->reply_to, 1) == 0) {
        (void)close(in[1]);
        (void)close(out[0]);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    _exit(127);
}

static int start(struct child *child, const char *command, const struct qe_message *message,
                 struct qe_err *err)
{
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};

    if (pipe(in) != 0 || pipe(out) != 0) {
        (void)qe_err_set_errno(err, errno, "cannot make a pipe");
        close_one(&in[0]);
        close_one(&in[1]);
        return -1;
    }
    child->pid = fork();
    if (child->pid == 0) {
        become(command, message, in, out);
    }
    int reason = errno;

    close_one(&in[0]);
    close_one(&out[1]);
    child->to = in[1];
    child->from = out[0];
    if (child->pid < 0) {
        close_one(&child->to);
        close_one(&child->from);
        return qe_err_set_errno(err, reason, "cannot start a process");
    }
    (void)setpgid(child->pid, child->pid); /* whoever of the two is first */
    (void)fcntl(child->to, F_SETFL, O_NONBLOCK);
    (void)fcntl(child->to, F_SETFD, FD_CLOEXEC);
    (void)fcntl(child->from, F_SETFD, FD_CLOEXEC);
    return 0;
}

static void feed(struct child *child)
{
    ssize_t put = child->input_left > 0 ? write(child->to, child->input, child->input_left) : 0;

    if (put > 0) {
        child->input += put;
        child->input_left -= (size_t)put;
    }
    /* A command that does not read all of it is free not to. */
    if (child->input_left == 0 || (put < 0 && errno != EAGAIN && errno != EINTR)) {
        close_one(&child->to);
    }
}

static int drain(struct child *child, struct qe_strbuf *out, struct qe_err *err)
{
    char *room = qe_strbuf_reserve(out, CHUNK_BYTES);

    if (room == NULL) {
        return qe_err_set(err, QE_ERR_LIMIT, "its output is larger than %zu MiB",
                          out->max_bytes >> 20);
    }
    ssize_t got = read(child->from, room, CHUNK_BYTES);

    if (got > 0) {
        out->length_bytes += (size_t)got;
        out->data[out->length_bytes] = '\0';
    } else if (got == 0 || errno != EINTR) {
        close_one(&child->from);
    }
    return 0;
}

/* Until its output ends. */
static int talk(struct child *child, int64_t deadline_mono_ms, struct qe_strbuf *out,
                struct qe_err *err)
{
    while (child->from >= 0) {
        struct pollfd fds[2] = {{.fd = child->from, .events = POLLIN},
                                {.fd = child->to, .events = POLLOUT}};
        int64_t left = deadline_mono_ms - qe_clock_mono_ms();

        if (left <= 0) {
            return qe_err_set(err, QE_ERR_TIMEOUT, "it did not end in time");
        }
        if (poll(fds, 2, left < 1000 ? (int)left : 1000) <= 0) {
            continue;
        }
        if (child->to >= 0 && fds[1].revents != 0) {
            feed(child);
        }
        if (fds[0].revents != 0 && drain(child, out, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Its end, by itself until the deadline. */
static int reap(const struct child *child, int64_t deadline_mono_ms, struct qe_err *err)
{
    struct timespec pause = {.tv_nsec = REAP_EVERY_MS * 1000000L};
    int status = 0;
    pid_t ended = 0;
    bool late = false;

    while (ended == 0 || (ended < 0 && errno == EINTR)) {
        ended = waitpid(child->pid, &status, late ? 0 : WNOHANG);
        if (ended == 0 && qe_clock_mono_ms() >= deadline_mono_ms) {
            late = true;
            (void)kill(-child->pid, SIGKILL);
        } else if (ended == 0) {
            (void)nanosleep(&pause, NULL);
        }
    }
    (void)kill(-child->pid, SIGKILL); /* what it left running */
    if (late) {
        return qe_err_set(err, QE_ERR_TIMEOUT, "it did not end in time");
    }
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    return WIFSIGNALED(status)
               ? qe_err_set(err, QE_ERR_IO, "it was ended by signal %d", WTERMSIG(status))
               : qe_err_set(err, QE_ERR_IO, "it ended with %d", WEXITSTATUS(status));
}

int ctl_command_run(const char *command, const struct qe_message *message, int64_t deadline_mono_ms,
                    struct qe_strbuf *out, struct qe_err *err)
{
    struct child child = {
        .to = -1, .from = -1, .input = message->body, .input_left = message->body_bytes};
    struct qe_err ignored = {0};

    if (start(&child, command, message, err) != 0) {
        return -1;
    }
    int rc = talk(&child, deadline_mono_ms, out, err);

    close_one(&child.to);
    close_one(&child.from);
    if (rc != 0) {
        (void)!reap(&child, 0, &ignored);
        return -1;
    }
    return reap(&child, deadline_mono_ms, err);
}
