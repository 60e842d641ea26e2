/* The endpoints: /, /metrics, /-/healthy, /-/ready, /-/reload, /config. */
#ifndef QE_HTTP_ROUTES_H
#define QE_HTTP_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "http/server.h"
#include "metrics/page.h"
#include "model/store.h"
#include "util/strbuf.h"

/* What the endpoints need from the app; borrowed, outlives the server. Callbacks come from server
 * threads. */
struct qe_routes_context {
    struct qe_store *store;
    const struct qe_build_info *build;
    const char *telemetry_path;
    bool lifecycle_enabled;
    void *app;
    /* True when configuration is loaded and every source has finished a first round; else *why says
     * what is missing. */
    bool (*is_ready)(void *app, char *why, size_t why_bytes);
    /* Effective configuration as YAML, secrets as <secret>. */
    int (*print_config)(void *app, struct qe_strbuf *out);
    /* Loads the file again and applies it before returning; -1: `reason` says why, the old
     * configuration stays. Called from one thread that serves nothing else, so it may take long;
     * it must return soon once the app stops, since destroying the server waits for it. */
    int (*reload)(void *app, struct qe_strbuf *reason);
};

/* Whether the metrics can be served there: a plain path that is no other endpoint's. */
int qe_routes_check_telemetry_path(const char *path, struct qe_err *err) QE_MUST_CHECK;

struct qe_routes; /* the route table for this telemetry path */
/* -> NULL with QE_ERR_INVALID when the telemetry path is no path, or is another endpoint's. Serve
 * it with qe_http_options.context = context. */
struct qe_routes *qe_routes_new(struct qe_routes_context *context,
                                struct qe_err *err) QE_MUST_CHECK;
void qe_routes_destroy(struct qe_routes *routes);
const struct qe_http_route *qe_routes_table(const struct qe_routes *routes, size_t *out_count);

#endif
