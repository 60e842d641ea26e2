/* Any texts as the parts of a request to sign, one per line: path, query, then name and value of
 * headers in turn; behind an empty line the body. What is signed is one well-formed canonical
 * request, the same each time; its text and its hash agree; and the query has one form. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/digest.h"
#include "aws/sigv4.h"
#include "util/mem.h"
#include "util/strbuf.h"

#define LINES_MAX (2 * QE_SIGV4_HEADERS_MAX + 6)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct signature {
    struct qe_strbuf authorization;
    struct qe_strbuf canonical;
    struct qe_strbuf to_sign;
};

static void require(int condition, const char *what, const struct signature *made)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n%s\n--\n%s\n", what,
                      qe_strbuf_text(&made->canonical), qe_strbuf_text(&made->to_sign));
        abort();
    }
}

static int sign(struct qe_sigv4 *signer, const struct qe_sigv4_request *request,
                struct signature *made, struct qe_err *err)
{
    static char access_key[] = "AKIDEXAMPLE";
    static struct qe_aws_credentials credentials = {.access_key_id = access_key};
    const struct qe_sigv4_steps steps = {.canonical_request = &made->canonical,
                                         .string_to_sign = &made->to_sign};

    if (credentials.secret_access_key == NULL) {
        credentials.secret_access_key = qe_secret_new("secret", 6, err);
    }
    return qe_sigv4_sign(signer, &credentials, request, &made->authorization, &steps, err);
}

static void signature_deinit(struct signature *made)
{
    qe_strbuf_deinit(&made->authorization);
    qe_strbuf_deinit(&made->canonical);
    qe_strbuf_deinit(&made->to_sign);
}

/* The n-th line, up to its end. */
static const char *line_of(const char *text, size_t n, size_t *out_bytes)
{
    for (size_t i = 0; i < n; i++) {
        text = strchr(text, '\n') + 1;
    }
    *out_bytes = strcspn(text, "\n");
    return text;
}

static void check_hash(const struct signature *made)
{
    unsigned char bytes[QE_SHA256_BYTES];
    char hex[QE_SHA256_HEX_BYTES];
    struct qe_err err = {0};
    size_t length = 0;
    const char *line = line_of(made->to_sign.data, 3, &length);

    if (qe_sha256(made->canonical.data, made->canonical.length_bytes, bytes, &err) != 0) {
        return;
    }
    qe_hex(bytes, sizeof bytes, hex);
    require(length == 64 && memcmp(line, hex, 64) == 0, "text and hash agree", made);
}

static void check_shape(const struct signature *made)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-._~%/";
    size_t length = 0;
    const char *path = line_of(made->canonical.data, 1, &length);

    require(length > 0 && path[0] == '/' && strspn(path, safe) >= length, "a path is encoded",
            made);
    for (size_t i = 1; i < length; i++) {
        require(path[i] != '/' || path[i - 1] != '/', "a path has no empty segment", made);
    }
    const char *query = line_of(made->canonical.data, 2, &length);

    require(
        strspn(query, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%=&") >=
            length,
        "a query is encoded", made);
}

/* What is canonical already stays as it is. */
static void check_query(struct qe_sigv4 *signer, const struct qe_sigv4_request *request,
                        const struct signature *made)
{
    struct qe_sigv4_request again = *request;
    struct signature remade = {0};
    struct qe_err err = {0};
    size_t length = 0;
    const char *query = line_of(made->canonical.data, 2, &length);
    char *copy = qe_strndup(query, length);

    again.query = copy;
    if (copy != NULL && sign(signer, &again, &remade, &err) == 0) {
        require(strcmp(qe_strbuf_text(&made->authorization),
                       qe_strbuf_text(&remade.authorization)) == 0,
                "a query has one form", made);
    }
    qe_free(copy);
    signature_deinit(&remade);
}

static void check_request(const struct qe_sigv4_request *request)
{
    struct signature first = {0};
    struct signature second = {0};
    struct qe_err err = {0};
    struct qe_sigv4 *signer = qe_sigv4_new(&err);

    if (signer != NULL && sign(signer, request, &first, &err) == 0) {
        require(sign(signer, request, &second, &err) == 0 &&
                    strcmp(qe_strbuf_text(&first.authorization),
                           qe_strbuf_text(&second.authorization)) == 0,
                "the same each time", &first);
        check_hash(&first);
        check_shape(&first);
        check_query(signer, request, &first);
    }
    signature_deinit(&first);
    signature_deinit(&second);
    qe_sigv4_destroy(signer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = qe_memdup(data, size);
    char *lines[LINES_MAX] = {0};
    struct qe_http_header headers[LINES_MAX / 2];
    struct qe_sigv4_request request = {.method = "POST",
                                       .path = "/",
                                       .query = "",
                                       .headers = headers,
                                       .region = "us-east-1",
                                       .service = "sqs",
                                       .time_unix_s = 1767323045,
                                       .normalize_path = true};
    size_t count = 0;
    char *at = text;

    while (at != NULL && *at != '\0' && *at != '\n' && count < LINES_MAX) {
        lines[count++] = at;
        at = strchr(at, '\n');
        if (at != NULL) {
            *at++ = '\0';
        }
    }
    if (at != NULL && *at == '\n') {
        request.body = at + 1;
        request.body_bytes = size - (size_t)(at + 1 - text);
    }
    request.path = count > 0 ? lines[0] : "";
    request.query = count > 1 ? lines[1] : NULL;
    for (size_t i = 2; i + 1 < count; i += 2) {
        headers[request.headers_count++] = (struct qe_http_header){lines[i], lines[i + 1]};
    }
    if (text != NULL) {
        check_request(&request);
    }
    qe_free(text);
    return 0;
}
