/* A client and a server that misbehaves on request, for one test each. */
#ifndef QE_TESTS_UNIT_NET_FIXTURE_H
#define QE_TESTS_UNIT_NET_FIXTURE_H

#include <string.h>

#include "net/http_client.h"
#include "support/check.h"
#include "support/fault_server.h"
#include "util/clock.h"
#include "util/mem.h"

/* Far enough for a busy machine under a sanitizer: a net under hangs. */
#define PATIENCE_MS 20000

struct fixture {
    struct fault_server *server;
    struct qe_http_client *client;
};

static inline int setup(void **state)
{
    struct fixture *fixture = qe_calloc(1, sizeof *fixture);
    struct qe_err err = {0};

    assert_non_null(fixture);
    fixture->server = fault_server_start();
    fixture->client = qe_http_client_new(NULL, &err);
    assert_ok(fixture->client == NULL ? -1 : 0, err);
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    qe_http_client_destroy(fixture->client);
    fault_server_stop(fixture->server);
    qe_free(fixture);
    return 0;
}

/* A GET of `path` that is patient; change what the test is about. */
static inline struct qe_http_request get(const struct fixture *fixture, const char *path)
{
    return (struct qe_http_request){.method = "GET",
                                    .url = fault_server_url(fixture->server, path),
                                    .deadline_mono_ms = qe_clock_mono_ms() + PATIENCE_MS};
}

static inline void start(const struct fixture *fixture, const struct qe_http_request *request)
{
    struct qe_err err = {0};

    assert_ok(qe_http_start(fixture->client, request, &err), err);
}

static inline void fetch(const struct fixture *fixture, const struct qe_http_request *request,
                         struct qe_http_reply *out_reply)
{
    struct qe_err err = {0};

    assert_ok(qe_http_fetch(fixture->client, request, out_reply, &err), err);
}

#endif
