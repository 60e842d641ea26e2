/* A name server that does not answer: getaddrinfo() knows no deadline, and curl runs it on a thread
 * of its own. This program's getaddrinfo() takes the place of the C library's. */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "net/http_client.h"
#include "support/check.h"
#include "util/clock.h"
#include "util/strbuf.h"

static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t s_released = PTHREAD_COND_INITIALIZER;
static bool s_is_released;
static atomic_int s_asked;
static atomic_int s_answered;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name,cert-dcl37-c) */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)name;
    (void)service;
    (void)hints;
    (void)out;
    s_asked++;
    (void)pthread_mutex_lock(&s_lock);
    while (!s_is_released) {
        (void)pthread_cond_wait(&s_released, &s_lock);
    }
    (void)pthread_mutex_unlock(&s_lock);
    s_answered++;
    return EAI_AGAIN;
}

static struct qe_http_client *new_client(void)
{
    struct qe_err err = {0};
    struct qe_http_client *client = qe_http_client_new(NULL, &err);

    assert_ok(client == NULL ? -1 : 0, err);
    return client;
}

static const struct qe_http_request s_lost = {
    .method = "GET", .url = "http://sqs.example.test/", .no_proxy = true};

static void a_name_server_that_hangs_holds_up_nothing(void **state)
{
    struct qe_http_client *client = new_client();
    struct qe_http_request request = s_lost;
    struct qe_http_reply reply = {0};
    struct qe_err err = {0};
    const int64_t started_mono_ms = qe_clock_mono_ms();

    (void)state;
    request.deadline_mono_ms = started_mono_ms + 100;
    assert_int_equal(qe_http_fetch(client, &request, &reply, &err), -1);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    assert_non_null(strstr(err.message, "sqs.example.test:80: not connected within"));
    /* Aborted and destroyed while it is being resolved. */
    request.deadline_mono_ms = qe_clock_mono_ms() + 60000;
    assert_ok(qe_http_start(client, &request, &err), err);
    assert_int_equal(qe_http_wait(client, qe_clock_mono_ms() + 20, true, &reply), QE_HTTP_TIME);
    qe_http_abort(client);
    assert_ok(qe_http_start(client, &request, &err), err);
    assert_int_equal(qe_http_wait(client, qe_clock_mono_ms() + 20, true, &reply), QE_HTTP_TIME);
    qe_http_reply_deinit(&reply);
    qe_http_client_destroy(client);
    assert_true(qe_clock_mono_ms() - started_mono_ms < 5000);
    assert_int_equal(s_answered, 0);
}

static void a_name_that_does_not_resolve_is_a_network_error(void **state)
{
    struct qe_http_client *client = new_client();
    struct qe_http_request request = s_lost;
    struct qe_http_reply reply = {0};
    struct qe_err err = {0};

    (void)state;
    (void)pthread_mutex_lock(&s_lock);
    s_is_released = true;
    (void)pthread_cond_broadcast(&s_released);
    (void)pthread_mutex_unlock(&s_lock);
    request.deadline_mono_ms = qe_clock_mono_ms() + 20000;
    assert_int_equal(qe_http_fetch(client, &request, &reply, &err), -1);
    assert_int_equal(err.code, QE_ERR_NETWORK);
    qe_http_reply_deinit(&reply);
    qe_http_client_destroy(client);
    /* The threads that were left behind end by themselves. */
    while (s_answered < s_asked) {
        (void)sched_yield();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_server_that_hangs_holds_up_nothing),
        cmocka_unit_test(a_name_that_does_not_resolve_is_a_network_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
