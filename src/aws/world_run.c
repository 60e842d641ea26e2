#include "aws/world_internal.h"
#include "util/child.h"

#define WORDS_MAX_BYTES ((size_t)2048) /* of the error output that is kept; the rest is let go */

/* Of a program that ended: 0, or its complaint as the error. */
static int judge(const struct qe_child_end *end, const struct qe_child_text *out,
                 const struct qe_strbuf *words, struct qe_err *err)
{
    if (end->is_late) {
        return qe_err_set(err, QE_ERR_TIMEOUT, "the program did not end in time");
    }
    if (end->signal != 0) {
        return qe_err_set(err, QE_ERR_AUTH, "the program was ended by signal %d: %s", end->signal,
                          qe_strbuf_text(words));
    }
    if (end->code != 0) {
        return qe_err_set(err, QE_ERR_AUTH, "the program ended with code %d: %s", end->code,
                          qe_strbuf_text(words));
    }
    if (out->is_cut) {
        return qe_err_set(err, QE_ERR_LIMIT, "the program printed more than %zu bytes",
                          out->max_bytes);
    }
    return qe_strbuf_error(out->text, err);
}

int qe_aws_run_program(char *const *argv, int64_t deadline_mono_ms, size_t max_bytes,
                       struct qe_strbuf *out, struct qe_err *err)
{
    struct qe_strbuf words = {.is_secret = true};
    struct qe_child_text out_text = {.text = out, .max_bytes = max_bytes};
    struct qe_child_text words_text = {.text = &words, .max_bytes = WORDS_MAX_BYTES};
    const struct qe_child_task task = {.program = {.argv = argv},
                                       .out = {qe_child_keep, &out_text},
                                       .words = {qe_child_keep, &words_text},
                                       .deadline_mono_ms = deadline_mono_ms};
    struct qe_child_end end;
    int rc = qe_child_run(&task, &end, err);

    if (rc == 0) {
        rc = judge(&end, &out_text, &words, err);
    }
    qe_strbuf_deinit(&words);
    return rc;
}
