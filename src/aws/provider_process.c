/* credential_process: a program that prints credentials.
 * Source: AWS SDKs and Tools Reference Guide, "Process credential provider". */
#include <string.h>

#include "aws/command.h"
#include "aws/provider_internal.h"

#define OUTPUT_MAX_BYTES ((size_t)64 << 10)
/* Longer than a request's: it may have to ask a service of its own. */
#define RUN_MS 60000

static int run(const struct qe_aws_search *search, char *const *argv, struct qe_strbuf *output,
               struct qe_err *err)
{
    const struct qe_aws_world *world = search->settings->world;
    const int64_t until_mono_ms = world->now_mono_ms(world->self) + RUN_MS;
    char words[QE_AWS_PUBLIC_BYTES];

    if (world->run(world->self, argv,
                   until_mono_ms < search->deadline_mono_ms ? until_mono_ms
                                                            : search->deadline_mono_ms,
                   OUTPUT_MAX_BYTES, output, err) == 0) {
        return 0;
    }
    /* The words may be the program's own: nobody knows what it complains with. */
    return qe_err_set(err, err->code, "%s",
                      qe_aws_public_text(err->message, strlen(err->message), words));
}

int qe_aws_run_process(const struct qe_aws_search *search, const char *command,
                       const char *account_id, struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_json_form form = {.provider = QE_AWS_FROM_PROCESS,
                                          .token_key = "SessionToken",
                                          .account_id = account_id,
                                          .is_versioned = true};
    struct qe_strbuf output = {.is_secret = true};
    struct qe_aws_command *split = qe_aws_command_new(command, err);
    struct qe_aws_credentials *made = NULL;

    if (split == NULL) {
        return qe_err_wrap(err, "credential_process");
    }
    char *const *argv = qe_aws_command_argv(split);

    if (run(search, argv, &output, err) != 0) {
        qe_err_wrap(err, "credential_process %.200s", argv[0]);
    } else {
        made =
            qe_aws_credentials_from_json(qe_strbuf_text(&output), output.length_bytes, &form, err);
        if (made == NULL) {
            qe_err_wrap(err, "credential_process %.200s: what it printed is not what is expected",
                        argv[0]);
        }
    }
    qe_aws_command_destroy(split);
    qe_strbuf_deinit(&output);
    if (made == NULL) {
        return -1;
    }
    *out = made;
    return 0;
}
