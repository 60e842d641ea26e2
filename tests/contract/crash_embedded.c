/* kill -9 in a loop: a writer process sends, receives and settles, and says on a pipe what it is
 * about to do and what the store has confirmed. It is killed at a random moment; then the file is
 * read and compared with what was said.
 *   a confirmed send is there, unless its settlement was begun;
 *   a confirmed settlement is gone;
 *   nothing is there that nobody sent. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "contract/embedded_fixture.h"
#include "util/clock.h"
#include "util/mem.h"

#define KILLS 220
#define MESSAGES_MAX 2000000
#define WRITER_BATCH 4
/* A killed writer's deliveries come back soon, so that the next one settles them. */
#define VISIBILITY_MS 40

enum said {
    SAID_SEND_BEGUN = 1,
    SAID_SENT,
    SAID_SETTLE_BEGUN,
    SAID_SETTLED,
    SAID_RELEASED
};

/* Smaller than PIPE_BUF: a kill never leaves half of one. */
struct report {
    uint64_t number;
    uint64_t said;
};

/* --- the writer, which is going to be killed --- */

struct writer {
    void *handle;
    struct qe_queue queue;
    int pipe;
    uint64_t next;
};

static void say(const struct writer *writer, uint64_t number, enum said said)
{
    const struct report report = {.number = number, .said = (uint64_t)said};

    if (write(writer->pipe, &report, sizeof(report)) != (ssize_t)sizeof(report)) {
        _exit(3);
    }
}

static void write_some(struct writer *writer)
{
    struct qe_outgoing messages[WRITER_BATCH] = {0};
    uint64_t numbers[WRITER_BATCH];
    struct qe_err err = {0};

    for (size_t i = 0; i < WRITER_BATCH; i++) {
        numbers[i] = writer->next++;
        messages[i] = (struct qe_outgoing){
            .body = (const char *)&numbers[i], .body_bytes = sizeof(numbers[i]), .delay_ms = -1};
        say(writer, numbers[i], SAID_SEND_BEGUN);
    }
    if (qe_driver_embedded.send(writer->handle, &writer->queue, messages, WRITER_BATCH,
                                qe_clock_mono_ms() + 5000, &err) != 0) {
        (void)fprintf(stderr, "writer: %s\n", err.message);
        _exit(4);
    }
    for (size_t i = 0; i < WRITER_BATCH; i++) {
        say(writer, numbers[i], SAID_SENT);
    }
}

static uint64_t number_of(const struct qe_message *message)
{
    uint64_t number = 0;

    if (message->body_bytes != sizeof(number)) {
        _exit(5);
    }
    memcpy(&number, message->body, sizeof(number));
    return number;
}

/* Three of four are acknowledged, the fourth is released. */
static void settle_some(struct writer *writer)
{
    struct qe_message_list list = {0};
    struct qe_settlement settlements[WRITER_BATCH] = {0};
    struct qe_err err = {0};

    if (qe_driver_embedded.receive(writer->handle, &writer->queue, WRITER_BATCH,
                                   qe_clock_mono_ms() + 5, &list, &err) != 0) {
        (void)fprintf(stderr, "writer: %s\n", err.message);
        _exit(6);
    }
    for (size_t i = 0; i < list.count; i++) {
        settlements[i].message = &list.items[i];
        settlements[i].verb = i % 4 == 3 ? QE_SETTLE_RELEASE : QE_SETTLE_ACK;
        if (settlements[i].verb == QE_SETTLE_ACK) {
            say(writer, number_of(&list.items[i]), SAID_SETTLE_BEGUN);
        }
    }
    if (qe_driver_embedded.settle(writer->handle, &writer->queue, settlements, list.count,
                                  qe_clock_mono_ms() + 5000, &err) != 0) {
        (void)fprintf(stderr, "writer: %s\n", err.message);
        _exit(7);
    }
    for (size_t i = 0; i < list.count; i++) {
        if (settlements[i].result == QE_SETTLED) {
            say(writer, number_of(&list.items[i]),
                settlements[i].verb == QE_SETTLE_ACK ? SAID_SETTLED : SAID_RELEASED);
        }
    }
    qe_message_list_deinit(&list);
}

static void write_until_killed(const struct embedded_fixture *store, uint64_t first, int pipe)
{
    struct writer writer = {.pipe = pipe, .next = first};
    const struct qe_deps deps = {.source = "crash"};
    struct qe_err err = {0};

    if (qe_queue_init(&writer.queue, NULL, "crash", QE_KIND_EMBEDDED, &err) != 0 ||
        qe_driver_embedded.create(&store->settings, &deps, &writer.handle, &err) != 0) {
        (void)fprintf(stderr, "writer: %s\n", err.message);
        _exit(8);
    }
    for (;;) {
        write_some(&writer);
        settle_some(&writer);
    }
}

/* --- the judge --- */

struct judge {
    struct embedded_fixture store;
    struct qe_embedded_queue_settings queue;
    unsigned char *said; /* bit `said` per message; owned */
    uint64_t next;       /* numbers below were used */
    uint64_t sent, settled, reports;
    unsigned violations;
};

static bool has(const struct judge *judge, uint64_t number, enum said said)
{
    return (judge->said[number] & (1u << (unsigned)said)) != 0;
}

/* Everything the writer said before it died. */
static int hear(struct judge *judge, int pipe)
{
    struct report report;
    ssize_t got = read(pipe, &report, sizeof(report));

    for (; got == (ssize_t)sizeof(report); got = read(pipe, &report, sizeof(report))) {
        if (report.number >= MESSAGES_MAX || report.said > SAID_RELEASED) {
            (void)fprintf(stderr, "judge: nonsense on the pipe\n");
            return -1;
        }
        judge->said[report.number] |= (unsigned char)(1u << (unsigned)report.said);
        judge->reports++;
        judge->sent += report.said == SAID_SENT;
        judge->settled += report.said == SAID_SETTLED;
        if (report.number >= judge->next) {
            judge->next = report.number + 1;
        }
    }
    return got == 0 ? 0 : -1;
}

static void accuse(struct judge *judge, uint64_t number, const char *what)
{
    judge->violations++;
    (void)fprintf(stderr, "message %llu: %s\n", (unsigned long long)number, what);
}

static void compare(struct judge *judge, const struct qe_message_list *there, bool *is_there)
{
    for (size_t i = 0; i < there->count; i++) {
        const uint64_t number = number_of(&there->items[i]);

        if (number >= judge->next || !has(judge, number, SAID_SEND_BEGUN)) {
            accuse(judge, number, "is there, and nobody sent it");
            continue;
        }
        if (is_there[number]) {
            accuse(judge, number, "is there twice");
        }
        is_there[number] = true;
    }
    for (uint64_t number = 0; number < judge->next; number++) {
        if (has(judge, number, SAID_SENT) && !is_there[number] &&
            !has(judge, number, SAID_SETTLE_BEGUN)) {
            accuse(judge, number, "was confirmed and is lost");
        }
        if (has(judge, number, SAID_SETTLED) && is_there[number]) {
            accuse(judge, number, "was settled and is back");
        }
    }
}

static int read_store(struct judge *judge)
{
    const struct qe_deps deps = {.source = "judge"};
    struct qe_message_list there = {0};
    struct qe_queue queue = {0};
    struct qe_err err = {0};
    void *handle = NULL;
    int rc = -1;
    bool *is_there = qe_calloc(judge->next + 1, sizeof(*is_there));

    if (is_there != NULL && qe_queue_init(&queue, NULL, "crash", QE_KIND_EMBEDDED, &err) == 0 &&
        qe_driver_embedded.create(&judge->store.settings, &deps, &handle, &err) == 0) {
        rc = qe_driver_embedded.peek(handle, &queue, MESSAGES_MAX, qe_clock_mono_ms() + 10000,
                                     &there, &err);
    }
    if (rc == 0) {
        compare(judge, &there, is_there);
    } else {
        (void)fprintf(stderr, "judge: %s\n", err.message);
    }
    qe_driver_embedded.destroy(handle);
    qe_queue_deinit(&queue);
    qe_message_list_deinit(&there);
    qe_free(is_there);
    return rc;
}

static int kill_one(struct judge *judge, struct qe_random *random)
{
    int ends[2];
    int status = 0;

    if (pipe(ends) != 0) {
        return -1;
    }
    const pid_t child = fork();
    if (child < 0) {
        return -1;
    }
    if (child == 0) {
        (void)close(ends[0]);
        write_until_killed(&judge->store, judge->next, ends[1]);
        _exit(9);
    }
    (void)close(ends[1]);
    /* Mostly amid the work; one of eight while it still opens, so recovery itself is killed too. */
    const uint64_t us = qe_random_next(random) % 8 == 0 ? qe_random_next(random) % 4000
                                                        : 4000 + qe_random_next(random) % 60000;
    const struct timespec pause = {.tv_nsec = (long)us * 1000};
    (void)nanosleep(&pause, NULL);
    (void)kill(child, SIGKILL);
    int rc = hear(judge, ends[0]); /* the pipe holds what was said before the kill */
    (void)close(ends[0]);
    (void)waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) {
        (void)fprintf(stderr, "judge: the writer ended by itself, status %d\n", status);
        return -1;
    }
    return rc == 0 ? read_store(judge) : -1;
}

int main(void)
{
    struct judge judge = {0};
    struct qe_random random;
    const int64_t start_mono_ms = qe_clock_mono_ms();
    int kills = 0;
    static char s_name[] = "crash";

    qe_random_init(&random, 20260101);
    judge.said = qe_calloc(MESSAGES_MAX, 1);
    if (judge.said == NULL || embedded_fixture_init(&judge.store, false) != 0) {
        return 1;
    }
    judge.queue = judge.store.queues[2];
    judge.queue.name = s_name;
    judge.queue.visibility_timeout_ms = VISIBILITY_MS;
    judge.store.settings.queues = (struct qe_section_list){.items = &judge.queue, .count = 1};
    int rc = 0;
    for (; rc == 0 && kills < KILLS && judge.violations == 0; kills++) {
        rc = kill_one(&judge, &random);
    }
    (void)printf("%d kills in %.1f s: %llu sends confirmed, %llu settlements confirmed, "
                 "%u violations\n",
                 kills, (double)(qe_clock_mono_ms() - start_mono_ms) / 1e3,
                 (unsigned long long)judge.sent, (unsigned long long)judge.settled,
                 judge.violations);
    embedded_fixture_deinit(&judge.store);
    qe_free(judge.said);
    /* A run in which next to nothing was confirmed proves nothing. */
    return rc == 0 && judge.violations == 0 && judge.sent > KILLS && judge.settled > KILLS ? 0 : 1;
}
