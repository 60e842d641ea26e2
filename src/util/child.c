/* pipe2, addclosefrom, pidfd_open and environ are not in POSIX. */
#define _GNU_SOURCE
#include "util/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/descriptors.h"

#define READ_BYTES ((size_t)8 << 10)
/* Of what is left in a pipe when the child has ended: all that a pipe may hold. */
#define DRAIN_READS_MAX 64
/* How late a cancellation is seen, and where there is no pidfd, the end. */
#define CANCEL_STEP_MS 50
#define STEP_MS 500
#define REAP_STEP_MS 5
#define FIRST_FREE_FD 3

bool qe_child_keep(void *self, const char *bytes, size_t count)
{
    struct qe_child_text *text = self;
    const size_t room = text->max_bytes - text->taken_bytes;
    const size_t taken = count < room ? count : room;

    text->is_cut = text->is_cut || taken < count;
    text->taken_bytes += taken;
    return qe_strbuf_append(text->text, bytes, taken) == 0 && !(text->is_cut && text->stops);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* --- start --- */

/* Both ends, away from the numbers of the three streams: our own may be closed. */
static int make_pipe(int ends[2])
{
    int raw[2];

    if (pipe2(raw, O_CLOEXEC) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 2; i++) {
        ends[i] = raw[i] >= FIRST_FREE_FD ? raw[i] : fcntl(raw[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        if (ends[i] != raw[i]) {
            (void)close(raw[i]);
        }
    }
    return ends[0] >= 0 && ends[1] >= 0 ? 0 : -1;
}

static int add_streams(posix_spawn_file_actions_t *actions, const int theirs[3])
{
    int rc = theirs[0] >= 0 ? posix_spawn_file_actions_adddup2(actions, theirs[0], STDIN_FILENO)
                            : posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null",
                                                               O_RDONLY, 0);

    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(actions, theirs[1], STDOUT_FILENO);
    }
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(actions, theirs[2], STDERR_FILENO);
    }
    return rc == 0 ? posix_spawn_file_actions_addclosefrom_np(actions, FIRST_FREE_FD) : rc;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_setsigmask(attributes, &none);
    (void)posix_spawnattr_setsigdefault(attributes, &all);
    (void)posix_spawnattr_setpgroup(attributes, 0);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
}

/* 0 or an errno value. */
static int spawn(const struct qe_child_program *program, const int theirs[3], pid_t *out_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc != 0) {
        return rc;
    }
    rc = posix_spawnattr_init(&attributes);
    if (rc != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    rc = set_attributes(&attributes);
    if (rc == 0) {
        rc = add_streams(&actions, theirs);
    }
    if (rc == 0) {
        char *const *environment = program->environment != NULL ? program->environment : environ;

        rc = posix_spawnp(out_pid, program->argv[0], &actions, &attributes, program->argv,
                          environment);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Ours never wait: a child may read and write as slowly as it likes. */
static void keep_end(int *from, int *to)
{
    *to = *from;
    *from = -1;
    if (*to >= 0) {
        (void)fcntl(*to, F_SETFL, O_NONBLOCK);
    }
}

int qe_child_start(struct qe_child *child, const struct qe_child_program *program,
                   struct qe_err *err)
{
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}; /* each to read from, to write to */
    int rc = 0;

    if ((program->is_fed && make_pipe(pipes[0]) != 0) || make_pipe(pipes[1]) != 0 ||
        make_pipe(pipes[2]) != 0) {
        rc = qe_err_set_errno(err, errno, "cannot make a pipe for the program");
    } else {
        const int theirs[3] = {pipes[0][0], pipes[1][1], pipes[2][1]};

        const int refused = spawn(program, theirs, &child->pid);
        rc = refused == 0 ? 0 : qe_err_set_errno(err, refused, "cannot run %s", program->argv[0]);
    }
    if (rc == 0) {
        qe_descriptors_restore(child->pid);
        child->is_over = false;
        child->pidfd = pidfd_open(child->pid, 0);
        keep_end(&pipes[0][1], &child->in);
        keep_end(&pipes[1][0], &child->out);
        keep_end(&pipes[2][0], &child->words);
    } else {
        child->pid = 0;
    }
    for (size_t i = 0; i < 3; i++) {
        close_fd(&pipes[i][0]);
        close_fd(&pipes[i][1]);
    }
    return rc;
}

/* --- talk --- */

void qe_child_close_input(struct qe_child *child)
{
    close_fd(&child->in);
}

static void feed(struct qe_child *child, struct qe_child_io *io)
{
    const ssize_t put = write(child->in, io->input, io->input_bytes);

    if (put > 0) {
        io->input += put;
        io->input_bytes -= (size_t)put;
    } else if (put < 0 && errno != EAGAIN && errno != EINTR) {
        io->input_bytes = 0;
        close_fd(&child->in);
    }
}

/* One read: *out_more when there may be more. False: the sink wants no more. */
static bool take(int *fd, const struct qe_child_sink *sink, bool *out_more)
{
    char bytes[READ_BYTES];
    const ssize_t got = read(*fd, bytes, sizeof bytes);
    bool goes_on = true;

    *out_more = got > 0;
    if (got > 0) {
        goes_on = sink->take == NULL || sink->take(sink->self, bytes, (size_t)got);
        explicit_bzero(bytes, (size_t)got); /* some print secrets */
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        close_fd(fd);
    }
    return goes_on;
}

/* Ended, though not reaped: its number is not given to anybody else before that. */
static bool has_ended(const struct qe_child *child)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == child->pid;
}

bool qe_child_step(struct qe_child *child, struct qe_child_io *io, int64_t until_mono_ms)
{
    struct pollfd fds[4] = {{.fd = child->in, .events = io->input_bytes > 0 ? POLLOUT : 0},
                            {.fd = child->out, .events = POLLIN},
                            {.fd = child->words, .events = POLLIN},
                            {.fd = child->is_over ? -1 : child->pidfd, .events = POLLIN}};
    int64_t left_ms = until_mono_ms - qe_clock_mono_ms();
    bool goes_on = true;
    bool more;

    left_ms = left_ms < 0 ? 0 : left_ms > 60000 ? 60000 : left_ms;
    if (child->pidfd < 0 && left_ms > REAP_STEP_MS) {
        left_ms = REAP_STEP_MS;
    }
    if (poll(fds, sizeof fds / sizeof fds[0], (int)left_ms) < 0) {
        return true; /* a signal: the caller comes again */
    }
    if (fds[0].revents != 0 && io->input_bytes > 0) {
        feed(child, io);
    } else if (fds[0].revents != 0) { /* unasked, it tells only of the reader's end */
        close_fd(&child->in);
    }
    if (fds[1].revents != 0) {
        goes_on = take(&child->out, &io->out, &more);
    }
    if (fds[2].revents != 0) {
        goes_on = take(&child->words, &io->words, &more) && goes_on;
    }
    if (!child->is_over && (fds[3].revents != 0 || child->pidfd < 0)) {
        child->is_over = has_ended(child);
    }
    return goes_on;
}

static void drain_one(int *fd, const struct qe_child_sink *sink)
{
    bool goes_on = true;
    bool more = true;

    for (int i = 0; i < DRAIN_READS_MAX && *fd >= 0 && goes_on && more; i++) {
        goes_on = take(fd, sink, &more);
    }
}

void qe_child_drain(struct qe_child *child, struct qe_child_io *io)
{
    drain_one(&child->out, &io->out);
    drain_one(&child->words, &io->words);
}

/* --- end --- */

void qe_child_signal(const struct qe_child *child, int signal)
{
    if (child->pid > 0) {
        (void)kill(-child->pid, signal);
    }
}

void qe_child_reap(struct qe_child *child, struct qe_child_end *out)
{
    int status = 0;

    if (child->pid > 0) {
        qe_child_signal(child, SIGKILL); /* before it is reaped: the numbers are still its */
        (void)kill(child->pid, SIGKILL); /* it may have left its group */
        while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
        }
        out->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    close_fd(&child->in);
    close_fd(&child->out);
    close_fd(&child->words);
    close_fd(&child->pidfd);
    child->pid = 0;
    child->is_over = false;
}

/* --- run --- */

static int64_t earlier(int64_t a_mono_ms, int64_t b_mono_ms)
{
    return a_mono_ms < b_mono_ms ? a_mono_ms : b_mono_ms;
}

/* Whether it is to be ended now, and how long it may take over that. */
static bool is_due(const struct qe_child_task *task, struct qe_child_end *end, int64_t *out_grace)
{
    const bool cancelled = task->cancelled != NULL && atomic_load(task->cancelled);

    end->is_late = !cancelled && qe_clock_mono_ms() >= task->deadline_mono_ms;
    end->is_cancelled = cancelled;
    *out_grace = cancelled ? earlier(task->grace_ms, QE_CHILD_CANCEL_MS) : task->grace_ms;
    return end->is_late || cancelled;
}

/* SIGTERM, and what it says of that; SIGKILL is the reaper's. */
static void ask_to_end(struct qe_child *child, struct qe_child_io *io,
                       const struct qe_child_task *task, int64_t grace_ms)
{
    const int64_t last = task->last_mono_ms > 0 ? task->last_mono_ms : INT64_MAX;
    int64_t now = qe_clock_mono_ms();
    int64_t until = earlier(now + grace_ms, last);
    bool hurries = false;

    if (grace_ms > 0) {
        qe_child_signal(child, SIGTERM);
    }
    for (; !child->is_over && now < until; now = qe_clock_mono_ms()) {
        if (!qe_child_step(child, io, earlier(until, now + CANCEL_STEP_MS))) {
            return;
        }
        if (!hurries && task->cancelled != NULL && atomic_load(task->cancelled)) {
            hurries = true;
            until = earlier(until, now + QE_CHILD_CANCEL_MS);
        }
    }
}

int qe_child_run(const struct qe_child_task *task, struct qe_child_end *out, struct qe_err *err)
{
    struct qe_child_io io = {.input = task->input,
                             .input_bytes = task->input_bytes,
                             .out = task->out,
                             .words = task->words};
    struct qe_child child = QE_CHILD_NONE;
    struct qe_child_end end = {0};
    int64_t grace_ms = 0;

    if (qe_child_start(&child, &task->program, err) != 0) {
        return -1;
    }
    while (!child.is_over && !end.is_refused && !is_due(task, &end, &grace_ms)) {
        const int64_t step_ms = task->cancelled != NULL ? CANCEL_STEP_MS : STEP_MS;

        if (io.input_bytes == 0) {
            qe_child_close_input(&child);
        }
        if (task->meanwhile != NULL) {
            task->meanwhile(task->meanwhile_self);
        }
        end.is_refused = !qe_child_step(
            &child, &io, earlier(task->deadline_mono_ms, qe_clock_mono_ms() + step_ms));
    }
    if (child.is_over) {
        end.is_late = false; /* just in time */
        end.is_cancelled = false;
    } else if (!end.is_refused) {
        ask_to_end(&child, &io, task, grace_ms);
    }
    if (!end.is_refused) {
        qe_child_drain(&child, &io);
    }
    qe_child_reap(&child, &end);
    *out = end;
    return 0;
}
