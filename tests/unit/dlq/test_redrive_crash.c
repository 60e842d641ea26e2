/* kill -9 in a loop: a process redrives until it is killed at a random moment, the next one goes
 * on. In the end every message that was in the dead-letter queue is in its source queue, once or
 * (when a kill came between sending and deleting) twice, and none is lost. */
#define _DEFAULT_SOURCE /* mkdtemp */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/embedded/embedded.h"
#include "dlq/redrive.h"
#include "support/check.h"
#include "util/clock.h"
#include "util/mem.h"

#define MESSAGES 8000
#define KILLS 60
#define VISIBILITY_MS 20 /* what a killed one held comes back soon */

struct shop {
    char directory[40];
    char path[64];
    struct qe_embedded_queue_settings queues[2];
    struct qe_embedded_settings settings;
    struct qe_queue orders;
    struct qe_queue dlq;
};

static char s_orders[] = "orders";
static char s_dlq[] = "orders-dlq";

static void shop_init(struct shop *shop)
{
    struct qe_err err = {0};

    *shop = (struct shop){.directory = "/tmp/qe-redrive-XXXXXX"};
    assert_non_null(mkdtemp(shop->directory));
    (void)snprintf(shop->path, sizeof shop->path, "%s/q.db", shop->directory);
    shop->queues[0] = (struct qe_embedded_queue_settings){
        .name = s_orders, .visibility_timeout_ms = 30000, .retention_ms = 345600000};
    shop->queues[0].dead_letter.queue = s_dlq;
    shop->queues[0].dead_letter.max_receives = 3;
    shop->queues[1] = (struct qe_embedded_queue_settings){
        .name = s_dlq, .visibility_timeout_ms = VISIBILITY_MS, .retention_ms = 345600000};
    shop->settings = (struct qe_embedded_settings){.path = shop->path,
                                                   .queues = {.items = shop->queues, .count = 2}};
    assert_ok(qe_queue_init(&shop->orders, NULL, s_orders, QE_KIND_EMBEDDED, &err), err);
    assert_ok(qe_queue_init(&shop->dlq, NULL, s_dlq, QE_KIND_EMBEDDED, &err), err);
}

static void shop_deinit(struct shop *shop)
{
    static const char *const endings[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < 3; i++) {
        char path[80];

        (void)snprintf(path, sizeof path, "%s%s", shop->path, endings[i]);
        (void)unlink(path);
    }
    (void)rmdir(shop->directory);
    qe_queue_deinit(&shop->orders);
    qe_queue_deinit(&shop->dlq);
}

static void *shop_open(const struct shop *shop)
{
    const struct qe_deps deps = {.source = "crash"};
    struct qe_err err = {0};
    void *handle = NULL;

    assert_ok(qe_driver_embedded.create(&shop->settings, &deps, &handle, &err), err);
    return handle;
}

static void fill(const struct shop *shop)
{
    struct qe_outgoing *messages = qe_calloc(MESSAGES, sizeof *messages);
    uint32_t *numbers = qe_calloc(MESSAGES, sizeof *numbers);
    void *handle = shop_open(shop);
    struct qe_err err = {0};

    if (messages == NULL || numbers == NULL) {
        fail_msg("out of memory");
        abort(); /* for the analyzer, which does not know that the line above is final */
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        numbers[i] = i;
        messages[i] = (struct qe_outgoing){
            .body = (const char *)&numbers[i], .body_bytes = sizeof numbers[i], .delay_ms = -1};
    }
    assert_ok(qe_driver_embedded.send(handle, &shop->dlq, messages, MESSAGES,
                                      qe_clock_mono_ms() + 60000, &err),
              err);
    qe_driver_embedded.destroy(handle);
    qe_free(messages);
    qe_free(numbers);
}

static bool go_on(void *context, int64_t until_mono_ms)
{
    (void)context;
    (void)until_mono_ms;
    return true;
}

/* The child: 0 when the queue was found empty. */
static int redrive(const struct shop *shop)
{
    const struct qe_deps deps = {.source = "child"};
    struct qe_redrive_result result;
    struct qe_err err = {0};
    void *handle = NULL;

    if (qe_driver_embedded.create(&shop->settings, &deps, &handle, &err) != 0) {
        (void)fprintf(stderr, "child: %s\n", err.message);
        return 2;
    }
    const struct qe_redrive_options options = {.driver = &qe_driver_embedded,
                                               .handle = handle,
                                               .from = &shop->dlq,
                                               .to = &shop->orders,
                                               .call_timeout_ms = 10000,
                                               .hooks = {.pause = go_on}};

    if (qe_redrive_run(&options, &result, &err) != 0 || result.counts.stayed > 0) {
        (void)fprintf(stderr, "child: %s\n", err.message);
        return 3;
    }
    return 0; /* what it holds in memory ends with it */
}

/* Kills it after so long; 0: lets it come to its end. True when it did. */
static bool run_one(const struct shop *shop, uint64_t kill_after_us)
{
    const struct timespec pause = {.tv_nsec = (long)kill_after_us * 1000};
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        _exit(redrive(shop));
    }
    if (kill_after_us > 0) {
        (void)nanosleep(&pause, NULL);
        (void)kill(child, SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return true;
    }
    return false;
}

/* How often each number is in the queue. */
static void count_numbers(const struct shop *shop, const struct qe_queue *queue,
                          unsigned counts[MESSAGES])
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};
    void *handle = shop_open(shop);

    assert_ok(qe_driver_embedded.peek(handle, queue, (size_t)4 * MESSAGES,
                                      qe_clock_mono_ms() + 60000, &list, &err),
              err);
    for (size_t i = 0; i < list.count; i++) {
        uint32_t number = MESSAGES;

        assert_int_equal(list.items[i].body_bytes, sizeof number);
        memcpy(&number, list.items[i].body, sizeof number);
        assert_true(number < MESSAGES); /* nothing that nobody sent */
        counts[number]++;
    }
    qe_message_list_deinit(&list);
    qe_driver_embedded.destroy(handle);
}

static void killed_at_any_moment_it_loses_nothing(void **state)
{
    static unsigned s_arrived[MESSAGES];
    static unsigned s_left[MESSAGES];
    struct shop shop;
    struct qe_random random;
    unsigned doubles = 0;
    size_t left = 0;

    (void)state;
    qe_random_init(&random, 20260202);
    shop_init(&shop);
    fill(&shop);
    for (size_t i = 0; i < KILLS; i++) {
        assert_false(run_one(&shop, 2000 + qe_random_next(&random) % 25000));
    }
    count_numbers(&shop, &shop.dlq, s_left);
    for (size_t i = 0; i < MESSAGES; i++) {
        left += s_left[i];
        s_left[i] = 0;
    }
    assert_true(run_one(&shop, 0));
    count_numbers(&shop, &shop.orders, s_arrived);
    count_numbers(&shop, &shop.dlq, s_left);
    for (size_t i = 0; i < MESSAGES; i++) {
        if (s_arrived[i] == 0) {
            fail_msg("message %zu is lost", i);
        }
        assert_int_equal(s_left[i], 0);
        doubles += s_arrived[i] - 1;
    }
    print_message("%d kills, %zu of %d moved by then, %u arrived twice\n", KILLS, MESSAGES - left,
                  MESSAGES, doubles);
    assert_true(left < MESSAGES); /* else no kill came amid the work */
    /* A kill doubles one lot at most; else sending and deleting do not go together. */
    assert_true(doubles <= KILLS * 100);
    shop_deinit(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_any_moment_it_loses_nothing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
