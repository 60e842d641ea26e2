/* Child processes: started without a shell and with nothing of ours but their three streams, fed
 * and read without ever waiting for a slow side, ended with all that they started.
 *
 * Each child leads a process group of its own, starts with no signal blocked or ignored, and gets
 * no descriptor of ours, whoever forgot to mark it. posix_spawn() instead of fork(): the process
 * has many threads, and a lock that another one holds would stay held in the child.
 *
 * The program must ignore SIGPIPE: a child need not read what it is fed. Thread: a child belongs to
 * one at a time; any number of them at once. Source: POSIX.1-2008, posix_spawn(), waitid(); Linux,
 * pidfd_open(2). */
#ifndef QE_UTIL_CHILD_H
#define QE_UTIL_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/err.h"
#include "util/strbuf.h"

/* Takes what a stream brought. False: no more of it, end the child. */
typedef bool qe_child_sink_fn(void *self, const char *bytes, size_t count);
struct qe_child_sink {
    qe_child_sink_fn *take;
    void *self;
};

/* Appends the first max_bytes and lets go of the rest. */
struct qe_child_text {
    struct qe_strbuf *text; /* borrowed */
    size_t max_bytes;
    size_t taken_bytes;
    bool stops; /* past max_bytes the child is ended, instead of read on */
    bool is_cut;
};
qe_child_sink_fn qe_child_keep; /* self: a struct qe_child_text */

/* A program to start. */
struct qe_child_program {
    char *const *argv;        /* found on our PATH unless it has a slash; ends with NULL */
    char *const *environment; /* ends with NULL; NULL: ours */
    bool is_fed;              /* false: its standard input is /dev/null */
};

/* --- one that runs to its end --- */

struct qe_child_task {
    struct qe_child_program program;
    const char *input; /* for standard input, when it is fed; borrowed */
    size_t input_bytes;
    struct qe_child_sink out;   /* its standard output */
    struct qe_child_sink words; /* its standard error */
    int64_t deadline_mono_ms;   /* then it is ended */
    int64_t grace_ms;           /* SIGTERM first, and SIGKILL so much later; 0: SIGKILL at once */
    int64_t last_mono_ms;       /* SIGKILL by then, grace or not; 0: no such limit */
    void (*meanwhile)(void *self); /* called at least twice a second while it runs; NULL: nothing */
    void *meanwhile_self;
    const atomic_bool *cancelled; /* true: as at the deadline, with at most QE_CHILD_CANCEL_MS of
                                     grace; NULL: never */
};
#define QE_CHILD_CANCEL_MS 300

/* How it ended. */
struct qe_child_end {
    bool is_late;      /* ended by us at its deadline */
    bool is_cancelled; /* ended by us since it was cancelled */
    bool is_refused;   /* ended by us since a sink wanted no more */
    int code;          /* its exit status; -1: ended by a signal */
    int signal;        /* which; 0: none */
};

/* Runs it. It has ended when its first process has: what it left in its group is killed, and what
 * holds its streams open is not waited for. -1: it could not be started (QE_ERR_NOT_FOUND, _AUTH,
 * ...), and nothing is left. */
int qe_child_run(const struct qe_child_task *task, struct qe_child_end *out,
                 struct qe_err *err) QE_MUST_CHECK;

/* --- one that is talked to --- */

struct qe_child {
    pid_t pid;    /* 0: none runs */
    int pidfd;    /* readable once it has ended; -1: asked for in steps */
    int in;       /* its standard input; -1 closed, as below */
    int out;      /* its standard output */
    int words;    /* its standard error */
    bool is_over; /* it has ended, and waits to be reaped */
};
#define QE_CHILD_NONE                                                                              \
    {                                                                                              \
        .pidfd = -1, .in = -1, .out = -1, .words = -1                                              \
    }

/* Starts it. *child is QE_CHILD_NONE before. */
int qe_child_start(struct qe_child *child, const struct qe_child_program *program,
                   struct qe_err *err) QE_MUST_CHECK;

/* What one step moves. */
struct qe_child_io {
    const char *input; /* left to write; moved on */
    size_t input_bytes;
    struct qe_child_sink out;
    struct qe_child_sink words;
};
/* Waits until something can be moved, the child ends, or until_mono_ms comes (passed: does not
 * wait), and moves what it can, once. A standard input that nobody reads any more is closed. False:
 * a sink wants no more. */
bool qe_child_step(struct qe_child *child, struct qe_child_io *io, int64_t until_mono_ms);
/* Takes what its outputs still hold, without waiting. */
void qe_child_drain(struct qe_child *child, struct qe_child_io *io);
void qe_child_close_input(struct qe_child *child);
void qe_child_signal(const struct qe_child *child, int signal); /* to its whole group */
/* Kills what is left of its group, reaps it, closes everything. Afterwards *child is QE_CHILD_NONE
 * again. None running is fine. */
void qe_child_reap(struct qe_child *child, struct qe_child_end *out);

/* --- programs --- */

/* Writes the path of a program as it would be started: itself when it has a slash, else as found on
 * PATH. QE_ERR_NOT_FOUND or _AUTH (not executable) says what was looked for and where. */
#define QE_CHILD_PATH_BYTES 4096
int qe_child_find(const char *program, char out[QE_CHILD_PATH_BYTES],
                  struct qe_err *err) QE_MUST_CHECK;

#endif
