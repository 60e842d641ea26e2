/* An HTTP server on the loopback that does what servers should not. What it does is said by the
 * path of the request:
 *
 *   /echo             the request itself, as the body of the answer
 *   /status/503       an answer with that status and the body "status"
 *   /large/1000000    that many bytes
 *   /gate/16          answers when 16 requests are waiting here, all at once
 *   /interim          two interim answers before the real one
 *   /trailers         chunked, with a trailer "X-Date: trailer" behind the header "X-Date: header"
 *   /redirect         302 to /echo
 *   /last             a good answer that promises to keep the connection, and drops it
 *   /never            no answer
 *   /slow             headers at once, then a byte now and then
 *   /slow-headers     not even headers
 *   /reset            connection reset instead of an answer
 *   /reset-body       the same in the middle of the body
 *   /half             closed in the middle of the body
 *   /half-headers     closed in the middle of the headers
 *   /half-chunk       closed before the last chunk
 *   /close            closed without a byte
 *   /garbage          bytes that are not HTTP
 *   /version          an HTTP version that there is not
 *   /bad-chunk        a chunk whose length is none
 *   /large-headers    100 KiB of headers
 *
 * Thread: any one at a time; its own threads are its business. */
#ifndef QE_TESTS_SUPPORT_FAULT_SERVER_H
#define QE_TESTS_SUPPORT_FAULT_SERVER_H

#include <stddef.h>

struct fault_server;

/* Listens on a free port of 127.0.0.1. Fails the test when it cannot. */
struct fault_server *fault_server_start(void);
/* Closes its connections and ends its threads; accepts NULL. */
void fault_server_stop(struct fault_server *server);
unsigned fault_server_port(const struct fault_server *server);
/* "http://127.0.0.1:PORT<path>" in one of a few static buffers, in turn. */
const char *fault_server_url(const struct fault_server *server, const char *path);
size_t fault_server_connections(struct fault_server *server); /* accepted so far */
size_t fault_server_requests(struct fault_server *server);    /* read so far */

#endif
