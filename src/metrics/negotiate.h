/* Which format and coding a client gets. Pure. */
#ifndef QE_METRICS_NEGOTIATE_H
#define QE_METRICS_NEGOTIATE_H

#include <stdbool.h>

enum qe_format {
    QE_FORMAT_TEXT = 0,
    QE_FORMAT_OPENMETRICS,
    QE_FORMAT_COUNT
};

struct qe_negotiated {
    enum qe_format format;
    bool escaping;          /* the matched range carried an escaping parameter: answer ";
                               escaping=underscores" */
    bool openmetrics_0_0_1; /* the matched range asked for version 0.0.1: same body, that version in
                               the type */
};

/* accept: all Accept lines joined with ','; NULL when none. Never fails: nothing matched gives
 * text. */
struct qe_negotiated qe_negotiate_accept(const char *accept);
/* The exact Content-Type for it; static. */
const char *qe_negotiated_content_type(struct qe_negotiated negotiated);
/* accept_encoding: joined lines; NULL when none. Honours q=0 and `*`. */
bool qe_negotiate_gzip(const char *accept_encoding);

#endif
