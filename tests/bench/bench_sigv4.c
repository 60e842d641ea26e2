/* What a signature costs, beside libcurl's own (CURLOPT_AWS_SIGV4), on the same call. Not a test:
 * it prints a table.
 *
 *   bench_sigv4 [REQUESTS]
 *
 * Ours can be timed alone. libcurl signs only while it sends, so both are also measured as CPU time
 * of the sending thread per request over one kept loopback connection, unsigned, signed by libcurl
 * and signed by us in turn: what is more than unsigned is the signature (and its headers). */
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "aws/digest.h"
#include "aws/sigv4.h"
#include "util/clock.h"
#include "util/text.h"

#define ROUNDS 21
#define ACCESS_KEY "AKIDEXAMPLE"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TARGET "AmazonSQS.GetQueueAttributes"
#define CONTENT_TYPE "application/x-amz-json-1.0"

static const char s_body[] =
    "{\"QueueUrl\":\"https://sqs.us-east-1.amazonaws.com/123456789012/orders-000001\","
    "\"AttributeNames\":[\"ApproximateNumberOfMessages\",\"ApproximateNumberOfMessagesDelayed\","
    "\"ApproximateNumberOfMessagesNotVisible\",\"MessageRetentionPeriod\",\"RedrivePolicy\"]}";

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_sigv4: %s\n", what);
    exit(1);
}

static double thread_cpu_us(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(double values[ROUNDS])
{
    qsort(values, ROUNDS, sizeof values[0], compare_doubles);
    return values[ROUNDS / 2];
}

/* --- ours --- */

struct signing {
    struct qe_sigv4 *signer;
    struct qe_aws_credentials credentials;
    struct qe_strbuf authorization;
    char host[32];
    char date[QE_SIGV4_TIME_BYTES];
};

static void signing_init(struct signing *signing, unsigned port)
{
    static char access_key[] = ACCESS_KEY;
    struct qe_err err = {0};

    *signing = (struct signing){.signer = qe_sigv4_new(&err)};
    signing->credentials.access_key_id = access_key;
    signing->credentials.secret_access_key = qe_secret_new(SECRET_KEY, sizeof SECRET_KEY - 1, &err);
    if (signing->signer == NULL || signing->credentials.secret_access_key == NULL) {
        die(err.message);
    }
    (void)snprintf(signing->host, sizeof signing->host, "127.0.0.1:%u", port);
}

static void signing_deinit(struct signing *signing)
{
    qe_sigv4_destroy(signing->signer);
    qe_secret_destroy(signing->credentials.secret_access_key);
    qe_strbuf_deinit(&signing->authorization);
}

static void sign(struct signing *signing, int64_t time_unix_s)
{
    const struct qe_http_header headers[] = {{"Content-Type", CONTENT_TYPE},
                                             {"Host", signing->host},
                                             {"X-Amz-Date", signing->date},
                                             {"X-Amz-Target", TARGET}};
    const struct qe_sigv4_request request = {.method = "POST",
                                             .path = "/",
                                             .headers = headers,
                                             .headers_count = 4,
                                             .body = s_body,
                                             .body_bytes = sizeof s_body - 1,
                                             .region = "us-east-1",
                                             .service = "sqs",
                                             .time_unix_s = time_unix_s,
                                             .normalize_path = true};
    struct qe_err err = {0};

    qe_sigv4_time(time_unix_s, signing->date);
    qe_strbuf_reset(&signing->authorization);
    if (qe_sigv4_sign(signing->signer, &signing->credentials, &request, &signing->authorization,
                      NULL, &err) != 0) {
        die(err.message);
    }
}

static double ours_alone_us(struct signing *signing, size_t count)
{
    double rounds[ROUNDS];
    const int64_t now_unix_s = qe_clock_unix_ms() / 1000;

    sign(signing, now_unix_s); /* derives the key */
    for (size_t round = 0; round < ROUNDS; round++) {
        const double began_us = thread_cpu_us();
        for (size_t i = 0; i < count; i++) {
            sign(signing, now_unix_s + (int64_t)i % 2);
        }
        rounds[round] = (thread_cpu_us() - began_us) / (double)count;
    }
    return median(rounds);
}

/* A key that is set anew for each message: what keeping it keyed saves. */
static double hmac_us(size_t count, bool kept)
{
    unsigned char out[QE_SHA256_BYTES];
    double rounds[ROUNDS];
    struct qe_err err = {0};
    struct qe_hmac *hmac = qe_hmac_new(SECRET_KEY, sizeof SECRET_KEY - 1, &err);

    if (hmac == NULL) {
        die(err.message);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        const double began_us = thread_cpu_us();
        for (size_t i = 0; i < count; i++) {
            const int rc =
                kept ? qe_hmac_run(hmac, s_body, 138, out)
                     : qe_hmac_sha256(SECRET_KEY, sizeof SECRET_KEY - 1, s_body, 138, out, &err);
            if (rc != 0) {
                die("HMAC");
            }
        }
        rounds[round] = (thread_cpu_us() - began_us) / (double)count;
    }
    qe_hmac_destroy(hmac);
    return median(rounds);
}

/* --- a server that says yes --- */

static bool read_request(int fd)
{
    char text[8192];
    size_t have = 0;

    for (;;) {
        const ssize_t got = recv(fd, text + have, sizeof text - 1 - have, 0);
        if (got <= 0) {
            return false;
        }
        have += (size_t)got;
        text[have] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end != NULL && have >= (size_t)(end + 4 - text) + sizeof s_body - 1) {
            return true;
        }
    }
}

static void *serve(void *self)
{
    static const char yes[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    const int *listening = self;

    for (int fd = accept(*listening, NULL, NULL); fd >= 0; fd = accept(*listening, NULL, NULL)) {
        while (read_request(fd) && send(fd, yes, sizeof yes - 1, MSG_NOSIGNAL) > 0) {
        }
        (void)close(fd);
    }
    return NULL;
}

static unsigned listen_somewhere(int *out_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof address;

    *out_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (*out_fd < 0 || bind(*out_fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(*out_fd, 8) != 0 || getsockname(*out_fd, (struct sockaddr *)&address, &bytes) != 0) {
        die("cannot listen");
    }
    return ntohs(address.sin_port);
}

/* --- requests by libcurl --- */

enum way {
    UNSIGNED = 0,
    BY_CURL,
    BY_US,
    WAYS_COUNT
};

/* NOLINTNEXTLINE(readability-non-const-parameter): curl's own type */
static size_t swallow(char *bytes, size_t one, size_t count, void *self)
{
    (void)bytes;
    (void)one;
    (void)self;
    return count;
}

static struct curl_slist *add(struct curl_slist *list, const char *name, const char *value)
{
    char line[1024];

    (void)snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(list, line);

    if (longer == NULL) {
        die("out of memory");
    }
    return longer;
}

static void request_once(CURL *easy, enum way way, struct signing *signing)
{
    struct curl_slist *headers = add(NULL, "Content-Type", CONTENT_TYPE);

    headers = add(headers, "X-Amz-Target", TARGET);
    if (way == BY_US) {
        sign(signing, qe_clock_unix_ms() / 1000);
        headers = add(headers, "X-Amz-Date", signing->date);
        headers = add(headers, "Authorization", qe_strbuf_text(&signing->authorization));
    }
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    if (curl_easy_perform(easy) != CURLE_OK) {
        die("the request failed");
    }
    curl_slist_free_all(headers);
}

static CURL *new_easy(unsigned port, enum way way)
{
    CURL *easy = curl_easy_init();
    char url[64];

    if (easy == NULL) {
        die("out of memory");
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, s_body);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)(sizeof s_body - 1));
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    if (way == BY_CURL) {
        (void)curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:sqs");
        (void)curl_easy_setopt(easy, CURLOPT_USERPWD, ACCESS_KEY ":" SECRET_KEY);
    }
    return easy;
}

/* Medians of the CPU time per request, in turn, so that whatever else the machine does hits all
 * alike. Each way has its own connection, one after the other: the server serves one at a time. */
static void measure(unsigned port, struct signing *signing, size_t count, double out[WAYS_COUNT])
{
    double rounds[WAYS_COUNT][ROUNDS];

    for (size_t round = 0; round < ROUNDS; round++) {
        for (enum way way = UNSIGNED; way < WAYS_COUNT; way++) {
            CURL *easy = new_easy(port, way);
            request_once(easy, way, signing); /* connects */
            const double began_us = thread_cpu_us();
            for (size_t i = 0; i < count; i++) {
                request_once(easy, way, signing);
            }
            rounds[way][round] = (thread_cpu_us() - began_us) / (double)count;
            curl_easy_cleanup(easy);
        }
    }
    for (enum way way = UNSIGNED; way < WAYS_COUNT; way++) {
        out[way] = median(rounds[way]);
    }
}

int main(int argc, char **argv)
{
    uint64_t requests = 2000;
    struct qe_err err = {0};
    struct signing signing;
    double us[WAYS_COUNT];
    pthread_t thread = 0;
    int fd = -1;

    if (argc > 2 || (argc == 2 && qe_text_to_u64(argv[1], 1000000, &requests, &err) != 0) ||
        requests == 0) {
        die("usage: bench_sigv4 [REQUESTS]");
    }
    const unsigned port = listen_somewhere(&fd);

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        pthread_create(&thread, NULL, serve, &fd) != 0) {
        die("cannot start");
    }
    signing_init(&signing, port);
    const double alone_us = ours_alone_us(&signing, (size_t)requests);

    measure(port, &signing, (size_t)requests, us);
    (void)printf(
        "%s; body of %zu bytes, 4 signed headers; CPU time of the signing thread, median "
        "of %d rounds of %zu\n"
        "| what                             | us per request | of it the signature |\n"
        "|----------------------------------|----------------|---------------------|\n"
        "| our signature alone              |                | %19.2f |\n"
        "| request by libcurl, unsigned     | %14.2f |                     |\n"
        "| the same, CURLOPT_AWS_SIGV4      | %14.2f | %19.2f |\n"
        "| the same, signed by us           | %14.2f | %19.2f |\n"
        "HMAC of 138 bytes: %.2f us with the key kept, %.2f us with the key set each time\n",
        curl_version(), sizeof s_body - 1, ROUNDS, (size_t)requests, alone_us, us[UNSIGNED],
        us[BY_CURL], us[BY_CURL] - us[UNSIGNED], us[BY_US], us[BY_US] - us[UNSIGNED],
        hmac_us((size_t)requests, true), hmac_us((size_t)requests, false));
    (void)shutdown(fd, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(fd);
    signing_deinit(&signing);
    curl_global_cleanup();
    return 0;
}
