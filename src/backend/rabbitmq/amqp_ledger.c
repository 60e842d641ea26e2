#include "backend/rabbitmq/amqp_ledger.h"

#include <string.h>

#include "util/mem.h"

#define ENTRIES_MAX 1000000

void qe_amqp_ledger_deinit(struct qe_amqp_ledger *ledger)
{
    qe_free(ledger->entries);
    *ledger = (struct qe_amqp_ledger){0};
}

int qe_amqp_ledger_add(struct qe_amqp_ledger *ledger, uint64_t tag, uint32_t round,
                       struct qe_err *err)
{
    if (qe_grow(&ledger->entries, ledger->count, &ledger->capacity, ENTRIES_MAX,
                sizeof(struct qe_amqp_entry)) != 0) {
        ledger->has_gap = true;
        return qe_err_set(err, QE_ERR_NOMEM, "%zu deliveries in hand", ledger->count);
    }
    ledger->entries[ledger->count++] = (struct qe_amqp_entry){.tag = tag, .round = round};
    return 0;
}

void qe_amqp_ledger_clear(struct qe_amqp_ledger *ledger)
{
    ledger->count = 0;
    ledger->has_gap = false;
}

/* Index, or count. */
static size_t find(const struct qe_amqp_ledger *ledger, uint64_t tag)
{
    size_t first = 0;
    size_t end = ledger->count;

    while (first < end) {
        const size_t middle = first + (end - first) / 2;

        if (ledger->entries[middle].tag < tag) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first < ledger->count && ledger->entries[first].tag == tag ? first : ledger->count;
}

static void remove_range(struct qe_amqp_ledger *ledger, size_t first, size_t count)
{
    memmove(ledger->entries + first, ledger->entries + first + count,
            (ledger->count - first - count) * sizeof *ledger->entries);
    ledger->count -= count;
}

bool qe_amqp_ledger_has(const struct qe_amqp_ledger *ledger, uint64_t tag)
{
    const size_t at = find(ledger, tag);

    return at < ledger->count && !ledger->entries[at].is_settled;
}

bool qe_amqp_ledger_mark(struct qe_amqp_ledger *ledger, uint64_t tag)
{
    const size_t at = find(ledger, tag);

    if (at == ledger->count || ledger->entries[at].is_settled) {
        return false;
    }
    ledger->entries[at].is_settled = true;
    return true;
}

size_t qe_amqp_ledger_count_round(const struct qe_amqp_ledger *ledger, uint32_t round)
{
    size_t count = 0;

    /* The newest round's are the last ones. */
    for (size_t i = ledger->count; i > 0; i--) {
        count += ledger->entries[i - 1].round == round ? 1 : 0;
    }
    return count;
}

void qe_amqp_ledger_postpone(struct qe_amqp_ledger *ledger, uint64_t tag)
{
    const size_t at = find(ledger, tag);

    if (at < ledger->count) {
        ledger->entries[at].is_postponed = true;
    }
}

size_t qe_amqp_ledger_count_postponed(const struct qe_amqp_ledger *ledger, uint32_t round,
                                      size_t *out_of_round)
{
    size_t count = 0;

    *out_of_round = 0;
    for (size_t i = 0; i < ledger->count; i++) {
        count += ledger->entries[i].is_postponed ? 1 : 0;
        *out_of_round += ledger->entries[i].is_postponed && ledger->entries[i].round == round;
    }
    return count;
}

bool qe_amqp_ledger_take_ack(struct qe_amqp_ledger *ledger, uint64_t *out_tag, bool *out_multiple)
{
    size_t first = 0;
    size_t count = 0;

    for (; !ledger->has_gap && count < ledger->count && ledger->entries[count].is_settled;
         count++) {
    }
    if (count == 0) {
        for (; first < ledger->count && !ledger->entries[first].is_settled; first++) {
        }
        if (first == ledger->count) {
            return false;
        }
        count = 1;
    }
    *out_tag = ledger->entries[first + count - 1].tag;
    *out_multiple = count > 1;
    remove_range(ledger, first, count);
    return true;
}

void qe_amqp_ledger_remove(struct qe_amqp_ledger *ledger, uint64_t tag)
{
    const size_t at = find(ledger, tag);

    if (at < ledger->count) {
        remove_range(ledger, at, 1);
    }
}
