#include "app/limits.h"

#include <inttypes.h>
#include <stdio.h>

#include "util/descriptors.h"
#include "util/log.h"

/* The log, the listeners and who asks there. */
#define BASE_DESCRIPTORS 64
/* A source's or a consumer's own: a database with its log, or connections. */
#define EACH_DESCRIPTORS 8
/* Both ends of three pipes while a program is started, and its pidfd. */
#define RUN_DESCRIPTORS 7
/* A connection, and what wakes its client and its resolver. */
#define POST_DESCRIPTORS 5

uint64_t qe_limits_descriptors(const struct qe_config *config)
{
    uint64_t needed = BASE_DESCRIPTORS + EACH_DESCRIPTORS * config->sources_count;

    for (size_t i = 0; i < config->consumers_count; i++) {
        const struct qe_consumer_settings *consumer = &config->consumers[i];
        uint64_t each = 0;

        if (consumer->handler.type == QE_HANDLER_EXEC ||
            consumer->handler.type == QE_HANDLER_COPROCESS) {
            each = RUN_DESCRIPTORS;
        } else if (consumer->handler.type == QE_HANDLER_HTTP) {
            each = POST_DESCRIPTORS;
        }
        needed += EACH_DESCRIPTORS + each * consumer->workers;
    }
    return needed;
}

void qe_limits_check(const struct qe_config *config)
{
    const uint64_t needed = qe_limits_descriptors(config);
    const uint64_t most = qe_descriptors_max();
    char needed_text[24];
    char most_text[24];

    if (needed <= most) {
        return;
    }
    (void)snprintf(needed_text, sizeof needed_text, "%" PRIu64, needed);
    (void)snprintf(most_text, sizeof most_text, "%" PRIu64, most);
    qe_log(QE_LOG_WARN,
           "all workers at once may need more file descriptors than this process may have; what "
           "finds none is given back and tried again: raise the limit (LimitNOFILE), or have fewer "
           "workers",
           "needed", needed_text, "limit", most_text, NULL);
}
