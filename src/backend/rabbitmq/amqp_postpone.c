/* Messages whose delay no delay queue takes: they wait here, not settled. When their time has come
 * they are released; when the connection ends before, the broker has them again at once. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"

#define POSTPONED_MAX 1000
#define POSTPONED_MAX_BYTES ((size_t)16 << 20)
/* RabbitMQ takes back what is not settled for half an hour. */
#define POSTPONED_MAX_MS 600000

void qe_amqp_postponed_clear(struct qe_amqp_postponed *postponed)
{
    for (size_t i = 0; i < postponed->count; i++) {
        qe_message_deinit(&postponed->items[i].message);
    }
    postponed->count = 0;
    postponed->bytes = 0;
}

void qe_amqp_postponed_deinit(struct qe_amqp_postponed *postponed)
{
    qe_amqp_postponed_clear(postponed);
    qe_free(postponed->items);
    *postponed = (struct qe_amqp_postponed){0};
}

int qe_amqp_postpone(struct qe_amqp_postponed *postponed, const struct qe_message *message,
                     int64_t delay_ms, struct qe_err *err)
{
    const int64_t now = qe_clock_mono_ms();

    if (postponed->bytes + message->body_bytes > POSTPONED_MAX_BYTES ||
        qe_grow(&postponed->items, postponed->count, &postponed->capacity, POSTPONED_MAX,
                sizeof *postponed->items) != 0) {
        return qe_err_set(err, QE_ERR_LIMIT, "%zu messages wait here already", postponed->count);
    }
    struct qe_amqp_postponed_one *one = &postponed->items[postponed->count];

    *one = (struct qe_amqp_postponed_one){
        .due_mono_ms = now + (delay_ms < POSTPONED_MAX_MS ? delay_ms : POSTPONED_MAX_MS),
        .end_mono_ms = now + delay_ms,
    };
    if (qe_message_copy(&one->message, message, err) != 0) {
        return -1;
    }
    postponed->count++;
    postponed->bytes += message->body_bytes;
    return 0;
}

bool qe_amqp_postponed_has(const struct qe_amqp_postponed *postponed, const char *receipt)
{
    for (size_t i = 0; i < postponed->count; i++) {
        if (strcmp(postponed->items[i].message.receipt, receipt) == 0) {
            return true;
        }
    }
    return false;
}

int64_t qe_amqp_postponed_next_mono_ms(const struct qe_amqp_postponed *postponed)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < postponed->count; i++) {
        next = postponed->items[i].due_mono_ms < next ? postponed->items[i].due_mono_ms : next;
    }
    return next;
}

bool qe_amqp_postponed_take(struct qe_amqp_postponed *postponed, int64_t now_mono_ms,
                            struct qe_message *out, int64_t *out_left_ms)
{
    for (size_t i = 0; i < postponed->count; i++) {
        const struct qe_amqp_postponed_one one = postponed->items[i];

        if (one.due_mono_ms <= now_mono_ms) {
            *out = one.message;
            *out_left_ms = one.end_mono_ms > now_mono_ms ? one.end_mono_ms - now_mono_ms : 0;
            postponed->bytes -= one.message.body_bytes;
            postponed->items[i] = postponed->items[--postponed->count];
            return true;
        }
    }
    return false;
}
