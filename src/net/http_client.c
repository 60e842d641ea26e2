#include "net/http_client.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "net/http_internal.h"
#include "util/clock.h"
#include "util/mem.h"

#define CONNECTIONS_DEFAULT 64
/* curl ends a request at its deadline itself; ours is a net under that. */
#define DEADLINE_GRACE_MS 50
#define POLL_FAILED_PAUSE_MS 10
#define OPTION_TEXTS 4

struct exchange_list {
    struct http_exchange *first;
    struct http_exchange *last;
    size_t count;
};

struct qe_http_client {
    CURLM *multi;                          /* owned */
    struct qe_http_client_options options; /* texts borrowed from option_texts */
    char *option_texts[OPTION_TEXTS];      /* owned */
    struct exchange_list running;          /* each is in multi */
    struct exchange_list finished;         /* their replies wait to be taken */
    struct exchange_list spare;
    int64_t nearest_deadline_mono_ms; /* of what runs; may be too early, never too late */
    atomic_bool is_interrupted;
};

static pthread_once_t s_curl_once = PTHREAD_ONCE_INIT;
static CURLcode s_curl_ready = CURLE_FAILED_INIT;

/* Never undone: other parts of the process may use curl or OpenSSL to its end. */
static void start_curl(void)
{
    s_curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* --- lists --- */

static void list_append(struct exchange_list *list, struct http_exchange *exchange)
{
    exchange->next = NULL;
    exchange->previous = list->last;
    if (list->last != NULL) {
        list->last->next = exchange;
    } else {
        list->first = exchange;
    }
    list->last = exchange;
    list->count++;
}

static void list_remove(struct exchange_list *list, struct http_exchange *exchange)
{
    if (exchange->previous != NULL) {
        exchange->previous->next = exchange->next;
    } else {
        list->first = exchange->next;
    }
    if (exchange->next != NULL) {
        exchange->next->previous = exchange->previous;
    } else {
        list->last = exchange->previous;
    }
    exchange->next = NULL;
    exchange->previous = NULL;
    list->count--;
}

/* --- the client --- */

static int copy_text(const char *from, char **owned, const char **out)
{
    if (from != NULL && (*owned = qe_strdup(from)) == NULL) {
        return -1;
    }
    *out = *owned;
    return 0;
}

static int copy_options(struct qe_http_client *client, const struct qe_http_client_options *from)
{
    struct qe_http_client_options *to = &client->options;
    char **owned = client->option_texts;
    int failed = 0;

    to->connections_max = from->connections_max > 0 ? from->connections_max : CONNECTIONS_DEFAULT;
    failed |= copy_text(from->ca_file, &owned[0], &to->ca_file);
    failed |= copy_text(from->cert_file, &owned[1], &to->cert_file);
    failed |= copy_text(from->key_file, &owned[2], &to->key_file);
    failed |= copy_text(from->user_agent, &owned[3], &to->user_agent);
    return failed;
}

struct qe_http_client *qe_http_client_new(const struct qe_http_client_options *options,
                                          struct qe_err *err)
{
    static const struct qe_http_client_options none = {0};
    struct qe_http_client *client = NULL;

    (void)pthread_once(&s_curl_once, start_curl);
    if (s_curl_ready != CURLE_OK) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "cannot start libcurl: %s",
                         curl_easy_strerror(s_curl_ready));
        return NULL;
    }
    client = qe_calloc(1, sizeof *client);
    if (client != NULL && (client->multi = curl_multi_init()) != NULL &&
        copy_options(client, options == NULL ? &none : options) == 0 &&
        curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS,
                          (long)client->options.connections_max) == CURLM_OK) {
        client->nearest_deadline_mono_ms = INT64_MAX;
        return client;
    }
    (void)qe_err_set(err, QE_ERR_NOMEM, "out of memory for an HTTP client");
    qe_http_client_destroy(client);
    return NULL;
}

static void free_list(struct exchange_list *list)
{
    while (list->first != NULL) {
        struct http_exchange *exchange = list->first;

        list_remove(list, exchange);
        http_exchange_destroy(exchange);
    }
}

void qe_http_client_destroy(struct qe_http_client *client)
{
    if (client == NULL) {
        return;
    }
    qe_http_abort(client);
    free_list(&client->spare);
    (void)curl_multi_cleanup(client->multi);
    for (size_t i = 0; i < OPTION_TEXTS; i++) {
        qe_free(client->option_texts[i]);
    }
    qe_free(client);
}

/* --- requests --- */

/* Takes what runs out of curl. */
static void stop(struct qe_http_client *client, struct http_exchange *exchange)
{
    (void)curl_multi_remove_handle(client->multi, exchange->easy);
    list_remove(&client->running, exchange);
    if (client->running.count == 0) {
        client->nearest_deadline_mono_ms = INT64_MAX;
    }
}

void qe_http_abort(struct qe_http_client *client)
{
    while (client->running.first != NULL) {
        struct http_exchange *exchange = client->running.first;

        stop(client, exchange);
        list_append(&client->spare, exchange);
    }
    while (client->finished.first != NULL) {
        struct http_exchange *exchange = client->finished.first;

        list_remove(&client->finished, exchange);
        list_append(&client->spare, exchange);
    }
}

static struct http_exchange *start(struct qe_http_client *client,
                                   const struct qe_http_request *request, struct qe_err *err)
{
    struct http_exchange *exchange = client->spare.last;

    if (exchange != NULL) {
        list_remove(&client->spare, exchange);
    } else if ((exchange = http_exchange_new(&client->options, err)) == NULL) {
        return NULL;
    }
    if (http_exchange_prepare(exchange, request, err) != 0) {
        list_append(&client->spare, exchange);
        return NULL;
    }
    if (request->deadline_mono_ms <= qe_clock_mono_ms()) {
        http_exchange_fail(exchange, QE_ERR_TIMEOUT, request->url, "the deadline had passed");
        list_append(&client->finished, exchange);
        return exchange;
    }
    if (curl_multi_add_handle(client->multi, exchange->easy) != CURLM_OK) {
        list_append(&client->spare, exchange);
        (void)qe_err_set(err, QE_ERR_NOMEM, "out of memory for an HTTP request");
        return NULL;
    }
    list_append(&client->running, exchange);
    if (request->deadline_mono_ms < client->nearest_deadline_mono_ms) {
        client->nearest_deadline_mono_ms = request->deadline_mono_ms;
    }
    return exchange;
}

int qe_http_start(struct qe_http_client *client, const struct qe_http_request *request,
                  struct qe_err *err)
{
    return start(client, request, err) == NULL ? -1 : 0;
}

size_t qe_http_in_flight(const struct qe_http_client *client)
{
    return client->running.count + client->finished.count;
}

/* --- waiting --- */

static void collect(struct qe_http_client *client)
{
    const CURLMsg *message = NULL;
    int left = 0;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        const CURLcode code = message->data.result; /* gone when the handle is removed */
        struct http_exchange *exchange = NULL;

        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange) ==
                CURLE_OK) {
            http_exchange_finish(exchange, code);
            stop(client, exchange);
            list_append(&client->finished, exchange);
        }
    }
}

/* Ends what has passed its deadline although curl did not end it; INT64_MAX: ends everything. */
static void end_overdue(struct qe_http_client *client, int64_t now_mono_ms, CURLcode code)
{
    int64_t nearest_mono_ms = INT64_MAX;

    for (struct http_exchange *exchange = client->running.first, *next = NULL; exchange != NULL;
         exchange = next) {
        next = exchange->next;
        if (exchange->deadline_mono_ms <= now_mono_ms) {
            http_exchange_finish(exchange, code);
            stop(client, exchange);
            list_append(&client->finished, exchange);
        } else if (exchange->deadline_mono_ms < nearest_mono_ms) {
            nearest_mono_ms = exchange->deadline_mono_ms;
        }
    }
    client->nearest_deadline_mono_ms = nearest_mono_ms;
}

static void move_on(struct qe_http_client *client)
{
    int running = 0;

    if (curl_multi_perform(client->multi, &running) != CURLM_OK) {
        end_overdue(client, INT64_MAX, CURLE_OUT_OF_MEMORY);
    }
    collect(client);
    const int64_t overdue_mono_ms = qe_clock_mono_ms() - DEADLINE_GRACE_MS;

    if (client->nearest_deadline_mono_ms <= overdue_mono_ms) {
        end_overdue(client, overdue_mono_ms, CURLE_OPERATION_TIMEDOUT);
    }
}

/* Sleeps until a socket is ready, somebody interrupts, or the time has come. */
static void sleep_until(struct qe_http_client *client, int64_t until_mono_ms)
{
    int64_t wake_mono_ms = client->nearest_deadline_mono_ms;

    if (wake_mono_ms < INT64_MAX - DEADLINE_GRACE_MS) {
        wake_mono_ms += DEADLINE_GRACE_MS;
    }
    if (until_mono_ms != 0 && until_mono_ms < wake_mono_ms) {
        wake_mono_ms = until_mono_ms;
    }
    const int64_t left_ms = wake_mono_ms - qe_clock_mono_ms();
    const int timeout_ms = left_ms < 0 ? 0 : (left_ms > INT_MAX ? INT_MAX : (int)left_ms);

    if (curl_multi_poll(client->multi, NULL, 0, timeout_ms, NULL) != CURLM_OK) {
        const struct timespec pause = {.tv_nsec = POLL_FAILED_PAUSE_MS * 1000000L};

        end_overdue(client, INT64_MAX, CURLE_OUT_OF_MEMORY);
        (void)nanosleep(&pause, NULL); /* whoever tries again at once must not spin */
    }
}

/* As qe_http_wait(), for `wanted` only when it is not NULL. */
static enum qe_http_event wait_for(struct qe_http_client *client, int64_t until_mono_ms,
                                   bool interruptible, const struct http_exchange *wanted)
{
    for (;;) {
        if (interruptible && atomic_exchange(&client->is_interrupted, false)) {
            return QE_HTTP_INTERRUPTED;
        }
        if (wanted != NULL ? wanted->is_finished : client->finished.count > 0) {
            return QE_HTTP_REPLY;
        }
        move_on(client);
        if (wanted != NULL ? wanted->is_finished : client->finished.count > 0) {
            continue;
        }
        if (until_mono_ms == 0 && client->running.count == 0) {
            return QE_HTTP_IDLE;
        }
        if (until_mono_ms != 0 && qe_clock_mono_ms() >= until_mono_ms) {
            return QE_HTTP_TIME;
        }
        sleep_until(client, until_mono_ms);
    }
}

static void take_reply(struct qe_http_client *client, struct http_exchange *exchange,
                       struct qe_http_reply *out_reply)
{
    list_remove(&client->finished, exchange);
    http_exchange_hand_over(exchange, out_reply);
    list_append(&client->spare, exchange);
}

enum qe_http_event qe_http_wait(struct qe_http_client *client, int64_t until_mono_ms,
                                bool interruptible, struct qe_http_reply *out_reply)
{
    const enum qe_http_event event = wait_for(client, until_mono_ms, interruptible, NULL);

    if (event == QE_HTTP_REPLY) {
        take_reply(client, client->finished.first, out_reply);
    }
    return event;
}

int qe_http_fetch(struct qe_http_client *client, const struct qe_http_request *request,
                  struct qe_http_reply *out_reply, struct qe_err *err)
{
    struct http_exchange *exchange = start(client, request, err);

    if (exchange == NULL) {
        return -1;
    }
    (void)wait_for(client, 0, false, exchange);
    take_reply(client, exchange, out_reply);
    if (out_reply->err.code != QE_OK) {
        *err = out_reply->err;
        return -1;
    }
    return 0;
}

void qe_http_interrupt(struct qe_http_client *client)
{
    atomic_store(&client->is_interrupted, true);
    (void)curl_multi_wakeup(client->multi);
}
