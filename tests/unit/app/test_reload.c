#include <pthread.h>
#include <signal.h>

#include "app/reload.h"
#include "support/check.h"

struct request {
    struct qe_reload *reload;
    struct qe_strbuf reason;
    int rc;
};

static void *ask(void *context)
{
    struct request *request = context;

    request->rc = qe_reload_request(request->reload, &request->reason);
    return NULL;
}

static void block_hangup(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, set, NULL), 0);
}

/* Plays the main thread: waits for the wake-up, then reloads with the given outcome. */
static struct request answered(int rc, const char *reason)
{
    struct qe_err err = {0};
    sigset_t set;
    int signal_number = 0;
    pthread_t thread;
    struct request request = {.rc = 99};

    block_hangup(&set);
    request.reload = qe_reload_new(&err);
    assert_non_null(request.reload);
    assert_int_equal(pthread_create(&thread, NULL, ask, &request), 0);
    assert_int_equal(sigwait(&set, &signal_number), 0);
    qe_reload_begin(request.reload);
    qe_reload_end(request.reload, rc, reason);
    assert_int_equal(pthread_join(thread, NULL), 0);
    qe_reload_destroy(request.reload);
    return request;
}

static void a_request_wakes_the_main_thread_and_gets_the_outcome(void **state)
{
    (void)state;
    struct request good = answered(0, "");
    assert_int_equal(good.rc, 0);
    assert_string_equal(qe_strbuf_text(&good.reason), "");
    qe_strbuf_deinit(&good.reason);

    struct request bad = answered(-1, "a.yml:1:1: wrong\n");
    assert_int_equal(bad.rc, -1);
    assert_string_equal(qe_strbuf_text(&bad.reason), "a.yml:1:1: wrong\n");
    qe_strbuf_deinit(&bad.reason);
}

static void a_reload_that_began_before_the_request_does_not_count(void **state)
{
    struct qe_err err = {0};
    sigset_t set;
    int signal_number = 0;
    pthread_t thread;
    struct request request = {.rc = 99};

    (void)state;
    block_hangup(&set);
    request.reload = qe_reload_new(&err);
    assert_non_null(request.reload);
    qe_reload_begin(request.reload); /* may have read the file already */
    assert_int_equal(pthread_create(&thread, NULL, ask, &request), 0);
    assert_int_equal(sigwait(&set, &signal_number), 0);
    qe_reload_end(request.reload, -1, "the older one\n");
    qe_reload_begin(request.reload);
    qe_reload_end(request.reload, 0, "");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(request.rc, 0);
    qe_reload_destroy(request.reload);
    qe_strbuf_deinit(&request.reason);
}

static void closing_answers_who_still_waits(void **state)
{
    struct qe_err err = {0};
    sigset_t set;
    int signal_number = 0;
    pthread_t thread;
    struct request request = {.rc = 99};

    (void)state;
    block_hangup(&set);
    request.reload = qe_reload_new(&err);
    assert_non_null(request.reload);
    assert_int_equal(pthread_create(&thread, NULL, ask, &request), 0);
    assert_int_equal(sigwait(&set, &signal_number), 0);
    qe_reload_close(request.reload);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(request.rc, -1);
    assert_string_equal(qe_strbuf_text(&request.reason), "queue_exporter is stopping\n");
    qe_strbuf_deinit(&request.reason);
    qe_reload_destroy(request.reload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_wakes_the_main_thread_and_gets_the_outcome),
        cmocka_unit_test(a_reload_that_began_before_the_request_does_not_count),
        cmocka_unit_test(closing_answers_who_still_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
