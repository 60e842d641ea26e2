/* How far something is: a bar that is drawn over itself on a terminal, a line every ten seconds
 * elsewhere. On standard error. */
#ifndef QE_QUEUECTL_PROGRESS_H
#define QE_QUEUECTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ctl_progress {
    int64_t start_mono_ms;
    int64_t next_mono_ms; /* when the next is due */
    bool is_drawn;
};
/* When the work begins, not when some of it is done: its rate is told from here on. */
void ctl_progress_begin(struct ctl_progress *progress);
/* `done` of `total` (UINT64_MAX: unknown) are done; `more` (may be "") goes behind. */
void ctl_progress_show(struct ctl_progress *progress, uint64_t done, uint64_t total,
                       const char *more);
/* A text alone, as "waiting". */
void ctl_progress_say(struct ctl_progress *progress, const char *text);
/* Before anything else is printed. */
void ctl_progress_end(struct ctl_progress *progress);

#endif
