/* What a handler's program prints, line by line into the log: each line capped, and not more of
 * them than a log can bear. */
#ifndef QE_CONSUMER_OUTPUT_H
#define QE_CONSUMER_OUTPUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/facts.h"
#include "util/err.h"

/* Lines at once, and per second after that; the others are counted, with the next that is logged.
 */
#define QE_OUTPUT_LINES_BURST 100
#define QE_OUTPUT_LINES_PER_SECOND 10
#define QE_OUTPUT_LINE_BYTES 1024

/* One handler's share of the log; any thread. */
struct qe_output {
    struct qe_origin origin;
    const char *handler;
    pthread_mutex_t lock; /* guards the rest */
    double tokens;
    int64_t filled_mono_ms;
    uint64_t left_out;
};
int qe_output_init(struct qe_output *output, const struct qe_origin *origin, const char *handler,
                   struct qe_err *err) QE_MUST_CHECK;
void qe_output_deinit(struct qe_output *output); /* once inited */

/* One stream of one program; one thread. = {.output = ..., .stream = "stderr"} */
struct qe_output_lines {
    struct qe_output *output; /* borrowed */
    const char *stream;
    const char *id; /* of the message that it worked on; NULL: none. Borrowed */
    char line[QE_OUTPUT_LINE_BYTES];
    size_t length;
    bool is_cut;                     /* the rest of a line that is too long is let go */
    char last[QE_OUTPUT_LINE_BYTES]; /* the last line that was not blank */
};
/* A qe_child_sink_fn; self is a struct qe_output_lines. */
bool qe_output_take(void *self, const char *bytes, size_t count);
/* The last line may have no end. */
void qe_output_flush(struct qe_output_lines *lines);

#endif
