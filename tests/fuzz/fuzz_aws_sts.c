/* Any bytes as an answer of STS, XML or JSON: no crash; what is taken for credentials is complete
 * and may go into a header. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/provider_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static int is_plain(const char *text)
{
    const char *start = text;

    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return 0;
        }
    }
    return text > start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_err err = {0};
    struct qe_aws_credentials *made =
        qe_aws_credentials_from_sts((const char *)data, size, "assumed role", &err);

    if (made == NULL) {
        require(err.code == QE_ERR_PROTOCOL || err.code == QE_ERR_INVALID ||
                    err.code == QE_ERR_LIMIT,
                "the code of an error");
        return 0;
    }
    require(is_plain(made->access_key_id), "a key id");
    require(is_plain(qe_secret_bytes(made->secret_access_key)), "a secret");
    require(is_plain(qe_secret_bytes(made->session_token)), "a token");
    require(made->expires_unix_ms > 0, "an end");
    require(made->account_id[0] == '\0' || strlen(made->account_id) == 12, "an account id");
    qe_aws_credentials_release(made);
    return 0;
}
