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

/* Plays the main thread: makes the request from another thread and waits for its wake-up. */
static void wait_for_request(struct request *request, pthread_t *thread)
{
    sigset_t set;
    int signal_number = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    assert_int_equal(pthread_create(thread, NULL, ask, request), 0);
    assert_int_equal(sigwait(&set, &signal_number), 0);
}

static struct qe_reload *new_reload(void)
{
    struct qe_err err = {0};
    struct qe_reload *reload = qe_reload_new(&err);

    assert_ok(reload == NULL ? -1 : 0, err);
    return reload;
}

static void finish(struct request *request, pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
    qe_reload_destroy(request->reload);
}

static struct request answered(int rc, const char *reason)
{
    struct request request = {.rc = 99, .reload = new_reload()};
    pthread_t thread;

    wait_for_request(&request, &thread);
    qe_reload_begin(request.reload);
    qe_reload_end(request.reload, rc, reason);
    finish(&request, thread);
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
    struct request request = {.rc = 99, .reload = new_reload()};
    pthread_t thread;

    (void)state;
    qe_reload_begin(request.reload); /* may have read the file already */
    wait_for_request(&request, &thread);
    qe_reload_end(request.reload, -1, "the older one\n");
    qe_reload_begin(request.reload);
    qe_reload_end(request.reload, 0, "");
    finish(&request, thread);
    assert_int_equal(request.rc, 0);
    qe_strbuf_deinit(&request.reason);
}

static void closing_answers_who_still_waits(void **state)
{
    struct request request = {.rc = 99, .reload = new_reload()};
    pthread_t thread;

    (void)state;
    wait_for_request(&request, &thread);
    qe_reload_close(request.reload);
    finish(&request, thread);
    assert_int_equal(request.rc, -1);
    assert_string_equal(qe_strbuf_text(&request.reason), "queue_exporter is stopping\n");
    qe_strbuf_deinit(&request.reason);
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
