#include "backend/sqs/batch.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "aws/error.h"
#include "backend/sqs/letter.h"
#include "util/mem.h"
#include "util/text.h"

#define TRIES_MAX 3
#define RETRY_PAUSE_FIRST_MS 50

void qe_sqs_append_receipt(struct qe_strbuf *out, const char *receipt)
{
    (void)qe_strbuf_append_text(out, ",\"ReceiptHandle\":");
    qe_sqs_append_text(out, receipt, strlen(receipt));
}

void qe_sqs_append_visibility(struct qe_strbuf *out, const char *receipt, int64_t seconds)
{
    qe_sqs_append_receipt(out, receipt);
    (void)qe_strbuf_printf(out, ",\"VisibilityTimeout\":%" PRId64, seconds);
}

/* One item that is still to be called. */
struct todo {
    size_t item;
    unsigned tries; /* calls it was in */
    bool alone;     /* goes without company */
};

struct run {
    struct qe_sqs *sqs;
    const struct qe_sqs_batch *batch;
    struct todo *todo; /* owned; [next, count) is still to do */
    size_t next;
    size_t count;
    size_t started;
    int64_t paused_until_mono_ms;
    bool answered;
    struct qe_err first_failure;
};

static void tell(struct run *run, size_t item, const struct qe_sqs_outcome *outcome)
{
    run->batch->done(run->batch->context, item, outcome);
}

static void tell_failure(struct run *run, size_t item, const struct qe_err *err)
{
    const struct qe_sqs_outcome outcome = {.err = err};

    tell(run, item, &outcome);
}

/* What was taken from the front goes back there: never more than was taken. */
static void put_back(struct run *run, size_t item, unsigned tries)
{
    run->todo[--run->next] = (struct todo){.item = item, .tries = tries, .alone = true};
}

/* --- out --- */

static size_t bytes_of(const struct run *run, size_t item)
{
    return run->batch->bytes == NULL ? 0 : run->batch->bytes(run->batch->context, item);
}

static bool may_go(struct run *run, size_t item)
{
    struct qe_err why = {0};

    if (run->batch->may_go == NULL || run->batch->may_go(run->batch->context, item, &why)) {
        return true;
    }
    tell_failure(run, item, &why);
    return false;
}

static void append_entry(struct run *run, struct qe_sqs_slot *slot, const struct todo *todo)
{
    struct qe_strbuf *body = &slot->call.body;

    (void)qe_strbuf_printf(body, "%s{\"Id\":\"%zu\"", slot->count == 0 ? "" : ",", slot->count);
    run->batch->append(run->batch->context, todo->item, body);
    (void)qe_strbuf_append_char(body, '}');
    slot->items[slot->count] = todo->item;
    slot->tries[slot->count] = todo->tries + 1;
    slot->count++;
}

/* Fills one call from the front of what is to do. */
static void fill(struct run *run, struct qe_sqs_slot *slot)
{
    size_t bytes = 0;
    bool full = false;

    slot->count = 0;
    qe_sqs_call_init(run->sqs, &slot->call, run->batch->operation, run->batch->deadline_mono_ms);
    qe_sqs_append_queue_url(&slot->call.body, run->batch->queue);
    (void)qe_strbuf_append_text(&slot->call.body, ",\"Entries\":[");
    while (run->next < run->count && slot->count < QE_SQS_BATCH_MAX && !full) {
        const struct todo todo = run->todo[run->next];
        size_t own = bytes_of(run, todo.item);

        full = slot->count > 0 && (todo.alone || bytes + own > QE_SQS_MESSAGE_MAX_BYTES);
        if (!full) {
            run->next++;
            if (may_go(run, todo.item)) {
                append_entry(run, slot, &todo);
                bytes += own;
                full = todo.alone;
            }
        }
    }
    (void)qe_strbuf_append_text(&slot->call.body, "]}");
}

static void fail_slot(struct run *run, struct qe_sqs_slot *slot, const struct qe_err *err)
{
    if (run->first_failure.code == QE_OK) {
        run->first_failure = *err;
    }
    for (size_t i = 0; i < slot->count; i++) {
        tell_failure(run, slot->items[i], err);
    }
}

static void start(struct run *run, struct qe_sqs_slot *slot)
{
    struct qe_err err = {0};

    fill(run, slot);
    if (slot->count == 0) {
        return;
    }
    qe_sqs_call_price_work(
        run->sqs, &slot->call,
        ceil((double)slot->call.body.length_bytes / (double)QE_SQS_BILLED_CHUNK_BYTES),
        run->batch->queue->is_fifo ? QE_SQS_TARIFF_FIFO
        : run->batch->has_groups   ? QE_SQS_TARIFF_FAIR
                                   : QE_SQS_TARIFF_STANDARD);
    slot->call.context = slot;
    if (qe_strbuf_error(&slot->call.body, &err) != 0 ||
        qe_aws_start(run->sqs->client, &slot->call, &err) != 0) {
        fail_slot(run, slot, &err);
        return;
    }
    slot->is_started = true;
    run->started++;
}

/* --- back --- */

static const struct qe_json *find_entry(const struct qe_json *answer, const char *list,
                                        const char *id)
{
    const struct qe_json *entries = qe_json_get(answer, list);

    for (const struct qe_json *entry = qe_json_first(entries); entry != NULL;
         entry = qe_json_next(entry)) {
        const char *own = qe_json_text(qe_json_get(entry, "Id"));

        if (own != NULL && strcmp(own, id) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* A receipt that is too old has several names, of which one stands in the text only. */
static bool is_stale(enum qe_err_code code, const char *name, const char *words)
{
    return code == QE_ERR_NOT_FOUND ||
           (strstr(name, "InvalidParameterValue") != NULL &&
            (strstr(words, "ReceiptHandle") != NULL || strstr(words, "receipt handle") != NULL));
}

static bool may_retry(const struct run *run, size_t item)
{
    return run->batch->may_retry == NULL ? !run->batch->is_ordered
                                         : run->batch->may_retry(run->batch->context, item);
}

static void take_failed_entry(struct run *run, const struct qe_sqs_slot *slot, size_t index,
                              const struct qe_json *entry)
{
    const char *name = qe_json_text(qe_json_get(entry, "Code"));
    const char *words = qe_json_text(qe_json_get(entry, "Message"));
    bool sender_fault = true;
    struct qe_err err = {0};

    name = name == NULL ? "" : name;
    words = words == NULL ? "" : words;
    (void)qe_json_bool(qe_json_get(entry, "SenderFault"), &sender_fault);
    enum qe_err_code code = qe_aws_error_code(name, sender_fault);
    int64_t now = qe_clock_mono_ms();

    if ((!sender_fault || qe_err_is_retryable(code)) && slot->tries[index] < TRIES_MAX &&
        now < run->batch->deadline_mono_ms && may_retry(run, slot->items[index])) {
        double pause_ms = RETRY_PAUSE_FIRST_MS * (double)(1u << slot->tries[index]);

        run->paused_until_mono_ms =
            now + (int64_t)(pause_ms * qe_random_unit(&run->sqs->work->random));
        put_back(run, slot->items[index], slot->tries[index]);
        return;
    }
    (void)qe_err_set(&err, code, "%.80s: %.300s", name, words);
    const struct qe_sqs_outcome outcome = {
        .err = &err, .is_alone = true, .is_stale = is_stale(code, name, words)};

    tell(run, slot->items[index], &outcome);
}

/* From the last to the first, so that what is put back keeps its order. */
static void take_answer(struct run *run, const struct qe_sqs_slot *slot,
                        const struct qe_json *answer)
{
    for (size_t i = slot->count; i > 0; i--) {
        const char id[2] = {(char)('0' + (int)(i - 1)), '\0'};
        const struct qe_json *failed = find_entry(answer, "Failed", id);
        const struct qe_json *done = find_entry(answer, "Successful", id);
        struct qe_err err = {0};

        if (failed != NULL) {
            take_failed_entry(run, slot, i - 1, failed);
        } else if (done != NULL) {
            const struct qe_sqs_outcome outcome = {.answer = done, .is_alone = true};

            tell(run, slot->items[i - 1], &outcome);
        } else {
            (void)qe_err_set(&err, QE_ERR_PROTOCOL, "%s: the answer leaves out an entry",
                             slot->call.target);
            tell_failure(run, slot->items[i - 1], &err);
        }
    }
}

/* Some mistakes of one entry make SQS refuse the whole call. */
static bool may_be_one_entrys_fault(const struct qe_sqs_slot *slot)
{
    enum qe_err_code code = slot->call.err.code;

    return slot->count > 1 && (code == QE_ERR_INVALID || code == QE_ERR_LIMIT);
}

static void finish(struct run *run, struct qe_sqs_slot *slot)
{
    struct qe_json *answer = NULL;
    struct qe_err err = {0};

    slot->is_started = false;
    run->started--;
    if (slot->call.err.code != QE_OK && may_be_one_entrys_fault(slot)) {
        for (size_t i = slot->count; i > 0; i--) {
            put_back(run, slot->items[i - 1], slot->tries[i - 1]);
        }
    } else if (slot->call.err.code != QE_OK) {
        fail_slot(run, slot, &slot->call.err);
    } else if (qe_sqs_parse(run->sqs, &slot->call, &answer, &err) != 0) {
        fail_slot(run, slot, &err);
    } else {
        run->answered = true;
        take_answer(run, slot, answer);
        qe_json_destroy(answer);
    }
    qe_sqs_call_shrink(&slot->call);
}

/* --- all of it --- */

static void start_some(struct run *run)
{
    size_t parallel = run->batch->is_ordered ? 1 : QE_SQS_PARALLEL_MAX;

    if (qe_clock_mono_ms() < run->paused_until_mono_ms) {
        return;
    }
    for (size_t i = 0; i < parallel && run->next < run->count; i++) {
        if (!run->sqs->work->slots[i].is_started) {
            start(run, &run->sqs->work->slots[i]);
        }
    }
}

static void abandon(struct run *run)
{
    struct qe_err err = {0};

    qe_aws_abort(run->sqs->client);
    (void)qe_err_set(&err, QE_ERR_PROTOCOL, "a call was lost");
    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        struct qe_sqs_slot *slot = &run->sqs->work->slots[i];

        if (slot->is_started) {
            slot->is_started = false;
            run->started--;
            fail_slot(run, slot, &err);
        }
    }
}

static void work_off(struct run *run)
{
    while (run->next < run->count || run->started > 0) {
        struct qe_aws_call *call = NULL;

        start_some(run);
        if (run->next >= run->count && run->started == 0) {
            break; /* the last could not be started */
        }
        bool is_paused = run->next < run->count && run->paused_until_mono_ms > qe_clock_mono_ms();
        int64_t until = is_paused ? run->paused_until_mono_ms : 0;
        enum qe_http_event event = qe_aws_wait(run->sqs->client, until, false, &call);

        if (event == QE_HTTP_REPLY) {
            finish(run, call->context);
        } else if (event == QE_HTTP_IDLE) {
            abandon(run);
        }
    }
}

int qe_sqs_batch_run(struct qe_sqs *sqs, const struct qe_sqs_batch *batch, struct qe_err *err)
{
    struct run run = {.sqs = sqs, .batch = batch, .count = batch->items_count};

    if (batch->items_count == 0) {
        return 0;
    }
    run.todo = qe_calloc(batch->items_count, sizeof *run.todo);
    if (run.todo == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "%zu messages", batch->items_count);
        for (size_t i = 0; i < batch->items_count; i++) {
            tell_failure(&run, batch->items[i], err);
        }
        return -1;
    }
    for (size_t i = 0; i < batch->items_count; i++) {
        run.todo[i].item = batch->items[i];
    }
    work_off(&run);
    qe_free(run.todo);
    if (!run.answered && run.first_failure.code != QE_OK) {
        *err = run.first_failure;
        return -1;
    }
    return 0;
}
