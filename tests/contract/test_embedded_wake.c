/* How soon a long poll sees a send: from a thread of this process, from another process, and what
 * an idle poll costs. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "contract/embedded_fixture.h"
#include "support/check.h"
#include "util/clock.h"

#define ROUNDS 20
#define IN_PROCESS_MS 50
#define CROSS_PROCESS_MS 250

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&pause, NULL);
}

static struct qe_queue work_queue(void)
{
    struct qe_queue queue = {0};
    struct qe_err err = {0};

    assert_ok(qe_queue_init(&queue, NULL, "work", QE_KIND_EMBEDDED, &err), err);
    return queue;
}

/* The body is the moment of sending, on the clock that all processes share. */
static int send_now(void *handle, const struct qe_queue *queue)
{
    const int64_t now_mono_us = qe_clock_mono_us();
    struct qe_outgoing message = {
        .body = (const char *)&now_mono_us, .body_bytes = sizeof(now_mono_us), .delay_ms = -1};
    struct qe_err err = {0};

    return qe_driver_embedded.send(handle, queue, &message, 1, qe_clock_mono_ms() + 5000, &err);
}

struct sender {
    const struct embedded_fixture *store;
    atomic_bool failed;
};

static int send_rounds(const struct embedded_fixture *store)
{
    const struct qe_deps deps = {.source = "local"};
    struct qe_queue queue = {0};
    struct qe_err err = {0};
    void *handle = NULL;
    int rc = 0;

    if (qe_queue_init(&queue, NULL, "work", QE_KIND_EMBEDDED, &err) != 0 ||
        qe_driver_embedded.create(&store->settings, &deps, &handle, &err) != 0) {
        qe_queue_deinit(&queue);
        return -1;
    }
    for (int i = 0; rc == 0 && i < ROUNDS; i++) {
        pause_ms(30 + 7 * (i % 10)); /* not in step with the receiver's own ticks */
        rc = send_now(handle, &queue);
    }
    qe_driver_embedded.destroy(handle);
    qe_queue_deinit(&queue);
    return rc;
}

static void *send_thread(void *context)
{
    struct sender *sender = context;

    atomic_store(&sender->failed, send_rounds(sender->store) != 0);
    return NULL;
}

/* How late the machine lets a thread go on that has slept, at worst: so late may each of the
 * threads be that a message passes, and the disk behind them. */
struct lateness {
    atomic_bool ends;
    atomic_int_least64_t worst_us;
};
#define HOPS 4

static void *watch_lateness(void *context)
{
    struct lateness *lateness = context;

    while (!atomic_load(&lateness->ends)) {
        const int64_t began_us = qe_clock_mono_us();

        pause_ms(1);
        const int64_t late_us = qe_clock_mono_us() - began_us - 1000;
        if (late_us > atomic_load(&lateness->worst_us)) {
            atomic_store(&lateness->worst_us, late_us);
        }
    }
    return NULL;
}

/* Receives ROUNDS messages; returns the longest time between a send's begin and its arrival. */
static double longest_wait_ms(void *handle, const struct qe_queue *queue)
{
    const int64_t deadline = qe_clock_mono_ms() + 20000;
    int64_t longest_us = 0;
    int64_t total_us = 0;
    size_t count = 0;

    while (count < ROUNDS && qe_clock_mono_ms() < deadline) {
        struct qe_message_list list = {0};
        struct qe_err err = {0};

        assert_ok(qe_driver_embedded.receive(handle, queue, 10, deadline, &list, &err), err);
        const int64_t now_mono_us = qe_clock_mono_us();
        for (size_t i = 0; i < list.count; i++) {
            int64_t sent_mono_us = 0;

            assert_int_equal(list.items[i].body_bytes, sizeof(sent_mono_us));
            memcpy(&sent_mono_us, list.items[i].body, sizeof(sent_mono_us));
            const int64_t waited_us = now_mono_us - sent_mono_us;
            longest_us = waited_us > longest_us ? waited_us : longest_us;
            total_us += waited_us;
            count++;
        }
        qe_message_list_deinit(&list);
    }
    assert_int_equal(count, ROUNDS);
    print_message("wake-up: mean %.1f ms, longest %.1f ms\n", (double)total_us / ROUNDS / 1e3,
                  (double)longest_us / 1e3);
    return (double)longest_us / 1e3;
}

/* The same, without what a busy machine adds: on an idle one next to nothing. */
static double longest_own_wait_ms(void *handle, const struct qe_queue *queue)
{
    struct lateness lateness = {0};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, watch_lateness, &lateness), 0);
    const double longest_ms = longest_wait_ms(handle, queue);
    atomic_store(&lateness.ends, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    const double late_ms = (double)atomic_load(&lateness.worst_us) / 1e3;
    print_message("the machine was up to %.1f ms late\n", late_ms);
    return longest_ms - HOPS * late_ms;
}

static double measure_in_process(bool in_memory)
{
    struct embedded_fixture store;
    struct sender sender = {.store = &store};
    pthread_t thread;

    assert_int_equal(embedded_fixture_init(&store, in_memory), 0);
    void *handle = embedded_fixture_open(&store);
    struct qe_queue queue = work_queue();
    assert_int_equal(pthread_create(&thread, NULL, send_thread, &sender), 0);
    const double longest_ms = longest_own_wait_ms(handle, &queue);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(atomic_load(&sender.failed));
    qe_driver_embedded.destroy(handle);
    qe_queue_deinit(&queue);
    embedded_fixture_deinit(&store);
    return longest_ms;
}

/* A disk that others write to adds its own, which nothing here sees: the best of three. */
static void in_process(bool in_memory)
{
    double longest_ms = measure_in_process(in_memory);

    for (int more = 0; more < 2 && longest_ms >= IN_PROCESS_MS; more++) {
        longest_ms = measure_in_process(in_memory);
    }
    assert_true(longest_ms < IN_PROCESS_MS);
}

static void a_send_in_this_process_wakes_within_50_ms(void **state)
{
    (void)state;
    in_process(false);
}

static void a_send_in_memory_wakes_within_50_ms(void **state)
{
    (void)state;
    in_process(true);
}

static void a_send_in_another_process_wakes_within_250_ms(void **state)
{
    struct embedded_fixture store;

    (void)state;
    assert_int_equal(embedded_fixture_init(&store, false), 0);
    qe_driver_embedded.destroy(embedded_fixture_open(&store)); /* the file is there */
    const pid_t child = fork();                                /* before this process opens it */
    assert_true(child >= 0);
    if (child == 0) {
        _exit(send_rounds(&store) == 0 ? 0 : 1);
    }
    void *handle = embedded_fixture_open(&store);
    struct qe_queue queue = work_queue();
    const double longest_ms = longest_own_wait_ms(handle, &queue);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    qe_driver_embedded.destroy(handle);
    qe_queue_deinit(&queue);
    embedded_fixture_deinit(&store);
    assert_true(longest_ms < CROSS_PROCESS_MS);
}

static int64_t cpu_us(void)
{
    struct timespec used;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static void an_idle_poll_costs_nearly_no_cpu(void **state)
{
    struct embedded_fixture store;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    (void)state;
    assert_int_equal(embedded_fixture_init(&store, false), 0);
    void *handle = embedded_fixture_open(&store);
    struct qe_queue queue = work_queue();
    const int64_t before_us = cpu_us();
    assert_ok(qe_driver_embedded.receive(handle, &queue, 1, qe_clock_mono_ms() + 2000, &list, &err),
              err);
    const double share = (double)(cpu_us() - before_us) / 2e6;
    print_message("an idle poll uses %.3f %% of a core\n", share * 100);
    assert_true(share < 0.02);
    qe_message_list_deinit(&list);
    qe_driver_embedded.destroy(handle);
    qe_queue_deinit(&queue);
    embedded_fixture_deinit(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_send_in_another_process_wakes_within_250_ms), /* forks: no thread yet */
        cmocka_unit_test(a_send_in_this_process_wakes_within_50_ms),
        cmocka_unit_test(a_send_in_memory_wakes_within_50_ms),
        cmocka_unit_test(an_idle_poll_costs_nearly_no_cpu),
    };

    return cmocka_run_group_tests_name("embedded store, wake-up", tests, NULL, NULL);
}
