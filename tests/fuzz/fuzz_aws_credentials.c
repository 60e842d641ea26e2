/* Any bytes as the JSON that containers, instance metadata and programs give: no crash; what is
 * taken for credentials may go into a header, and what is shown of others' words onto a terminal.
 * The first byte says which form is expected. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/provider_internal.h"
#include "util/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct qe_aws_json_form s_forms[] = {
    {.provider = "container", .token_key = "Token", .must_expire = true},
    {.provider = "instance metadata",
     .token_key = "Token",
     .has_code = true,
     .must_expire = true,
     .outlives_expiry = true},
    {.provider = "credential process",
     .token_key = "SessionToken",
     .account_id = "123456789012",
     .is_versioned = true},
};

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static int is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return 0;
        }
    }
    return 1;
}

static void check_words(const char *text, size_t size)
{
    char out[QE_AWS_PUBLIC_BYTES];
    const size_t length = strlen(qe_aws_public_text(text, size, out));

    require(length < QE_AWS_PUBLIC_BYTES && qe_text_is_utf8(out, length), "words are UTF-8");
    for (size_t i = 0; i < length; i++) {
        require((unsigned char)out[i] >= ' ' && out[i] != 0x7f, "words are printable");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_err err = {0};

    if (size == 0) {
        return 0;
    }
    const struct qe_aws_json_form *form = &s_forms[data[0] % 3];
    const char *text = (const char *)data + 1;
    struct qe_aws_credentials *made = qe_aws_credentials_from_json(text, size - 1, form, &err);

    check_words(text, size - 1);
    if (made == NULL) {
        require(err.code == QE_ERR_PROTOCOL || err.code == QE_ERR_AUTH ||
                    err.code == QE_ERR_INVALID || err.code == QE_ERR_LIMIT,
                "the code of an error");
        return 0;
    }
    require(is_plain(made->access_key_id) && made->access_key_id[0] != '\0', "a key id");
    require(is_plain(qe_secret_bytes(made->secret_access_key)), "a secret");
    require(qe_secret_length(made->secret_access_key) > 0, "a secret that is not empty");
    require(is_plain(qe_secret_bytes(made->session_token)), "a token");
    require(!form->must_expire || (made->expires_unix_ms != 0 && made->session_token != NULL),
            "what must expire does");
    require(made->account_id[0] == '\0' || strlen(made->account_id) == 12, "an account id");
    qe_aws_credentials_release(made);
    return 0;
}
