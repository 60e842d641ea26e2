/* What a scrape costs: latency of GET /metrics over loopback for stores of 1 000, 10 000 and
 * 100 000 queues, identity and gzip, alone and while a poller publishes the same number of queues
 * again and again. Not a test: it prints a table.
 *
 *   bench_http [--queues N] [--requests N] [--pause MS]
 *   bench_http --serve N IDENTITY_FILE GZIP_FILE
 *
 * --serve prints its port, writes the two bodies, and serves until SIGTERM, so that another server
 * can be measured with the same bytes (compare_nginx.py). */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/routes.h"
#include "http/server.h"
#include "metrics/page.h"
#include "model/batch.h"
#include "model/store.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define WINDOW_BYTES 262144
#define STALE_AFTER_MS 3600000
#define QUEUES_PER_REQUEST_BUDGET 20000000

struct bench {
    struct qe_stats *stats;
    struct qe_renderer renderer;
    struct qe_store *store;
    struct qe_slot *slot;
    struct qe_queue_set *set;
    struct qe_routes_context context;
    struct qe_routes *routes;
    struct qe_http_server *server;
    unsigned port;
    atomic_bool publishing;
    atomic_uint published;
    long pause_ms; /* between two publishes */
};

static void die(const char *what, const struct qe_err *err)
{
    (void)fprintf(stderr, "bench_http: %s%s%s\n", what, err == NULL ? "" : ": ",
                  err == NULL ? "" : err->message);
    exit(1);
}

/* --- the store --- */

static struct qe_queue_set *make_set(size_t queues)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    for (size_t i = 0; i < queues; i++) {
        char name[64];
        struct qe_queue *queue = qe_queue_list_add(&list, &err);
        (void)snprintf(name, sizeof name, "orders-%06zu-of-some-team", i);
        if (queue == NULL || qe_queue_init(queue, NULL, name, QE_KIND_EMBEDDED, &err) != 0) {
            die("queues", &err);
        }
    }
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);
    if (set == NULL) {
        die("queues", &err);
    }
    return set;
}

/* Every value differs from the round before. Together with info, up and the time of the last
 * success, a queue has eight samples on the page. */
static void publish(struct bench *bench, unsigned round)
{
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    if (qe_batch_init(&batch, bench->set, &err) != 0) {
        die("batch", &err);
    }
    for (size_t i = 0; i < bench->set->count; i++) {
        struct qe_sample sample = {0};
        double value = (double)((i * 7 + round) % 100000);
        qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, value);
        qe_sample_set(&sample, QE_FIELD_IN_FLIGHT_MESSAGES, value + 1);
        qe_sample_set(&sample, QE_FIELD_DELAYED_MESSAGES, value + 2);
        qe_sample_set(&sample, QE_FIELD_OLDEST_AGE_SECONDS, value / 8);
        qe_sample_set(&sample, QE_FIELD_CONSUMERS, (double)((i + round) % 32));
        qe_batch_set(&batch, i, &sample);
    }
    struct qe_poll_report report = {.now_unix_ms = qe_clock_unix_ms(),
                                    .now_mono_ms = qe_clock_mono_ms(),
                                    .duration_seconds = 0.1,
                                    .queues_listed = bench->set->count};
    if (qe_slot_publish(bench->slot, &batch, &report, &err) != 0) {
        die("publish", &err);
    }
    qe_batch_deinit(&batch);
}

static bool is_ready(void *app, char *why, size_t why_bytes)
{
    (void)app;
    (void)snprintf(why, why_bytes, "%s", "");
    return true;
}

static int no_config(void *app, struct qe_strbuf *out)
{
    (void)app;
    (void)out;
    return -1;
}

static void bench_start(struct bench *bench, size_t queues)
{
    static const struct qe_build_info s_build = {
        .version = "bench", .revision = "bench", .compiler = "bench"};
    static const char *const s_listen[] = {"127.0.0.1:0"};
    struct qe_err err = {0};

    *bench = (struct bench){.stats = qe_stats_new(&err)};
    if (bench->stats == NULL) {
        die("stats", &err);
    }
    bench->renderer = qe_page_renderer(bench->stats);
    bench->store = qe_store_new(&bench->renderer, bench->stats, &err);
    if (bench->store == NULL) {
        die("store", &err);
    }
    bench->slot = qe_store_open(bench->store, "bench", "embedded", STALE_AFTER_MS, &err);
    if (bench->slot == NULL) {
        die("store", &err);
    }
    bench->set = make_set(queues);
    publish(bench, 0);
    bench->context = (struct qe_routes_context){.store = bench->store,
                                                .build = &s_build,
                                                .telemetry_path = "/metrics",
                                                .is_ready = is_ready,
                                                .print_config = no_config,
                                                .reload = no_config};
    bench->routes = qe_routes_new(&bench->context, &err);
    if (bench->routes == NULL) {
        die("routes", &err);
    }
    struct qe_http_options options = {.listen = s_listen,
                                      .listen_count = 1,
                                      .context = &bench->context,
                                      .stats = qe_stats_process(bench->stats)};
    options.routes = qe_routes_table(bench->routes, &options.routes_count);
    bench->server = qe_http_server_new(&options, &err);
    if (bench->server == NULL) {
        die("server", &err);
    }
    bench->port = qe_http_server_port(bench->server, 0);
}

static void bench_stop(struct bench *bench)
{
    qe_http_server_destroy(bench->server);
    qe_routes_destroy(bench->routes);
    qe_queue_set_release(bench->set);
    qe_store_destroy(bench->store);
    qe_stats_destroy(bench->stats);
}

/* --- the client --- */

static int client_connect(unsigned port)
{
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)(void *)&remote, sizeof remote) != 0) {
        die("connect", NULL);
    }
    return fd;
}

static size_t content_length(const char *head)
{
    static const char s_name[] = "Content-Length: ";
    const char *found = strstr(head, s_name);

    return found == NULL ? 0 : (size_t)strtoull(found + sizeof s_name - 1, NULL, 10);
}

/* Reads one reply on a connection that stays open; the body goes to `out` if that is not NULL.
 * Returns its size. */
static size_t client_get(int fd, bool gzip, char *window, FILE *out)
{
    const char *request = gzip ? "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
                               : "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t have = 0;
    const char *end = NULL;

    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0) {
        die("send", NULL);
    }
    while (end == NULL) {
        ssize_t count = recv(fd, window + have, WINDOW_BYTES - 1 - have, 0);
        if (count <= 0) {
            die("the server closed", NULL);
        }
        have += (size_t)count;
        window[have] = '\0';
        end = strstr(window, "\r\n\r\n");
    }
    size_t size = content_length(window);
    size_t body = have - (size_t)(end + 4 - window);
    if (out != NULL) {
        (void)fwrite(end + 4, 1, body, out);
    }
    while (body < size) {
        ssize_t count = recv(fd, window, WINDOW_BYTES, 0);
        if (count <= 0) {
            die("the server closed within a body", NULL);
        }
        if (out != NULL) {
            (void)fwrite(window, 1, (size_t)count, out);
        }
        body += (size_t)count;
    }
    return size;
}

static int compare_us(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;

    return left < right ? -1 : left > right;
}

struct latency {
    int64_t p50_us;
    int64_t p99_us;
    size_t bytes;
};

static struct latency measure(const struct bench *bench, bool gzip, size_t requests)
{
    char *window = qe_calloc(1, WINDOW_BYTES);
    int64_t *times = qe_calloc(requests, sizeof *times);
    struct latency latency = {0};

    if (window == NULL || times == NULL) {
        die("out of memory", NULL);
    }
    int fd = client_connect(bench->port);
    (void)client_get(fd, gzip, window, NULL); /* the first one warms everything */
    for (size_t i = 0; i < requests; i++) {
        int64_t start_us = qe_clock_mono_us();
        latency.bytes = client_get(fd, gzip, window, NULL);
        times[i] = qe_clock_mono_us() - start_us;
    }
    (void)close(fd);
    qsort(times, requests, sizeof *times, compare_us);
    latency.p50_us = times[requests / 2];
    latency.p99_us = times[requests * 99 / 100];
    qe_free(times);
    qe_free(window);
    return latency;
}

/* --- the table --- */

static void pause_ms(long ms)
{
    const struct timespec step = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&step, NULL);
}

static void *publish_again_and_again(void *argument)
{
    struct bench *bench = argument;

    while (atomic_load(&bench->publishing)) {
        publish(bench, atomic_fetch_add(&bench->published, 1) + 1);
        pause_ms(bench->pause_ms);
    }
    return NULL;
}

static double rss_mib(void)
{
    unsigned long long pages = 0;
    char text[128] = "";
    FILE *file = fopen("/proc/self/statm", "re");

    if (file != NULL && fgets(text, sizeof text, file) != NULL) {
        const char *second = strchr(text, ' ');
        pages = second == NULL ? 0 : strtoull(second + 1, NULL, 10);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

static void print_row(size_t queues, const char *coding, const char *beside,
                      const struct latency *latency)
{
    (void)printf("| %7zu | %-8s | %-10s | %10zu | %9.3f | %9.3f |\n", queues, coding, beside,
                 latency->bytes, (double)latency->p50_us / 1000.0,
                 (double)latency->p99_us / 1000.0);
    (void)fflush(stdout);
}

static void run(size_t queues, size_t requests, long pause)
{
    struct bench bench;
    pthread_t thread;
    struct latency latency;

    bench_start(&bench, queues);
    bench.pause_ms = pause;
    double rss = rss_mib();
    for (unsigned with_poll = 0; with_poll < 2; with_poll++) {
        atomic_store(&bench.publishing, with_poll != 0);
        if (pthread_create(&thread, NULL, publish_again_and_again, &bench) != 0) {
            die("thread", NULL);
        }
        for (unsigned gzip = 0; gzip < 2; gzip++) {
            latency = measure(&bench, gzip != 0, requests);
            print_row(queues, gzip != 0 ? "gzip" : "identity",
                      with_poll != 0 ? "publishing" : "alone", &latency);
        }
        atomic_store(&bench.publishing, false);
        (void)pthread_join(thread, NULL);
    }
    (void)printf(
        "  %zu queues: RSS %.1f MiB after the first publish, %.1f MiB after %u publishes beside "
        "the scrapes (the client's buffers in it)\n",
        queues, rss, rss_mib(), atomic_load(&bench.published));
    bench_stop(&bench);
}

/* --- --serve --- */

static void save(unsigned port, bool gzip, const char *path)
{
    char *window = qe_calloc(1, WINDOW_BYTES);
    FILE *out = fopen(path, "we");

    if (window == NULL || out == NULL) {
        die(path, NULL);
    }
    int fd = client_connect(port);
    (void)client_get(fd, gzip, window, out);
    (void)close(fd);
    if (fclose(out) != 0) {
        die(path, NULL);
    }
    qe_free(window);
}

static void serve(size_t queues, const char *identity, const char *gzip)
{
    struct bench bench;
    sigset_t signals;
    int received = 0;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    bench_start(&bench, queues);
    save(bench.port, false, identity);
    save(bench.port, true, gzip);
    (void)printf("%u\n", bench.port);
    (void)fflush(stdout);
    (void)sigwait(&signals, &received);
    bench_stop(&bench);
}

static size_t number_of(const char *text)
{
    uint64_t number = 0;
    struct qe_err err = {0};

    if (qe_text_to_u64(text, QE_QUEUES_MAX, &number, &err) != 0) {
        die("argument", &err);
    }
    return (size_t)number;
}

int main(int argc, char **argv)
{
    static const size_t s_sizes[] = {1000, 10000, 100000};
    size_t queues = 0;
    size_t requests = 0;
    long pause = 0;

    if (argc == 5 && strcmp(argv[1], "--serve") == 0) {
        serve(number_of(argv[2]), argv[3], argv[4]);
        return 0;
    }
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--queues") == 0) {
            queues = number_of(argv[i + 1]);
        } else if (strcmp(argv[i], "--requests") == 0) {
            requests = number_of(argv[i + 1]);
        } else if (strcmp(argv[i], "--pause") == 0) {
            pause = (long)number_of(argv[i + 1]);
        } else {
            die("usage: bench_http [--queues N] [--requests N] [--pause MS]", NULL);
        }
    }
    (void)printf("|  queues | coding   | beside     |      bytes |  p50 [ms] |  p99 [ms] |\n"
                 "|---------|----------|------------|------------|-----------|-----------|\n");
    for (size_t i = 0; i < sizeof s_sizes / sizeof s_sizes[0]; i++) {
        size_t size = queues == 0 ? s_sizes[i] : queues;
        size_t fair = QUEUES_PER_REQUEST_BUDGET / size;
        fair = fair < 200 ? 200 : fair;
        run(size, requests != 0 ? requests : fair > 2000 ? 2000 : fair, pause);
        if (queues != 0) {
            break;
        }
    }
    return 0;
}
