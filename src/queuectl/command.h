/* One shell command: text in, text out, within its time. */
#ifndef QE_QUEUECTL_COMMAND_H
#define QE_QUEUECTL_COMMAND_H

#include <stdint.h>

#include "model/message.h"
#include "util/err.h"
#include "util/strbuf.h"

struct ctl;

/* Runs `command` by /bin/sh, and lets the driver do meanwhile what it has to do in time: the body
 * on its standard input, facts of the message as QUEUE_MESSAGE_ID, QUEUE_CORRELATION_ID and
 * QUEUE_REPLY_TO in its environment, its standard output to *out. All of its processes are killed
 * at the deadline (CLOCK_MONOTONIC ms), and once ctl_stopped is set: SIGTERM first, and SIGKILL
 * soon after. Errors: -1 when it could not be run, did not end with 0 (QE_ERR_IO), in time
 * (QE_ERR_TIMEOUT), or before the stop (QE_ERR_CANCELLED). Source: POSIX.1-2008, sh, waitpid(). */
int ctl_command_run(const struct ctl *ctl, const char *command, const struct qe_message *message,
                    int64_t deadline_mono_ms, struct qe_strbuf *out,
                    struct qe_err *err) QE_MUST_CHECK;

#endif
