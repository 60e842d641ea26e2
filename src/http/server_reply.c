/* From our response to libmicrohttpd's, without copying the body. */
#include <string.h>

#include "http/server_internal.h"
#include "util/mem.h"

/* libmicrohttpd keeps its own array of the parts, 16 bytes each, in the connection's memory
 * (CONNECTION_MEMORY_BYTES) and closes without a word when they do not fit. Pages of more parts are
 * copied through a small window instead. */
#define PARTS_MAX 512
#define WINDOW_BYTES 32768

/* A body that is copied out piece by piece, for one connection. */
struct stream {
    const struct qe_http_part *parts; /* borrowed from body */
    size_t parts_count;
    size_t part;         /* where the next byte comes from */
    size_t offset_bytes; /* within that part */
    void (*free_body)(void *body);
    void *body; /* owned, if free_body says so */
};

static ssize_t stream_read(void *cls, uint64_t position, char *out, size_t max_bytes)
{
    struct stream *stream = cls;
    size_t done_bytes = 0;

    (void)position; /* always where the last read ended */
    while (stream->part < stream->parts_count && done_bytes < max_bytes) {
        const struct qe_http_part *part = &stream->parts[stream->part];
        size_t count = part->size_bytes - stream->offset_bytes;
        count = count < max_bytes - done_bytes ? count : max_bytes - done_bytes;
        if (count > 0) {
            memcpy(out + done_bytes, (const char *)part->data + stream->offset_bytes, count);
        }
        done_bytes += count;
        stream->offset_bytes += count;
        if (stream->offset_bytes == part->size_bytes) {
            stream->part++;
            stream->offset_bytes = 0;
        }
    }
    return done_bytes == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)done_bytes;
}

static void stream_destroy(void *cls)
{
    struct stream *stream = cls;

    if (stream->free_body != NULL) {
        stream->free_body(stream->body);
    }
    qe_free(stream);
}

static struct MHD_Response *reply_from_stream(const struct qe_http_response *response)
{
    struct stream *stream = qe_calloc(1, sizeof *stream);
    uint64_t size_bytes = 0;

    if (stream == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < response->parts_count; i++) {
        size_bytes += response->parts[i].size_bytes;
    }
    stream->parts = response->parts;
    stream->parts_count = response->parts_count;
    struct MHD_Response *reply = MHD_create_response_from_callback(
        size_bytes, WINDOW_BYTES, stream_read, stream, stream_destroy);
    if (reply == NULL) {
        qe_free(stream);
        return NULL;
    }
    /* Only now the body is the stream's: until here a failure leaves it to the caller. */
    stream->free_body = response->free_body;
    stream->body = response->body;
    return reply;
}

static struct MHD_Response *reply_from_parts(const struct qe_http_response *response)
{
    /* The library copies the array; one more item, for a page without any part. */
    struct MHD_IoVec *parts = qe_calloc(response->parts_count + 1, sizeof *parts);
    unsigned count = 0;

    if (parts == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < response->parts_count; i++) {
        if (response->parts[i].size_bytes > 0) {
            parts[count].iov_base = response->parts[i].data;
            parts[count].iov_len = response->parts[i].size_bytes;
            count++;
        }
    }
    struct MHD_Response *reply =
        MHD_create_response_from_iovec(parts, count, response->free_body, response->body);
    qe_free(parts);
    return reply;
}

static struct MHD_Response *reply_from_text(const struct qe_http_response *response)
{
    struct MHD_IoVec text = {.iov_base = response->text.data, .iov_len = response->text.size_bytes};

    return MHD_create_response_from_iovec(&text, text.iov_len == 0 ? 0 : 1, response->free_body,
                                          response->body);
}

static bool add_headers(struct MHD_Response *reply, const struct qe_http_response *response)
{
    bool added = MHD_add_response_header(reply, "X-Content-Type-Options", "nosniff") == MHD_YES;

    if (added && response->content_type != NULL) {
        added = MHD_add_response_header(reply, "Content-Type", response->content_type) == MHD_YES;
    }
    for (size_t i = 0; added && i < response->headers_count && i < QE_HTTP_HEADERS_MAX; i++) {
        added = MHD_add_response_header(reply, response->headers[i].name,
                                        response->headers[i].value) == MHD_YES;
    }
    return added;
}

struct MHD_Response *qe_http_reply_new_take(const struct qe_http_response *response)
{
    struct MHD_Response *reply = NULL;

    if (response->parts == NULL) {
        reply = reply_from_text(response);
    } else if (response->parts_count > PARTS_MAX) {
        reply = reply_from_stream(response);
    } else {
        reply = reply_from_parts(response);
    }
    if (reply == NULL) {
        if (response->free_body != NULL) {
            response->free_body(response->body);
        }
        return NULL;
    }
    if (!add_headers(reply, response)) {
        MHD_destroy_response(reply);
        return NULL;
    }
    return reply;
}

static void set_text(struct qe_http_response *response, unsigned status, const char *content_type,
                     const char *text)
{
    *response = (struct qe_http_response){.status = status, .content_type = content_type};
    response->text.data = text;
    response->text.size_bytes = strlen(text);
}

void qe_http_respond_text(struct qe_http_response *response, unsigned status,
                          const char *static_text)
{
    set_text(response, status, QE_HTTP_TEXT_TYPE, static_text);
}

void qe_http_respond_take(struct qe_http_response *response, unsigned status,
                          const char *content_type, char *text)
{
    if (text == NULL) {
        qe_http_respond_text(response, 500, "Out of memory.\n");
        return;
    }
    set_text(response, status, content_type, text);
    response->body = text;
    response->free_body = qe_free;
}
