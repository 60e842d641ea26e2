/* Any bytes as the answer to a failed call: two bytes of status, headers, an empty line, a body. It
 * is always a failure, said in printable words on one line, with codes that are names, and never
 * with the session token. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/error.h"
#include "util/strbuf.h"
#include "util/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what, const struct qe_aws_error *error)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s: \"%s\" \"%s\" %s\n", what, error->code,
                      error->legacy_code, error->err.message);
        abort();
    }
}

static void check_name(const char *name, const struct qe_aws_error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-";

    require(strspn(name, letters) == strlen(name), "a code is a name", error);
    require(strlen(name) < QE_AWS_CODE_BYTES, "a code has its room", error);
}

static void check_words(const struct qe_aws_error *error)
{
    const char *message = error->err.message;

    require(message[0] != '\0', "a failure has words", error);
    require(qe_text_is_utf8(message, strlen(message)), "words are UTF-8", error);
    const char *words = strstr(message, "HTTP "); /* behind the code, which is only a name */

    require(words != NULL, "the status is told", error);
    for (const char *c = message; *c != '\0'; c++) {
        require((unsigned char)*c >= 0x20 && *c != 0x7f, "words are printable", error);
        require(c < words || strncasecmp(c, "security-token", 14) != 0, "the token is not shown",
                error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_http_reply reply = {.status = 400};
    struct qe_aws_error error;
    const char *text = (const char *)data;
    size_t head = 0;

    if (size >= 2) {
        reply.status = 100 + (unsigned)(data[0] << 8 | data[1]) % 500;
        reply.status += reply.status / 100 == 2 ? 200 : 0; /* a success is nobody's error */
        head = 2;
    }
    size_t body = head;

    while (body < size && !(size - body >= 4 && memcmp(text + body, "\r\n\r\n", 4) == 0)) {
        body++;
    }
    body = body < size ? body + 4 : head; /* no empty line: all is body */
    if (qe_strbuf_append(&reply.headers, text + head, body - head) == 0 &&
        qe_strbuf_append(&reply.body, text + body, size - body) == 0) {
        qe_aws_error_read(&reply, &error);
        require(error.err.code != QE_OK && error.err.code < QE_ERR_COUNT, "it is a failure",
                &error);
        check_name(error.code, &error);
        check_name(error.legacy_code, &error);
        check_words(&error);
        require((int)qe_aws_error_code(error.code, true) != QE_OK, "a code is a failure", &error);
    }
    qe_http_reply_deinit(&reply);
    return 0;
}
