#include "consumer/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/message_json.h"
#include "util/base64.h"
#include "util/json.h"
#include "util/mem.h"
#include "util/text.h"

#define DELAY_MAX_SECONDS 43200.0
#define KEEP_MAX_BYTES ((size_t)1 << 20)
/* Of an answer to one message, beside its reply. */
#define ANSWER_MAX_BYTES ((size_t)64 << 10)

/* --- the question --- */

static struct qe_json *make_question(const struct qe_exchange *exchange, size_t index)
{
    const struct qe_origin *origin = &exchange->common->origin;
    struct qe_json *object = qe_json_new_object();
    int rc = qe_json_add_number(object, "id", (double)(exchange->first_id + index));

    if (rc == 0) {
        rc = qe_json_add_text(object, "source", origin->source);
    }
    if (rc == 0 && origin->vhost != NULL && *origin->vhost != '\0') {
        rc = qe_json_add_text(object, "vhost", origin->vhost);
    }
    if (rc == 0) {
        rc = qe_json_add_text(object, "queue", origin->queue);
    }
    if (rc == 0) {
        rc = qe_json_add_take(object, "message", qe_message_to_json(exchange->messages[index]));
    }
    if (rc != 0) {
        qe_json_destroy(object);
        return NULL;
    }
    return object;
}

static struct qe_json *make_questions(const struct qe_exchange *exchange)
{
    struct qe_json *array = NULL;

    if (!exchange->common->in_batches) {
        return make_question(exchange, 0);
    }
    array = qe_json_new_array();
    for (size_t i = 0; i < exchange->count; i++) {
        if (qe_json_add_take(array, NULL, make_question(exchange, i)) != 0) {
            qe_json_destroy(array);
            return NULL;
        }
    }
    return array;
}

int qe_exchange_ask(const struct qe_exchange *exchange, struct qe_strbuf *out, struct qe_err *err)
{
    struct qe_json *question = make_questions(exchange);
    char *text = question == NULL ? NULL : qe_json_print(question);
    int rc = -1;

    if (text == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "out of memory for a message as JSON");
    } else {
        (void)qe_strbuf_append_text(out, text);
        rc = qe_strbuf_error(out, err);
    }
    qe_free(text);
    qe_json_destroy(question);
    return rc;
}

void qe_exchange_reset(struct qe_strbuf *text)
{
    if (text->capacity_bytes > KEEP_MAX_BYTES) {
        qe_strbuf_deinit(text);
    }
    qe_strbuf_reset(text);
}

/* --- the answer --- */

size_t qe_exchange_answer_max_bytes(const struct qe_exchange *exchange)
{
    const struct qe_handler_common *common = exchange->common;
    /* JSON may take six bytes for one of a reply. */
    const size_t one = 6 * common->reply_max_bytes + ANSWER_MAX_BYTES;
    const size_t all = one * exchange->count;
    const size_t most = common->batch_answer_max_bytes > one ? common->batch_answer_max_bytes : one;

    return all < most ? all : most;
}

static void fail(struct qe_handled *out, const char *why)
{
    qe_handled_fail(out, QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR, "%s", why);
}

void qe_exchange_fail(const struct qe_exchange *exchange, struct qe_handled *out,
                      enum qe_fail_reason reason, const char *why)
{
    for (size_t i = 0; i < exchange->count; i++) {
        qe_handled_fail(&out[i], QE_OUTCOME_RETRY, reason, "%s", why);
    }
}

enum qe_fail_reason qe_exchange_reason(const struct qe_err *err)
{
    if (err->code == QE_ERR_TIMEOUT) {
        return QE_FAIL_TIMEOUT;
    }
    /* The limits of this process or machine, wherever it met them, and what is configured wrongly:
     * nothing that a message brings along is QE_ERR_INVALID. */
    return err->code == QE_ERR_NOMEM || err->code == QE_ERR_INVALID || err->sys_errno == EMFILE ||
                   err->sys_errno == ENFILE || err->sys_errno == EADDRNOTAVAIL ||
                   err->sys_errno == ENOBUFS
               ? QE_FAIL_INTERNAL
               : QE_FAIL_HANDLER_ERROR;
}

/* Which message an answer is for; exchange->count: none of them. The number, or the same as text.
 */
static size_t find_message(const struct qe_exchange *exchange, const struct qe_json *answer)
{
    const struct qe_json *id = qe_json_get(answer, "id");
    const char *text = qe_json_text(id);
    double number = -1;
    uint64_t whole = 0;
    struct qe_err ignored = {0};

    if (text != NULL) {
        if (qe_text_to_u64(text, UINT64_MAX, &whole, &ignored) != 0) {
            return exchange->count;
        }
    } else if (qe_json_number(id, &number) && number >= 0 && number < 9007199254740992.0 &&
               floor(number) == number) {
        whole = (uint64_t)number;
    } else {
        return exchange->count;
    }
    uint64_t index = whole - exchange->first_id; /* of a smaller one: huge */

    return index < exchange->count ? (size_t)index : exchange->count;
}

/* Appends the reply, if there is one. NULL: well; else what is wrong with it. The work is done, and
 * would be done the same again: what is wrong is not tried again, but for memory. */
static const char *take_reply(const struct qe_json *answer, size_t max_bytes,
                              struct qe_strbuf *reply, enum qe_outcome *out_outcome)
{
    const struct qe_json *plain = qe_json_get(answer, "reply");
    const struct qe_json *encoded = qe_json_get(answer, "reply_base64");
    const char *text = qe_json_text(plain != NULL ? plain : encoded);
    char *bytes = NULL;
    size_t count = 0;
    int rc = 0;

    *out_outcome = QE_OUTCOME_REJECT;
    if (plain == NULL && encoded == NULL) {
        return NULL;
    }
    if (text == NULL) {
        return "the answer's reply is no text";
    }
    if (plain == NULL) {
        rc = qe_base64_decode(text, &bytes, &count);
    } else {
        count = strlen(text);
    }
    if (rc == 0 && count <= max_bytes) {
        rc = qe_strbuf_append(reply, bytes != NULL ? bytes : text, count) != 0 ? 1 : 0;
    } else if (rc == 0) {
        qe_free(bytes);
        return "the answer's reply is longer than max_reply";
    }
    qe_free(bytes);
    if (rc > 0) {
        *out_outcome = QE_OUTCOME_RETRY;
        return "out of memory for the reply";
    }
    return rc < 0 ? "the answer's reply_base64 is no base64" : NULL;
}

static void take_retry(const struct qe_exchange *exchange, const struct qe_json *answer,
                       const char *reason, struct qe_handled *out)
{
    const struct qe_json *delay = qe_json_get(answer, "delay");
    double seconds = 0;

    qe_handled_fail_saying(out, QE_OUTCOME_RETRY, &exchange->common->reasons, "", reason);
    if (qe_json_number(delay, &seconds) && seconds >= 0) {
        out->retry_delay_ms =
            (int64_t)(fmin(seconds, DELAY_MAX_SECONDS) * 1000); /* what brokers take */
    }
}

/* The answer for messages[index]; `out` is that one's. */
static void take_one(const struct qe_exchange *exchange, size_t index, const struct qe_json *answer,
                     struct qe_handled *out)
{
    const bool is_asked = exchange->messages[index]->reply_to[0] != '\0';
    const char *result = qe_json_text(qe_json_get(answer, "result"));
    const char *said = qe_json_text(qe_json_get(answer, "reason"));
    const char *reason = said != NULL && *said != '\0' ? said : "the handler gave no reason";
    const char *wrong = NULL;
    enum qe_outcome outcome = QE_OUTCOME_REJECT;

    if (result == NULL) {
        fail(out, "the answer has no result: ack, retry or reject");
    } else if (strcmp(result, "ack") == 0) {
        out->outcome = QE_OUTCOME_SUCCESS;
        /* A reply that nobody asked for goes nowhere, whatever it is. */
        wrong = is_asked
                    ? take_reply(answer, exchange->common->reply_max_bytes, &out->reply, &outcome)
                    : NULL;
        if (wrong != NULL) {
            qe_handled_fail(out, outcome,
                            outcome == QE_OUTCOME_RETRY ? QE_FAIL_INTERNAL : QE_FAIL_PERMANENT,
                            "%s", wrong);
        }
    } else if (strcmp(result, "retry") == 0) {
        take_retry(exchange, answer, reason, out);
    } else if (strcmp(result, "reject") == 0) {
        qe_handled_fail_saying(out, QE_OUTCOME_REJECT, &exchange->common->reasons, "", reason);
    } else {
        qe_handled_fail(out, QE_OUTCOME_RETRY, QE_FAIL_HANDLER_ERROR,
                        "the answer's result is \"%.40s\", not ack, retry or reject", result);
    }
}

static int take_single(const struct qe_exchange *exchange, const struct qe_json *answer,
                       struct qe_handled *out, struct qe_err *err)
{
    if (!qe_json_is_object(answer)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "the answer is no JSON object");
    }
    if (find_message(exchange, answer) != 0) {
        return qe_err_set(err, QE_ERR_PROTOCOL,
                          "the answer's id is not the question's (%" PRIu64 ")",
                          exchange->first_id);
    }
    take_one(exchange, 0, answer, out);
    return 0;
}

/* A batch's answer while it is read. */
struct list {
    const struct qe_exchange *exchange;
    struct qe_handled *out;
    bool *taken; /* owned; which have their answer: a second one is none */
};

static int take_item(void *context, const struct qe_json *answer, struct qe_err *err)
{
    const struct list *list = context;
    const size_t index = find_message(list->exchange, answer);

    (void)err;
    if (index < list->exchange->count && !list->taken[index]) {
        list->taken[index] = true;
        list->out[index].detail[0] = '\0';
        take_one(list->exchange, index, answer, &list->out[index]);
    }
    return 0;
}

/* As if nothing of the answer had been read. */
static void forget_list(const struct qe_exchange *exchange, struct qe_handled *out)
{
    for (size_t i = 0; i < exchange->count; i++) {
        qe_strbuf_deinit(&out[i].reply);
        out[i] = (struct qe_handled){
            .outcome = QE_OUTCOME_RETRY, .reason = QE_FAIL_INTERNAL, .retry_delay_ms = -1};
    }
}

/* One answer after the other: all of them as values would take much more memory than as text. */
static int take_list(const struct qe_exchange *exchange, const char *text, size_t bytes,
                     struct qe_handled *out, struct qe_err *err)
{
    struct list list = {
        .exchange = exchange, .out = out, .taken = qe_calloc(exchange->count, sizeof *list.taken)};

    if (list.taken == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for an answer");
    }
    /* Every message counts as not answered until its answer is found. */
    for (size_t i = 0; i < exchange->count; i++) {
        fail(&out[i], "the batch's answer has no result for this message");
    }
    int rc = qe_json_each(text, bytes, take_item, &list, err);

    if (rc != 0) {
        forget_list(exchange, out);
    }
    qe_free(list.taken);
    return rc;
}

int qe_exchange_answer(const struct qe_exchange *exchange, const char *text, size_t bytes,
                       struct qe_handled *out, struct qe_err *err)
{
    if (exchange->common->in_batches) {
        return take_list(exchange, text, bytes, out, err);
    }
    struct qe_json *root = qe_json_parse(text, bytes, err);
    int rc = root != NULL ? take_single(exchange, root, out, err) : -1;

    qe_json_destroy(root);
    return rc;
}
