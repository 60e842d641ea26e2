/* What it costs to read the attributes of many SQS queues from a local server: our driver's
 * sample(), and, to compare, a bare loop around libcurl that sends the same requests unsigned and
 * looks at nothing but the status. Not a test: it prints one JSON object. Started by
 * compare_sqs.py, which has the server.
 *
 *   bench_sqs driver|bare --endpoint URL [--queues N] [--rounds N] [--in-flight N]
 *
 * driver: lists the server's queues, samples each of them once per round, every one in every round,
 * without ages. bare: --queues requests per round. Credentials: AWS_ACCESS_KEY_ID and
 * AWS_SECRET_ACCESS_KEY. */
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "backend/sqs/sqs.h"
#include "model/batch.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/text.h"

#define ROUND_MAX_MS 600000
#define IN_FLIGHT_MAX 256
#define BODY_BYTES 1024

struct options {
    char *endpoint;
    size_t queues; /* bare */
    size_t rounds;
    size_t in_flight;
};

/* What the rounds cost: all but the first, which makes connections and finds its memory. */
struct cost {
    uint64_t requests;
    uint64_t failed;
    double seconds;
    double slowest_round_seconds;
    double cpu_seconds;
    uint64_t first_rss_bytes;  /* after the first round */
    uint64_t middle_rss_bytes; /* after half of them: what grows from here on, grows for ever */
    uint64_t last_rss_bytes;
    uint64_t middle_heap_bytes; /* allocated and not freed */
    uint64_t last_heap_bytes;
};

static void die(const char *what, const struct qe_err *err)
{
    (void)fprintf(stderr, "bench_sqs: %s%s%s\n", what, err == NULL ? "" : ": ",
                  err == NULL ? "" : err->message);
    exit(1);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        die("getrusage", NULL);
    }
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t rss_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    char line[128] = "";

    if (file == NULL || fgets(line, sizeof line, file) == NULL) {
        die("/proc/self/statm", NULL);
    }
    (void)fclose(file);
    const char *resident = strchr(line, ' ');

    return resident == NULL ? 0 : strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Runs `round` once to warm up, and then `rounds` times under the eyes of the clocks. It returns
 * how many requests it made. */
static void measure(size_t (*round)(void *self, uint64_t *failed), void *self, size_t rounds,
                    struct cost *out)
{
    *out = (struct cost){0};
    (void)round(self, &out->failed);
    out->failed = 0;
    out->first_rss_bytes = rss_bytes();
    const double cpu_before = cpu_seconds();
    const int64_t started_us = qe_clock_mono_us();

    for (size_t i = 0; i < rounds; i++) {
        const int64_t round_us = qe_clock_mono_us();

        out->requests += round(self, &out->failed);
        const double passed = (double)(qe_clock_mono_us() - round_us) / 1e6;

        out->slowest_round_seconds =
            passed > out->slowest_round_seconds ? passed : out->slowest_round_seconds;
        if (i + 1 == (rounds + 1) / 2) {
            out->middle_rss_bytes = rss_bytes();
            out->middle_heap_bytes = heap_bytes();
        }
    }
    out->seconds = (double)(qe_clock_mono_us() - started_us) / 1e6;
    out->cpu_seconds = cpu_seconds() - cpu_before;
    out->last_rss_bytes = rss_bytes();
    out->last_heap_bytes = heap_bytes();
}

/* --- our driver --- */

struct driver_bench {
    void *handle;
    struct qe_queue_set *set;
    const struct qe_api_stats *stats;
};

static uint64_t requests_so_far(const struct qe_api_stats *stats)
{
    uint64_t count = 0;

    for (size_t i = 0; i < stats->operations_count; i++) {
        count += qe_counter_get(&stats->requests[i]);
    }
    return count;
}

static size_t driver_round(void *self, uint64_t *failed)
{
    const struct driver_bench *bench = self;
    const uint64_t before = requests_so_far(bench->stats);
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    if (qe_batch_init(&batch, bench->set, &err) != 0 ||
        qe_driver_sqs.sample(bench->handle, qe_clock_mono_ms() + ROUND_MAX_MS, &batch, &err) != 0) {
        die("sample", &err);
    }
    if (batch.failed_count > 0 && *failed == 0) {
        (void)fprintf(stderr, "bench_sqs: %s\n", batch.first_error.message);
    }
    *failed += batch.failed_count;
    qe_batch_deinit(&batch);
    return (size_t)(requests_so_far(bench->stats) - before);
}

static void list_queues(struct driver_bench *bench)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    if (qe_driver_sqs.list(bench->handle, qe_clock_mono_ms() + ROUND_MAX_MS, &list, &err) != 0 ||
        (bench->set = qe_queue_set_new_take(&list, &err)) == NULL) {
        die("list", &err);
    }
}

static void run_driver(const struct options *options, struct cost *out, size_t *out_queues)
{
    struct qe_sqs_settings settings = {0};
    struct qe_err err = {0};
    struct qe_stats *registry = qe_stats_new(&err);
    struct driver_bench bench = {0};

    if (registry == NULL || qe_section_set_defaults(&qe_sqs_section, &settings, &err) != 0) {
        die("settings", &err);
    }
    settings.endpoint = qe_strdup(options->endpoint);
    settings.region = qe_strdup("eu-west-1");
    settings.concurrency = options->in_flight;
    settings.cadence.adaptive = false;
    settings.oldest_age.method = QE_SQS_AGE_NONE;
    const struct qe_api_names names = {.operations = qe_driver_sqs.operations,
                                       .operations_count = qe_driver_sqs.operations_count,
                                       .services = qe_driver_sqs.services};
    struct qe_api_stats *stats = qe_stats_api(registry, "bench", &names, &err);
    const struct qe_deps deps = {.source = "bench", .stats = stats};

    if (stats == NULL || qe_driver_sqs.create(&settings, &deps, &bench.handle, &err) != 0) {
        die("create", &err);
    }
    bench.stats = stats;
    list_queues(&bench);
    *out_queues = bench.set->count;
    measure(driver_round, &bench, options->rounds, out);
    qe_queue_set_release(bench.set);
    qe_driver_sqs.destroy(bench.handle);
    qe_section_deinit(&qe_sqs_section, &settings);
    qe_stats_destroy(registry);
}

/* --- the bare loop --- */

struct bare_bench {
    const struct options *options;
    CURLM *multi;
    struct curl_slist *headers;
    CURL *easy[IN_FLIGHT_MAX];
    char bodies[IN_FLIGHT_MAX][BODY_BYTES];
    size_t started;
};

static size_t ignore(const void *bytes, size_t one, size_t count, void *self)
{
    (void)bytes;
    (void)self;
    return one * count;
}

static void add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer == NULL) {
        die("out of memory", NULL);
    }
    *list = longer;
}

/* As the driver sends them, without the signature. */
static void make_headers(struct bare_bench *bench)
{
    static const char *const lines[] = {
        "Content-Type: application/x-amz-json-1.0",
        "X-Amz-Date: 20260101T000000Z",
        "X-Amz-Target: AmazonSQS.GetQueueAttributes",
        "amz-sdk-invocation-id: 01234567-89ab-4cde-8f01-23456789abcd",
        "amz-sdk-request: attempt=1; max=3",
        "User-Agent: queue-exporter/0.0.0",
        "Expect:",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        add_header(&bench->headers, lines[i]);
    }
}

static void start_one(struct bare_bench *bench, size_t slot)
{
    char *body = bench->bodies[slot];

    (void)snprintf(body, BODY_BYTES,
                   "{\"QueueUrl\":\"%s/123456789012/queue-%06zu\",\"AttributeNames\":["
                   "\"ApproximateNumberOfMessages\",\"ApproximateNumberOfMessagesNotVisible\","
                   "\"ApproximateNumberOfMessagesDelayed\",\"VisibilityTimeout\","
                   "\"MessageRetentionPeriod\",\"DelaySeconds\",\"QueueArn\",\"RedrivePolicy\","
                   "\"FifoQueue\",\"ContentBasedDeduplication\"]}",
                   bench->options->endpoint, bench->started++);
    if (curl_easy_setopt(bench->easy[slot], CURLOPT_POSTFIELDS, body) != CURLE_OK ||
        curl_multi_add_handle(bench->multi, bench->easy[slot]) != CURLM_OK) {
        die("libcurl", NULL);
    }
}

static void open_bare(struct bare_bench *bench)
{
    make_headers(bench);
    bench->multi = curl_multi_init();
    for (size_t i = 0; i < bench->options->in_flight; i++) {
        CURL *easy = curl_easy_init();

        if (easy == NULL || bench->multi == NULL ||
            curl_easy_setopt(easy, CURLOPT_URL, bench->options->endpoint) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_HTTPHEADER, bench->headers) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore) != CURLE_OK ||
            curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)&bench->bodies[i]) != CURLE_OK) {
            die("libcurl", NULL);
        }
        bench->easy[i] = easy;
    }
}

/* Starts the next one in its place; false: there is none. */
static bool take_one(struct bare_bench *bench, const CURLMsg *message, uint64_t *failed)
{
    CURL *easy = message->easy_handle;
    char *body = NULL;
    long status = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &body);
    *failed += message->data.result != CURLE_OK || status != 200 ? 1 : 0;
    (void)curl_multi_remove_handle(bench->multi, easy);
    if (bench->started >= bench->options->queues) {
        return false;
    }
    start_one(bench, (size_t)(body - bench->bodies[0]) / BODY_BYTES);
    return true;
}

static size_t bare_round(void *self, uint64_t *failed)
{
    struct bare_bench *bench = self;
    size_t in_flight = 0;

    bench->started = 0;
    for (; in_flight < bench->options->in_flight && bench->started < bench->options->queues;
         in_flight++) {
        start_one(bench, in_flight);
    }
    while (in_flight > 0) {
        const CURLMsg *message = NULL;
        int running = 0;
        int left = 0;

        if (curl_multi_perform(bench->multi, &running) != CURLM_OK) {
            die("libcurl", NULL);
        }
        while ((message = curl_multi_info_read(bench->multi, &left)) != NULL) {
            in_flight -= take_one(bench, message, failed) ? 0 : 1;
        }
        if (in_flight > 0 && curl_multi_poll(bench->multi, NULL, 0, 1000, NULL) != CURLM_OK) {
            die("libcurl", NULL);
        }
    }
    return bench->started;
}

static void run_bare(const struct options *options, struct cost *out, size_t *out_queues)
{
    static struct bare_bench bench;

    bench.options = options;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        die("libcurl", NULL);
    }
    open_bare(&bench);
    measure(bare_round, &bench, options->rounds, out);
    for (size_t i = 0; i < options->in_flight; i++) {
        curl_easy_cleanup(bench.easy[i]);
    }
    (void)curl_multi_cleanup(bench.multi);
    curl_slist_free_all(bench.headers);
    *out_queues = options->queues;
}

/* --- options --- */

static size_t number(const char *text, uint64_t max)
{
    struct qe_err err = {0};
    uint64_t value = 0;

    if (qe_text_to_u64(text, max, &value, &err) != 0 || value == 0) {
        die("not a number", &err);
    }
    return (size_t)value;
}

static void read_options(int argc, char **argv, struct options *out)
{
    *out = (struct options){.queues = 5000, .rounds = 5, .in_flight = 16};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--endpoint") == 0) {
            out->endpoint = argv[i + 1];
        } else if (strcmp(argv[i], "--queues") == 0) {
            out->queues = number(argv[i + 1], 1000000);
        } else if (strcmp(argv[i], "--rounds") == 0) {
            out->rounds = number(argv[i + 1], 100000);
        } else if (strcmp(argv[i], "--in-flight") == 0) {
            out->in_flight = number(argv[i + 1], IN_FLIGHT_MAX);
        }
    }
}

int main(int argc, char **argv)
{
    struct options options;
    struct cost cost;
    size_t queues = 0;

    read_options(argc, argv, &options);
    const bool is_driver = argc > 1 && strcmp(argv[1], "driver") == 0;

    if (argc < 2 || options.endpoint == NULL || (!is_driver && strcmp(argv[1], "bare") != 0)) {
        die("usage: bench_sqs driver|bare --endpoint URL [--queues N] [--rounds N] [--in-flight N]",
            NULL);
    }
    if (is_driver) {
        run_driver(&options, &cost, &queues);
    } else {
        run_bare(&options, &cost, &queues);
    }
    (void)printf(
        "{\"queues\": %zu, \"requests\": %llu, \"failed\": %llu, \"seconds\": %.3f, "
        "\"slowest_round_seconds\": %.3f, \"cpu_seconds\": %.4f, "
        "\"first_rss_bytes\": %llu, \"middle_rss_bytes\": %llu, \"last_rss_bytes\": %llu, "
        "\"middle_heap_bytes\": %llu, \"last_heap_bytes\": %llu}\n",
        queues, (unsigned long long)cost.requests, (unsigned long long)cost.failed, cost.seconds,
        cost.slowest_round_seconds, cost.cpu_seconds, (unsigned long long)cost.first_rss_bytes,
        (unsigned long long)cost.middle_rss_bytes, (unsigned long long)cost.last_rss_bytes,
        (unsigned long long)cost.middle_heap_bytes, (unsigned long long)cost.last_heap_bytes);
    return cost.failed == 0 ? 0 : 1;
}
