/* Consuming a queue of RabbitMQ to its end: our driver, as the consumer uses it, or a bare loop on
 * librabbitmq with the same prefetch and acks. compare_amqp.py runs both, and pika.
 *
 * Usage: bench_amqp fill|driver|bare MANAGEMENT_URL AMQP_PORT QUEUE COUNT
 * Prints "<seconds> <CPU seconds of this process>". */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "backend/rabbitmq/rabbitmq.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define BODY_BYTES 1024
#define PREFETCH 100
#define ACK_EVERY 50
#define FILL_BATCH 1000

static int fail(const char *what)
{
    (void)fprintf(stderr, "bench_amqp: %s\n", what);
    return 1;
}

static double cpu_seconds(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- the driver --- */

struct bench {
    struct qe_rmq_settings settings;
    void *handle;
    struct qe_queue queue;
    uint64_t count;
    uint64_t got;
    struct qe_err err;
};

static int open_driver(struct bench *bench, char **arguments)
{
    const struct qe_deps deps = {.source = "bench"};
    char url[64];

    (void)snprintf(url, sizeof url, "amqp://127.0.0.1:%s", arguments[1]);
    if (qe_section_set_defaults(&qe_rmq_section, &bench->settings, &bench->err) != 0) {
        return -1;
    }
    qe_free(bench->settings.management_url);
    bench->settings.management_url = qe_strdup(arguments[0]);
    bench->settings.amqp_url = qe_strdup(url);
    return qe_queue_init(&bench->queue, "/", arguments[2], QE_KIND_CLASSIC, &bench->err) == 0 &&
                   qe_driver_rabbitmq.create(&bench->settings, &deps, &bench->handle,
                                             &bench->err) == 0
               ? 0
               : -1;
}

static int fill(struct bench *bench)
{
    static struct qe_outgoing batch[FILL_BATCH];
    static char body[BODY_BYTES];

    memset(body, 'x', sizeof body);
    for (uint64_t sent = 0; sent < bench->count;) {
        const size_t some =
            bench->count - sent < FILL_BATCH ? (size_t)(bench->count - sent) : FILL_BATCH;

        for (size_t i = 0; i < some; i++) {
            batch[i] =
                (struct qe_outgoing){.body = body, .body_bytes = sizeof body, .delay_ms = -1};
        }
        if (qe_driver_rabbitmq.send(bench->handle, &bench->queue, batch, some,
                                    qe_clock_mono_ms() + 60000, &bench->err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < some; i++) {
            if (batch[i].result.code != QE_OK) {
                bench->err = batch[i].result;
                return -1;
            }
        }
        sent += some;
    }
    return 0;
}

/* One worker that is never the slow part: what a receive brings is settled, and then the next,
 * until `count` of all have come. */
static int consume(struct bench *bench, uint64_t count)
{
    static struct qe_settlement settlements[PREFETCH];

    while (bench->got < count) {
        struct qe_message_list list = {0};

        if (qe_driver_rabbitmq.receive(bench->handle, &bench->queue, PREFETCH,
                                       qe_clock_mono_ms() + 60000, &list, &bench->err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < list.count; i++) {
            settlements[i] =
                (struct qe_settlement){.message = &list.items[i], .verb = QE_SETTLE_ACK};
        }
        if (qe_driver_rabbitmq.settle(bench->handle, &bench->queue, settlements, list.count,
                                      qe_clock_mono_ms() + 60000, &bench->err) != 0) {
            return -1;
        }
        bench->got += list.count;
        qe_message_list_deinit(&list);
    }
    return 0;
}

/* --- bare --- */

static amqp_connection_state_t open_bare(char **arguments, struct qe_err *err)
{
    uint64_t port = 0;
    amqp_connection_state_t state = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(state);

    if (qe_text_to_u64(arguments[1], 65535, &port, err) != 0 || socket == NULL ||
        amqp_socket_open(socket, "127.0.0.1", (int)port) != AMQP_STATUS_OK ||
        amqp_login(state, "/", 0, 131072, 30, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
                .reply_type != AMQP_RESPONSE_NORMAL) {
        (void)amqp_destroy_connection(state);
        return NULL;
    }
    (void)amqp_channel_open(state, 1);
    (void)amqp_basic_qos(state, 1, 0, PREFETCH, 0);
    (void)amqp_basic_consume(state, 1, amqp_cstring_bytes(arguments[2]), amqp_empty_bytes, 0, 0, 0,
                             amqp_empty_table);
    return amqp_get_rpc_reply(state).reply_type == AMQP_RESPONSE_NORMAL ? state : NULL;
}

static int consume_bare(amqp_connection_state_t state, uint64_t count)
{
    for (uint64_t got = 1; got <= count; got++) {
        amqp_envelope_t envelope;

        amqp_maybe_release_buffers(state);
        if (amqp_consume_message(state, &envelope, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL) {
            return -1;
        }
        if (got % ACK_EVERY == 0 || got == count) {
            (void)amqp_basic_ack(state, 1, envelope.delivery_tag, 1);
        }
        amqp_destroy_envelope(&envelope);
    }
    (void)amqp_connection_close(state, AMQP_REPLY_SUCCESS);
    (void)amqp_destroy_connection(state);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    amqp_connection_state_t state = NULL;
    const bool is_bare = argc > 1 && strcmp(argv[1], "bare") == 0;
    int rc = 0;

    if (argc != 6 || qe_text_to_u64(argv[5], 100000000, &bench.count, &bench.err) != 0) {
        return fail("usage: bench_amqp fill|driver|bare MANAGEMENT_URL AMQP_PORT QUEUE COUNT");
    }
    if (is_bare) {
        state = open_bare(argv + 2, &bench.err);
        rc = state == NULL ? -1 : 0;
    } else {
        rc = open_driver(&bench, argv + 2);
    }
    /* The bare loop has its connection and its first messages before the clock starts, too. */
    if (rc == 0 && strcmp(argv[1], "driver") == 0) {
        rc = consume(&bench, 1);
    }
    const int64_t start_us = qe_clock_mono_us();
    const double start_cpu = cpu_seconds();

    if (rc == 0 && is_bare) {
        rc = consume_bare(state, bench.count);
    } else if (rc == 0) {
        rc = strcmp(argv[1], "fill") == 0 ? fill(&bench) : consume(&bench, bench.count);
    }
    if (rc == 0) {
        (void)printf("%.6f %.6f\n", (double)(qe_clock_mono_us() - start_us) / 1e6,
                     cpu_seconds() - start_cpu);
    }
    qe_driver_rabbitmq.destroy(bench.handle);
    qe_queue_deinit(&bench.queue);
    qe_section_deinit(&qe_rmq_section, &bench.settings);
    return rc == 0 ? 0 : fail(bench.err.code == QE_OK ? "librabbitmq failed" : bench.err.message);
}
