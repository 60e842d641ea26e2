#include "model/stats.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "util/mem.h"

/* Entries live as long as the process: a cap for whoever reloads for ever with new names. */
#define CONSUMERS_MAX 10000
#define APIS_MAX 10000

struct qe_stats {
    pthread_mutex_t lock; /* guards insertion; held for a search, no allocation */
    struct qe_consumer_stats *_Atomic consumers;
    struct qe_api_stats *_Atomic apis;
    size_t consumers_count;
    size_t apis_count;
    struct qe_process_stats process;
};

static const char *const s_fail_reason_names[QE_FAIL_COUNT] = {
    "handler_error", "permanent", "timeout", "max_receives", "internal"};
static const char *const s_outcome_names[QE_OUTCOME_COUNT] = {"success", "retry", "reject"};
static const char *const s_http_handler_names[QE_HTTP_HANDLER_COUNT] = {
    "metrics", "landing", "healthy", "ready", "reload", "config", "other"};

const unsigned qe_http_codes[QE_HTTP_CODES_COUNT] = {200, 400, 401, 403, 404, 405,
                                                     411, 413, 431, 500, 503, 505};

const char *qe_fail_reason_name(enum qe_fail_reason reason)
{
    return (unsigned)reason < QE_FAIL_COUNT ? s_fail_reason_names[reason] : "unknown";
}

const char *qe_outcome_name(enum qe_outcome outcome)
{
    return (unsigned)outcome < QE_OUTCOME_COUNT ? s_outcome_names[outcome] : "unknown";
}

const char *qe_circuit_name(enum qe_circuit circuit)
{
    static const char *const names[QE_CIRCUIT_COUNT] = {"closed", "open", "half_open"};

    return (unsigned)circuit < QE_CIRCUIT_COUNT ? names[circuit] : "unknown";
}

const char *qe_http_handler_name(enum qe_http_handler handler)
{
    return (unsigned)handler < QE_HTTP_HANDLER_COUNT ? s_http_handler_names[handler] : "unknown";
}

static double seconds_between(int64_t from_unix_ms, int64_t to_unix_ms)
{
    return to_unix_ms > from_unix_ms ? (double)(to_unix_ms - from_unix_ms) / 1e3 : 0;
}

double qe_consumer_stats_observed_age(const struct qe_consumer_stats *stats, int64_t now_unix_ms,
                                      int64_t skew_ms, int64_t within_ms)
{
    /* The receive's time before what it brought: see the header. */
    int64_t received_at = atomic_load(&stats->last_receive_unix_ms);
    int64_t received = atomic_load(&stats->last_receive_oldest_sent_unix_ms);
    int64_t in_hand = atomic_load(&stats->oldest_in_hand_sent_unix_ms);
    double age = -1;

    if (!atomic_load(&stats->active)) {
        return -1;
    }
    if (in_hand > 0) {
        age = seconds_between(in_hand, now_unix_ms + skew_ms);
    }
    if (received > 0 && now_unix_ms - received_at <= within_ms) {
        double then = seconds_between(received, received_at + skew_ms);

        age = then > age ? then : age;
    }
    return age;
}

void qe_api_stats_count(struct qe_api_stats *stats, size_t operation, enum qe_err_code code,
                        double duration_seconds)
{
    if (stats == NULL || operation >= stats->operations_count) {
        return;
    }
    qe_counter_add(&stats->requests[operation], 1);
    if (code != QE_OK && code != QE_ERR_CANCELLED && (unsigned)code < QE_ERR_COUNT) {
        qe_counter_add(&stats->failures[operation][code], 1);
    }
    qe_histogram_observe(&stats->duration_seconds[operation], duration_seconds);
}

void qe_api_stats_bill(struct qe_api_stats *stats, size_t service, double units, double dollars)
{
    /* More than this at once is no price but a mistake, and nothing that fits a counter. */
    static const double most = 1e9;

    if (stats == NULL || service >= stats->services_count) {
        return;
    }
    if (units > 0 && units <= most) {
        qe_counter_add(&stats->billable_requests[service], (uint64_t)llround(units));
    }
    if (dollars > 0 && dollars <= most) {
        qe_counter_add(&stats->cost_nanodollars[service], (uint64_t)llround(dollars * 1e9));
    }
}

void qe_process_stats_count_http(struct qe_process_stats *stats, enum qe_http_handler handler,
                                 unsigned code)
{
    if ((unsigned)handler >= QE_HTTP_HANDLER_COUNT) {
        return;
    }
    for (size_t i = 0; i < QE_HTTP_CODES_COUNT; i++) {
        if (qe_http_codes[i] == code) {
            qe_counter_add(&stats->http_requests[handler][i], 1);
            return;
        }
    }
}

struct qe_stats *qe_stats_new(struct qe_err *err)
{
    struct qe_stats *stats = qe_calloc(1, sizeof *stats);

    if (stats == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for statistics");
        return NULL;
    }
    int rc = pthread_mutex_init(&stats->lock, NULL);

    if (rc != 0) {
        qe_err_set_errno(err, rc, "cannot make the lock of the statistics");
        qe_free(stats);
        return NULL;
    }
    return stats;
}

static void destroy_reason(struct qe_reason_stats *reason)
{
    if (reason != NULL) {
        qe_free(reason->name);
        qe_free(reason);
    }
}

static void destroy_consumer(struct qe_consumer_stats *consumer)
{
    struct qe_reason_stats *reason = atomic_load(&consumer->reasons);

    while (reason != NULL) {
        struct qe_reason_stats *next = atomic_load(&reason->next);

        destroy_reason(reason);
        reason = next;
    }
    qe_free(consumer->source);
    qe_free(consumer->vhost);
    qe_free(consumer->queue);
    qe_free(consumer);
}

static void destroy_api(struct qe_api_stats *api)
{
    qe_free(api->source);
    qe_free(api);
}

void qe_stats_destroy(struct qe_stats *stats)
{
    if (stats == NULL) {
        return;
    }
    for (struct qe_consumer_stats *consumer = stats->consumers; consumer != NULL;) {
        struct qe_consumer_stats *next = consumer->next;

        destroy_consumer(consumer);
        consumer = next;
    }
    for (struct qe_api_stats *api = stats->apis; api != NULL;) {
        struct qe_api_stats *next = api->next;

        destroy_api(api);
        api = next;
    }
    (void)pthread_mutex_destroy(&stats->lock);
    qe_free(stats);
}

static int compare_names(const struct qe_consumer_stats *stats, const char *source,
                         const char *vhost, const char *queue)
{
    int order = strcmp(stats->source, source);

    order = order != 0 ? order : strcmp(stats->vhost, vhost);
    return order != 0 ? order : strcmp(stats->queue, queue);
}

static int compare_consumer(const struct qe_consumer_stats *a, const struct qe_consumer_stats *b)
{
    return compare_names(a, b->source, b->vhost, b->queue);
}

static struct qe_consumer_stats *make_consumer(const char *source, const char *vhost,
                                               const char *queue)
{
    struct qe_consumer_stats *made = qe_calloc(1, sizeof *made);

    if (made == NULL) {
        return NULL;
    }
    made->source = qe_strdup(source);
    made->vhost = qe_strdup(vhost == NULL ? "" : vhost);
    made->queue = qe_strdup(queue);
    if (made->source == NULL || made->vhost == NULL || made->queue == NULL) {
        destroy_consumer(made);
        return NULL;
    }
    for (size_t i = 0; i < QE_OUTCOME_COUNT; i++) {
        qe_histogram_init(&made->handling_seconds[i], &qe_histogram_durations);
    }
    qe_histogram_init(&made->wait_seconds, &qe_histogram_waits);
    qe_histogram_init(&made->receives, &qe_histogram_receives);
    return made;
}

struct qe_consumer_stats *qe_stats_consumer(struct qe_stats *stats, const char *source,
                                            const char *vhost, const char *queue,
                                            struct qe_err *err)
{
    /* Made before the search, because the lock is held for no allocation; mostly kept. */
    struct qe_consumer_stats *made = make_consumer(source, vhost, queue);

    if (made == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for statistics of queue %s", queue);
        return NULL;
    }
    struct qe_consumer_stats *result = NULL;

    pthread_mutex_lock(&stats->lock);
    struct qe_consumer_stats *_Atomic *link = &stats->consumers;
    int order = -1;

    for (; *link != NULL && (order = compare_consumer(*link, made)) < 0; link = &(*link)->next) {
    }
    if (*link != NULL && order == 0) {
        result = *link;
    } else if (stats->consumers_count < CONSUMERS_MAX) {
        atomic_init(&made->next, *link);
        atomic_store_explicit(link, made, memory_order_release); /* complete before it is seen */
        stats->consumers_count++;
        result = made;
        made = NULL;
    }
    pthread_mutex_unlock(&stats->lock);
    if (made != NULL) {
        destroy_consumer(made);
    }
    if (result == NULL) {
        qe_err_set(err, QE_ERR_LIMIT, "more than %d consumers since the start", CONSUMERS_MAX);
    }
    return result;
}

static struct qe_api_stats *make_api(const char *source, const struct qe_api_names *names,
                                     size_t services_count)
{
    struct qe_api_stats *made = qe_calloc(1, sizeof *made);

    if (made == NULL) {
        return NULL;
    }
    made->source = qe_strdup(source);
    if (made->source == NULL) {
        destroy_api(made);
        return NULL;
    }
    made->operations = names->operations;
    made->operations_count = names->operations_count;
    made->services = names->services;
    made->services_count = services_count;
    for (size_t i = 0; i < QE_API_SERVICES_MAX; i++) {
        atomic_init(&made->interval_stretch_permille[i], QE_STRETCH_NONE_PERMILLE);
    }
    for (size_t i = 0; i < QE_API_OPERATIONS_MAX; i++) {
        qe_histogram_init(&made->duration_seconds[i], &qe_histogram_durations);
    }
    return made;
}

static size_t count_services(const char *const *services)
{
    size_t count = 0;

    for (; services != NULL && services[count] != NULL; count++) {
    }
    return count;
}

struct qe_api_stats *qe_stats_api(struct qe_stats *stats, const char *source,
                                  const struct qe_api_names *names, struct qe_err *err)
{
    size_t services_count = count_services(names->services);

    if (names->operations_count > QE_API_OPERATIONS_MAX || services_count > QE_API_SERVICES_MAX) {
        qe_err_set(err, QE_ERR_LIMIT,
                   "source %s: a driver has at most %d operations and %d services", source,
                   QE_API_OPERATIONS_MAX, QE_API_SERVICES_MAX);
        return NULL;
    }
    struct qe_api_stats *made = make_api(source, names, services_count);

    if (made == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for statistics of source %s", source);
        return NULL;
    }
    struct qe_api_stats *result = NULL;

    pthread_mutex_lock(&stats->lock);
    struct qe_api_stats *_Atomic *link = &stats->apis;

    for (; *link != NULL; link = &(*link)->next) {
        int order = strcmp((*link)->source, source);

        if (order > 0) {
            break;
        }
        /* A source that changed its type in a reload has other operations: another entry. */
        if (order == 0 && (*link)->operations == names->operations) {
            result = *link;
            break;
        }
    }
    if (result == NULL && stats->apis_count < APIS_MAX) {
        atomic_init(&made->next, *link);
        atomic_store_explicit(link, made, memory_order_release);
        stats->apis_count++;
        result = made;
        made = NULL;
    }
    pthread_mutex_unlock(&stats->lock);
    if (made != NULL) {
        destroy_api(made);
    }
    if (result == NULL) {
        qe_err_set(err, QE_ERR_LIMIT, "more than %d sources since the start", APIS_MAX);
    }
    return result;
}

struct qe_process_stats *qe_stats_process(struct qe_stats *stats)
{
    return &stats->process;
}

const struct qe_consumer_stats *qe_stats_first_consumer(const struct qe_stats *stats)
{
    return stats->consumers;
}

const struct qe_consumer_stats *qe_stats_walk(const struct qe_consumer_stats **at,
                                              const char *source, const char *vhost,
                                              const char *queue)
{
    for (; *at != NULL; *at = (*at)->next) {
        int order = compare_names(*at, source, vhost, queue);

        if (order >= 0) {
            return order == 0 && atomic_load(&(*at)->active) ? *at : NULL;
        }
    }
    return NULL;
}

uint64_t qe_consumer_stats_settled(const struct qe_consumer_stats *stats)
{
    uint64_t settled = qe_counter_get(&stats->processed);

    for (size_t i = 0; i < QE_FAIL_COUNT; i++) {
        settled += qe_counter_get(&stats->dead_lettered[i]);
    }
    return settled;
}

const struct qe_api_stats *qe_stats_first_api(const struct qe_stats *stats)
{
    return stats->apis;
}

struct qe_reason_stats *qe_consumer_stats_reason(struct qe_consumer_stats *consumer,
                                                 const char *name)
{
    struct qe_reason_stats *at = name != NULL ? atomic_load(&consumer->reasons) : NULL;

    while (at != NULL && strcmp(at->name, name) != 0) {
        at = atomic_load(&at->next);
    }
    return at;
}

static int add_reason(struct qe_consumer_stats *consumer, const char *name, struct qe_err *err)
{
    struct qe_reason_stats *_Atomic *link = &consumer->reasons;
    size_t count = 0;

    for (; atomic_load(link) != NULL; link = &atomic_load(link)->next) {
        count++;
    }
    if (count >= QE_REASONS_MAX) {
        return qe_err_set(err, QE_ERR_LIMIT, "more than %d reasons since the start",
                          QE_REASONS_MAX);
    }
    struct qe_reason_stats *reason = qe_calloc(1, sizeof *reason);

    if (reason == NULL || (reason->name = qe_strdup(name)) == NULL) {
        destroy_reason(reason);
        return qe_err_set(err, QE_ERR_NOMEM, "reason %s", name);
    }
    atomic_store(link, reason);
    return 0;
}

int qe_stats_add_reasons(struct qe_consumer_stats *consumer, const char *const *names, size_t count,
                         struct qe_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (qe_consumer_stats_reason(consumer, names[i]) == NULL &&
            add_reason(consumer, names[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}
