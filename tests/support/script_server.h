/* An HTTP server on the loopback that answers by a script: its first request gets the first step,
 * the next one the second, whatever they ask for; the last step is for all that follow. It keeps
 * what it was asked. For tests of what is sent again, and how.
 *
 * Thread: any one at a time; its own thread is its business. */
#ifndef QE_TESTS_SUPPORT_SCRIPT_SERVER_H
#define QE_TESTS_SUPPORT_SCRIPT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_REQUESTS_MAX 256

/* status 0: no answer, unless `resets`. */
struct script_step {
    unsigned status;
    const char *headers; /* "Name: value\r\n..."; NULL: none */
    const char *body;    /* NULL: empty */
    bool resets;         /* connection reset instead of an answer */
    bool has_date;       /* a Date header, of `date_offset_s` seconds from now */
    int64_t date_offset_s;
    size_t together; /* answers only when so many requests wait at this step, which it takes */
};

struct script_server;

/* Listens on a free port of 127.0.0.1. `steps` are borrowed. Fails the test when it cannot. */
struct script_server *script_server_start(const struct script_step *steps, size_t count);
/* Closes its connections and ends its thread; accepts NULL. */
void script_server_stop(struct script_server *server);
unsigned script_server_port(const struct script_server *server);
size_t script_server_requests(struct script_server *server); /* read so far */
/* The n-th request, headers and body; lives until the server is stopped. Fails the test when there
 * is none. */
const char *script_server_request(struct script_server *server, size_t n);
/* Value of a header of a request, "" when it has none. Returns out. */
const char *script_header(const char *request, const char *name, char *out, size_t out_bytes);

#endif
