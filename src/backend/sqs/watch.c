#include "backend/sqs/watch.h"

#include <string.h>

#include "util/mem.h"

#define FIRST_PATIENCE 32
#define BURST_SECONDS 0.25 /* of the rate cap */

int qe_sqs_watch_open(struct qe_sqs *sqs, struct qe_err *err)
{
    const struct qe_sqs_settings *settings = sqs->settings;
    const size_t concurrency = (size_t)settings->concurrency;

    if (sqs->watch != NULL) {
        return 0;
    }
    struct qe_sqs_watch *watch = qe_calloc(1, sizeof *watch);

    if (watch == NULL || (watch->calls = qe_calloc(concurrency, sizeof *watch->calls)) == NULL ||
        (watch->free_calls = qe_calloc(concurrency, sizeof *watch->free_calls)) == NULL ||
        (settings->queue_names.count > 0 &&
         (watch->configured =
              qe_calloc(settings->queue_names.count, sizeof(struct qe_sqs_record *))) == NULL)) {
        qe_sqs_watch_destroy(watch);
        return qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory", sqs->source);
    }
    watch->calls_count = concurrency;
    watch->rate.per_second = settings->requests_per_second;
    watch->rate.burst = settings->requests_per_second * BURST_SECONDS;
    watch->patience = FIRST_PATIENCE;
    watch->age_interval_ms = settings->oldest_age.interval_ms;
    watch->cadence = (struct qe_cadence_rules){.adaptive = settings->cadence.adaptive,
                                               .max_interval_ms = settings->cadence.max_interval_ms,
                                               .quiet_floor = 1,
                                               .busy_floor = 1};
    sqs->watch = watch;
    return 0;
}

void qe_sqs_watch_destroy(struct qe_sqs_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    qe_sqs_tagger_destroy(watch->tagger);
    for (size_t i = 0; i < watch->calls_count; i++) {
        qe_aws_call_deinit(&watch->calls[i]);
    }
    qe_free(watch->calls);
    qe_free(watch->free_calls);
    qe_free(watch->configured);
    qe_free(watch->records);
    qe_free(watch->due);
    qe_free(watch->due_indexes);
    qe_free(watch->attribute_names);
    qe_sqs_registry_deinit(&watch->registry);
    qe_free(watch);
}

bool qe_sqs_is_own(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record)
{
    const char *account = NULL;
    const char *name = NULL;
    size_t account_bytes = 0;

    return watch->own_account_known && record->url != NULL &&
           qe_sqs_url_split(record->url, &account, &account_bytes, &name) &&
           strlen(watch->own_account) == account_bytes &&
           memcmp(watch->own_account, account, account_bytes) == 0;
}
