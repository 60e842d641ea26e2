/* What a running exporter says about its queues, as far as one look here cannot know it. */
#ifndef QE_QUEUECTL_TREND_H
#define QE_QUEUECTL_TREND_H

#include <stddef.h>
#include <stdint.h>

#include "net/http_client.h"
#include "util/err.h"

#define CTL_EXPORTER_URL "http://127.0.0.1:10019/metrics"
#define CTL_EXPORTER_PAGE_MAX_BYTES ((size_t)256 << 20)

struct ctl_trend {
    char *source; /* owned, as the others */
    char *vhost;
    char *queue;
    char *state; /* "growing", "draining", ...: over the exporter's state_window; NULL unknown */
    /* Of a dead-letter queue: messages more (or fewer) than so many seconds before. */
    double change_messages;
    double change_seconds; /* < 0: unknown */
};

/* = {0} is valid. */
struct ctl_trends {
    struct ctl_trend *items; /* owned; sorted */
    size_t count;
    size_t capacity;
};
void ctl_trends_deinit(struct ctl_trends *trends);
/* Asks the exporter whose page is at `url`. Appends to *out.
 * Errors: -1 when it does not answer, or not with such a page. */
int ctl_trends_ask(struct ctl_trends *out, const char *url, int64_t timeout_ms,
                   struct qe_err *err) QE_MUST_CHECK;
/* Of what it answered. */
int ctl_trends_take(struct ctl_trends *out, const char *url, const struct qe_http_reply *reply,
                    struct qe_err *err) QE_MUST_CHECK;
/* Of the exporter's page; what is of no interest is passed over. */
int ctl_trends_read(struct ctl_trends *out, const char *page, struct qe_err *err) QE_MUST_CHECK;
/* NULL: it does not say. Borrowed. */
const struct ctl_trend *ctl_trends_find(const struct ctl_trends *trends, const char *source,
                                        const char *vhost, const char *queue);
/* Its state. NULL: it does not say. Borrowed. */
const char *ctl_trends_of(const struct ctl_trends *trends, const char *source, const char *vhost,
                          const char *queue);

#endif
