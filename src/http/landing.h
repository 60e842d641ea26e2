/* The page at /: what this is, where to go, and one line per source. Pure but for its nonce. */
#ifndef QE_HTTP_LANDING_H
#define QE_HTTP_LANDING_H

#include <stddef.h>
#include <stdint.h>

#include "model/store.h"
#include "util/err.h"
#include "util/strbuf.h"

struct qe_landing_facts {
    const char *version;
    const char *telemetry_path;
    struct qe_snapshot *const *snapshots; /* borrowed for the call */
    size_t snapshots_count;
    int64_t now_unix_ms;
};

struct qe_landing_page {
    char *html; /* owned */
    size_t html_bytes;
    char policy[192]; /* the Content-Security-Policy that lets this page's own style in, and
                         nothing else */
};

int qe_landing_page_init(struct qe_landing_page *page, const struct qe_landing_facts *facts,
                         struct qe_err *err) QE_MUST_CHECK;
void qe_landing_page_deinit(struct qe_landing_page *page); /* = {0} is fine; twice is safe */

/* Text for HTML, in an element or a quoted attribute. Bytes that are no UTF-8, and control
 * characters, come out as U+FFFD. */
void qe_landing_append_escaped(struct qe_strbuf *out, const char *text);
/* "12 s", "5 min", "3 h", "2 d"; negative counts as 0. */
void qe_landing_append_age(struct qe_strbuf *out, int64_t age_ms);

#endif
