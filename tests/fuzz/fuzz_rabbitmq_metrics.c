/* Any bytes as a node's metrics: no crash, what is told lies within the text and is a number that a
 * queue can have, and a failure says why. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/rabbitmq/family.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static int take(void *context, const struct qe_rmq_named *queue, enum qe_rmq_value value,
                double number, struct qe_err *err)
{
    size_t *sum = context;

    (void)err;
    require((unsigned)value < QE_RMQ_VALUE_COUNT, "a value is one of those known");
    require(isfinite(number) && number >= 0, "what is told is a number, and not below 0");
    for (size_t i = 0; i < queue->vhost_bytes; i++) { /* for the sanitizer: it is all there */
        *sum += (unsigned char)queue->vhost[i];
    }
    for (size_t i = 0; i < queue->name_bytes; i++) {
        *sum += (unsigned char)queue->name[i];
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t sum = 0;
    struct qe_rmq_families families = {.value = take, .context = &sum};
    struct qe_err err = {0};

    if (qe_rmq_families_read(&families, (const char *)data, size, &err) != 0) {
        require(err.code == QE_ERR_PROTOCOL, "a failure is the text's");
        require(strstr(err.message, "line ") != NULL, "a failure says where");
    }
    require(memchr(families.node, '\0', sizeof families.node) != NULL, "names have an end");
    return 0;
}
