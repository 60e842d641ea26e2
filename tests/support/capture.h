/* What a program under test writes to standard error, as the log does. */
#ifndef QE_TESTS_SUPPORT_CAPTURE_H
#define QE_TESTS_SUPPORT_CAPTURE_H

#include <fcntl.h>
#include <unistd.h>

#include "support/check.h"

static int s_capture_pipe[2];
static int s_capture_stderr;

/* Into a pipe, until qe_captured(). */
static inline void qe_capture_stderr(void)
{
    assert_int_equal(pipe(s_capture_pipe), 0);
    assert_int_equal(fcntl(s_capture_pipe[0], F_SETFL, O_NONBLOCK), 0);
    s_capture_stderr = dup(STDERR_FILENO);
    assert_true(s_capture_stderr >= 0);
    assert_true(dup2(s_capture_pipe[1], STDERR_FILENO) >= 0);
}

/* All of it; valid until the next one. */
static inline const char *qe_captured(void)
{
    static char s_output[65536];
    size_t length = 0;
    ssize_t got = 0;

    assert_true(dup2(s_capture_stderr, STDERR_FILENO) >= 0);
    (void)close(s_capture_stderr);
    (void)close(s_capture_pipe[1]);
    while ((got = read(s_capture_pipe[0], s_output + length, sizeof s_output - 1 - length)) > 0) {
        length += (size_t)got;
    }
    (void)close(s_capture_pipe[0]);
    s_output[length] = '\0';
    return s_output;
}

#endif
