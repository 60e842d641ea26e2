/* Many threads on one provider while it renews: one request at a time, and nobody waits who has
 * credentials that hold. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "aws/credentials.h"
#include "support/check.h"
#include "util/clock.h"
#include "util/text.h"

#define THREADS 8
#define FETCHES_WANTED 20
#define LIFE_MS 3000
#define DEADLINE_MS 30000

static atomic_int s_in_flight;
static atomic_int s_most_in_flight;
static atomic_uint s_fetches;
static atomic_bool s_failing;

static const char *world_get(void *self, const char *name)
{
    (void)self;
    return strcmp(name, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") == 0 ? "/x" : NULL;
}

static int world_read_file(void *self, const char *path, size_t max_bytes, struct qe_strbuf *out,
                           struct qe_err *err)
{
    (void)self;
    (void)max_bytes;
    (void)out;
    return qe_err_set(err, QE_ERR_NOT_FOUND, "cannot open %s", path);
}

static int world_fetch(void *self, const struct qe_http_request *request, const char *ca_file,
                       struct qe_http_reply *out_reply, struct qe_err *err)
{
    const int now = atomic_fetch_add(&s_in_flight, 1) + 1;
    const unsigned number = atomic_fetch_add(&s_fetches, 1);
    int rc = 0;

    (void)self;
    (void)request;
    (void)ca_file;
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* time for others to come too */
    if (now > atomic_load(&s_most_in_flight)) {
        atomic_store(&s_most_in_flight, now);
    }
    if (atomic_load(&s_failing)) {
        rc = qe_err_set(err, QE_ERR_NETWORK, "nobody answers");
    } else {
        char at[32];

        out_reply->status = 200;
        rc = qe_strbuf_printf(&out_reply->body,
                              "{\"AccessKeyId\":\"A%u\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","
                              "\"Expiration\":\"%s\"}",
                              number, qe_text_from_unix_ms(qe_clock_unix_ms() + LIFE_MS, at));
    }
    (void)atomic_fetch_sub(&s_in_flight, 1);
    return rc;
}

static int64_t world_unix_ms(void *self)
{
    (void)self;
    return qe_clock_unix_ms();
}

static int64_t world_mono_ms(void *self)
{
    (void)self;
    return qe_clock_mono_ms();
}

static void world_pause(void *self, int64_t until_mono_ms)
{
    (void)self; /* tries follow each other at once */
    (void)until_mono_ms;
}

static const struct qe_aws_world s_world = {
    .get = world_get,
    .read_file = world_read_file,
    .fetch = world_fetch,
    .now_unix_ms = world_unix_ms,
    .now_mono_ms = world_mono_ms,
    .pause = world_pause,
};

struct worker {
    pthread_t thread;
    bool refuses; /* says of each set that a service refused it */
    unsigned gets;
    unsigned failures;
};

static void *hammer(void *argument)
{
    struct worker *worker = argument;
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    const int64_t deadline_ms = qe_clock_mono_ms() + DEADLINE_MS;

    do { /* once at least: a thread may begin when the others are done */
        struct qe_err err = {0};
        struct qe_aws_credentials *found = NULL;
        struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_world, &err);

        if (provider == NULL ||
            qe_aws_provider_get(provider, qe_clock_mono_ms() + DEADLINE_MS, &found, &err) != 0) {
            worker->failures++;
        } else {
            worker->gets++;
            worker->failures += found->access_key_id[0] == 'A' ? 0 : 1;
            if (worker->refuses) {
                qe_aws_provider_refused(provider, found);
            }
            (void)qe_aws_provider_expires_unix_ms(provider);
            (void)qe_aws_provider_refresh_failures(provider);
        }
        qe_aws_credentials_release(found);
        qe_aws_provider_release(provider);
    } while (atomic_load(&s_fetches) < FETCHES_WANTED && qe_clock_mono_ms() < deadline_ms);
    return NULL;
}

static void run_workers(struct worker workers[THREADS])
{
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].refuses = i == 0;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, hammer, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
}

static void one_request_at_a_time_and_everybody_is_served(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    struct qe_err err = {0};
    struct worker workers[THREADS] = {0};
    /* Held, so that it is one provider all the time. */
    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_world, &err);

    assert_non_null(provider);
    run_workers(workers);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].failures, 0);
        assert_true(workers[i].gets > 0);
    }
    assert_true(atomic_load(&s_fetches) >= FETCHES_WANTED);
    assert_int_equal(atomic_load(&s_most_in_flight), 1);
    qe_aws_provider_release(provider);
}

static void providers_come_and_go_on_many_threads(void **state)
{
    (void)state;
    struct worker workers[THREADS] = {0};

    atomic_store(&s_fetches, 0);
    run_workers(workers); /* nobody holds it: the last of a moment takes it with it */
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].failures, 0);
    }
}

static void a_failure_reaches_everybody_who_waits(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    struct qe_err err = {0};
    struct worker workers[THREADS] = {0};
    struct qe_aws_provider *provider = qe_aws_provider_acquire(&identity, &s_world, &err);

    assert_non_null(provider);
    atomic_store(&s_failing, true);
    atomic_store(&s_fetches, FETCHES_WANTED - 6); /* two searches of three tries */
    run_workers(workers);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].gets, 0);
        assert_true(workers[i].failures > 0);
    }
    atomic_store(&s_failing, false);
    qe_aws_provider_release(provider);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_at_a_time_and_everybody_is_served),
        cmocka_unit_test(providers_come_and_go_on_many_threads),
        cmocka_unit_test(a_failure_reaches_everybody_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
