/* What a coprocess or an HTTP handler answers: any bytes, for one message and for a batch. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "consumer/exchange.h"
#include "util/text.h"

#define MESSAGES 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct qe_handled *handled)
{
    if ((unsigned)handled->outcome >= QE_OUTCOME_COUNT ||
        (unsigned)handled->reason >= QE_FAIL_COUNT || handled->retry_delay_ms < -1 ||
        handled->retry_delay_ms > 43200000 || handled->reply.length_bytes > 100 ||
        (handled->outcome != QE_OUTCOME_SUCCESS && handled->reply.length_bytes > 0) ||
        !qe_text_is_utf8(handled->detail, strlen(handled->detail))) {
        abort();
    }
    for (const char *c = handled->detail; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20) {
            abort();
        }
    }
}

static void try_one(const char *text, size_t bytes, bool in_batches)
{
    static const char *const words[] = {"bad_address", "downstream"};
    static char nowhere[] = "";
    static char replies[] = "replies";
    static const struct qe_message told = {.reply_to = nowhere};
    static const struct qe_message asks = {.reply_to = replies};
    const struct qe_message *const messages[MESSAGES] = {&asks, &told, &asks};
    const struct qe_handler_common common = {.origin = {"local", "", "orders"},
                                             .reasons = {words, 2},
                                             .reply_max_bytes = 100,
                                             .in_batches = in_batches};
    const struct qe_exchange exchange = {
        .common = &common, .messages = messages, .count = in_batches ? MESSAGES : 1, .first_id = 7};
    struct qe_handled handled[MESSAGES];
    struct qe_err err = {0};

    for (size_t i = 0; i < MESSAGES; i++) {
        handled[i] = (struct qe_handled){.outcome = QE_OUTCOME_RETRY, .retry_delay_ms = -1};
    }
    if (qe_exchange_answer(&exchange, text, bytes, handled, &err) != 0 && err.message[0] == '\0') {
        abort();
    }
    for (size_t i = 0; i < MESSAGES; i++) {
        check(&handled[i]);
        qe_strbuf_deinit(&handled[i].reply);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        try_one((const char *)data + 1, size - 1, (data[0] & 1) != 0);
    }
    return 0;
}
