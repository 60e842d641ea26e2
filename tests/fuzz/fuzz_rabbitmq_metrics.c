/* Any bytes as a node's metrics: no crash, what is told is a number that a queue can have, a
 * failure says why, and it is all the same in how many pieces they come and which order was seen
 * before. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/rabbitmq/family.h"

#define QUEUES_COUNT 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

/* Some names are a queue's, some are not; for the sanitizer: they are all there. */
static size_t number_of(void *context, const struct qe_rmq_named *queue)
{
    size_t sum = 0;

    (void)context;
    for (size_t i = 0; i < queue->vhost_bytes; i++) {
        sum += (unsigned char)queue->vhost[i];
    }
    for (size_t i = 0; i < queue->name_bytes; i++) {
        sum = sum * 31 + (unsigned char)queue->name[i];
    }
    return sum % (QUEUES_COUNT + 4) < QUEUES_COUNT ? sum % (QUEUES_COUNT + 4) : SIZE_MAX;
}

struct result {
    int rc;
    struct qe_err err;
    char node[256];
    struct qe_rmq_reading readings[QUEUES_COUNT];
};

static void note(const struct qe_rmq_told *told, struct result *out)
{
    for (size_t i = 0; i < told->count; i++) {
        const struct qe_rmq_told_queue *item = &told->items[i];

        if (item->reading.known == 0) {
            continue;
        }
        require(item->queue < QUEUES_COUNT, "what is told is told of a queue");
        require(out->readings[item->queue].known == 0, "a queue is told of once");
        for (size_t value = 0; value < QE_RMQ_VALUE_COUNT; value++) {
            if (qe_rmq_has(&item->reading, (enum qe_rmq_value)value)) {
                require(isfinite(item->reading.values[value]) && item->reading.values[value] >= 0,
                        "what is told is a number, and not below 0");
                qe_rmq_set(&out->readings[item->queue], (enum qe_rmq_value)value,
                           item->reading.values[value]);
            }
        }
    }
}

/* In pieces of `step` bytes; told may know an order. */
static struct result read_all(struct qe_rmq_told *told, const char *text, size_t bytes, size_t step)
{
    struct qe_rmq_families families;
    struct result result = {0};

    qe_rmq_families_init(&families, number_of, NULL, told);
    for (size_t at = 0; at < bytes && result.rc == 0; at += step) {
        result.rc = qe_rmq_families_feed(&families, text + at,
                                         bytes - at < step ? bytes - at : step, &result.err);
    }
    result.rc = result.rc == 0 ? qe_rmq_families_end(&families, &result.err) : -1;
    if (result.rc == 0) {
        note(told, &result);
        qe_rmq_told_end(told);
    }
    require(memchr(families.node, '\0', sizeof families.node) != NULL, "names have an end");
    memcpy(result.node, families.node, sizeof result.node);
    qe_rmq_families_deinit(&families);
    return result;
}

static bool is_same(const struct result *a, const struct result *b)
{
    if (a->rc != b->rc || strcmp(a->node, b->node) != 0 ||
        strcmp(a->err.message, b->err.message) != 0) {
        return false;
    }
    for (size_t i = 0; i < QUEUES_COUNT; i++) {
        if (a->readings[i].known != b->readings[i].known ||
            memcmp(a->readings[i].values, b->readings[i].values, sizeof a->readings[i].values) !=
                0) {
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t half = size / 2; /* another order: the second half before the first */
    const char *text = (const char *)data;
    struct qe_rmq_told told = {0};
    struct qe_rmq_told other = {0};
    const struct result first = read_all(&told, text, size, size + 1);
    const size_t step = size == 0 ? 1 : data[0] % 7u + 1;
    const struct result again = read_all(&told, text, size, step);

    if (first.rc != 0) {
        require(first.err.code == QE_ERR_PROTOCOL, "a failure is the text's");
        require(strstr(first.err.message, "line ") != NULL, "a failure says where");
    }
    require(is_same(&first, &again), "a known order and small pieces change nothing");
    (void)read_all(&other, text + half, size - half, size + 1);
    const struct result strayed = read_all(&other, text, size, 64);

    require(is_same(&first, &strayed), "another order changes nothing");
    qe_rmq_told_deinit(&told);
    qe_rmq_told_deinit(&other);
    return 0;
}
