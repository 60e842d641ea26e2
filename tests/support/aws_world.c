#include "support/aws_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "util/clock.h"
#include "util/secret.h"

/* What the test wrote down is allocated past util/mem: it is no part of what torture counts. */
static char *copy_text(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

/* Wiped, so that a test can look through the heap for what others left. */
static void forget_text(char *text)
{
    if (text != NULL) {
        qe_secret_wipe(text, strlen(text));
    }
    free(text);
}

static void set_pair(struct qe_made_pair *pairs, size_t *count, const char *name, const char *text)
{
    size_t i = 0;

    while (i < *count && strcmp(pairs[i].name, name) != 0) {
        i++;
    }
    assert_true(i < QE_MADE_ITEMS_MAX);
    if (i == *count) {
        pairs[i].name = copy_text(name);
        (*count)++;
    } else {
        forget_text(pairs[i].text);
    }
    pairs[i].text = copy_text(text);
}

static const char *find_text(const struct qe_made_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i].name, name) == 0) {
            return pairs[i].text;
        }
    }
    return NULL;
}

static const char *made_get(void *self, const char *name)
{
    const struct qe_made_world *made = self;

    return find_text(made->env, made->env_count, name);
}

static int made_read_file(void *self, const char *path, size_t max_bytes, struct qe_strbuf *out,
                          struct qe_err *err)
{
    const struct qe_made_world *made = self;
    const char *text = find_text(made->files, made->files_count, path);

    if (text == NULL) {
        return qe_err_set(err, QE_ERR_NOT_FOUND, "cannot open %s: No such file or directory", path);
    }
    if (strlen(text) > max_bytes) {
        return qe_err_set(err, QE_ERR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
    }
    return qe_strbuf_append_text(out, text) == 0 ? 0 : qe_strbuf_error(out, err);
}

static void append(char *out, size_t out_bytes, const char *text, size_t count)
{
    const size_t length = strlen(out);

    assert_true(length + count < out_bytes);
    memcpy(out + length, text, count);
    out[length + count] = '\0';
}

/* With the lock. */
static void note(struct qe_made_world *made, const struct qe_http_request *request)
{
    if (made->requests_count < QE_MADE_ITEMS_MAX) {
        struct qe_made_request *noted = &made->requests[made->requests_count];

        memset(noted, 0, sizeof *noted);
        noted->at_mono_ms = made->mono_ms;
        noted->deadline_mono_ms = request->deadline_mono_ms;
        append(noted->method, sizeof noted->method, request->method, strlen(request->method));
        append(noted->url, sizeof noted->url, request->url, strlen(request->url));
        for (size_t i = 0; i < request->headers_count; i++) {
            const struct qe_http_header *header = &request->headers[i];
            const char *parts[] = {header->name, ": ", header->value, "\n"};

            for (size_t part = 0; part < 4; part++) {
                append(noted->headers, sizeof noted->headers, parts[part], strlen(parts[part]));
            }
        }
        if (request->body != NULL) {
            append(noted->body, sizeof noted->body, request->body, request->body_bytes);
        }
    }
    made->requests_count++;
}

/* With the lock. NULL: no answer is written down for that. */
static const struct qe_made_answer *take_answer(struct qe_made_world *made,
                                                const struct qe_http_request *request)
{
    const bool again = made->repeat_last && made->answers_taken == made->answers_count;
    const size_t next = made->answers_taken - (again && made->answers_taken > 0 ? 1 : 0);

    if (next >= made->answers_count) {
        return NULL;
    }
    const struct qe_made_answer *answer = &made->answers[next];

    if ((answer->method != NULL && strcmp(answer->method, request->method) != 0) ||
        (answer->url != NULL && strcmp(answer->url, request->url) != 0)) {
        return NULL;
    }
    made->answers_taken = next + 1;
    return answer;
}

static int made_fetch(void *self, const struct qe_http_request *request, const char *ca_file,
                      struct qe_http_reply *out_reply, struct qe_err *err)
{
    struct qe_made_world *made = self;

    (void)ca_file;
    pthread_mutex_lock(&made->lock);
    note(made, request);
    const struct qe_made_answer *answer = take_answer(made, request);

    made->unix_ms += made->fetch_ms;
    made->mono_ms += made->fetch_ms;
    pthread_mutex_unlock(&made->lock);
    if (answer == NULL) {
        return qe_err_set(err, QE_ERR_NETWORK, "nobody listens at %s (made world)", request->url);
    }
    if (answer->code != QE_OK) {
        return qe_err_set(err, answer->code, "no answer from %s (made world)", request->url);
    }
    out_reply->body.is_secret = request->is_secret;
    out_reply->status = answer->status;
    out_reply->sent_unix_ms = made->world.now_unix_ms(made);
    out_reply->received_unix_ms = out_reply->sent_unix_ms;
    if (answer->headers != NULL &&
        qe_strbuf_append_text(&out_reply->headers, answer->headers) != 0) {
        return qe_strbuf_error(&out_reply->headers, err);
    }
    if (qe_strbuf_append_text(&out_reply->body, answer->body) != 0) {
        return qe_strbuf_error(&out_reply->body, err);
    }
    return 0;
}

static int made_run(void *self, char *const *argv, int64_t deadline_mono_ms, size_t max_bytes,
                    struct qe_strbuf *out, struct qe_err *err)
{
    struct qe_made_world *made = self;

    (void)deadline_mono_ms;
    (void)max_bytes;
    pthread_mutex_lock(&made->lock);
    made->runs_count++;
    made->run_argv[0] = '\0';
    for (size_t i = 0; argv[i] != NULL; i++) {
        append(made->run_argv, sizeof made->run_argv, "[", 1);
        append(made->run_argv, sizeof made->run_argv, argv[i], strlen(argv[i]));
        append(made->run_argv, sizeof made->run_argv, "]", 1);
    }
    pthread_mutex_unlock(&made->lock);
    if (made->run_code != QE_OK) {
        return qe_err_set(err, made->run_code, "%s", made->run_words);
    }
    return qe_strbuf_append_text(out, made->run_output) == 0 ? 0 : qe_strbuf_error(out, err);
}

static int64_t made_unix_ms(void *self)
{
    struct qe_made_world *made = self;

    pthread_mutex_lock(&made->lock);
    const int64_t now = made->real_clock ? qe_clock_unix_ms() : made->unix_ms;

    pthread_mutex_unlock(&made->lock);
    return now;
}

static int64_t made_mono_ms(void *self)
{
    struct qe_made_world *made = self;

    pthread_mutex_lock(&made->lock);
    const int64_t now = made->real_clock ? qe_clock_mono_ms() : made->mono_ms;

    pthread_mutex_unlock(&made->lock);
    return now;
}

/* Takes no time: the clock jumps. */
static void made_pause(void *self, int64_t until_mono_ms)
{
    struct qe_made_world *made = self;
    const int64_t left_ms = until_mono_ms - made_mono_ms(self);

    if (left_ms > 0) {
        qe_made_world_pass(made, left_ms);
    }
}

void qe_made_world_init(struct qe_made_world *made)
{
    memset(made, 0, sizeof *made); /* too large for a frame */
    made->world = (struct qe_aws_world){
        .self = made,
        .get = made_get,
        .read_file = made_read_file,
        .fetch = made_fetch,
        .run = made_run,
        .now_unix_ms = made_unix_ms,
        .now_mono_ms = made_mono_ms,
        .pause = made_pause,
    };
    made->unix_ms = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */
    made->mono_ms = 1000; /* less than any real one, which some deadlines come from */
    assert_int_equal(pthread_mutex_init(&made->lock, NULL), 0);
}

static void free_pairs(struct qe_made_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].name);
        forget_text(pairs[i].text);
    }
}

void qe_made_world_deinit(struct qe_made_world *made)
{
    free_pairs(made->env, made->env_count);
    free_pairs(made->files, made->files_count);
    for (size_t i = 0; i < made->answers_count; i++) {
        free(made->answers[i].method);
        free(made->answers[i].url);
        free(made->answers[i].headers);
        forget_text(made->answers[i].body);
    }
    (void)pthread_mutex_destroy(&made->lock);
}

void qe_made_world_env(struct qe_made_world *made, const char *name, const char *value)
{
    set_pair(made->env, &made->env_count, name, value);
}

void qe_made_world_file(struct qe_made_world *made, const char *path, const char *text)
{
    set_pair(made->files, &made->files_count, path, text);
}

void qe_made_world_answer(struct qe_made_world *made, const char *method, const char *url,
                          unsigned status, const char *body)
{
    assert_true(made->answers_count < QE_MADE_ITEMS_MAX);
    made->answers[made->answers_count++] = (struct qe_made_answer){.method = copy_text(method),
                                                                   .url = copy_text(url),
                                                                   .status = status,
                                                                   .body = copy_text(body)};
}

void qe_made_world_body(struct qe_made_world *made, const char *body)
{
    struct qe_made_answer *last = &made->answers[made->answers_count - 1];

    forget_text(last->body);
    last->body = copy_text(body);
}

void qe_made_world_headers(struct qe_made_world *made, const char *headers)
{
    struct qe_made_answer *last = &made->answers[made->answers_count - 1];

    free(last->headers);
    last->headers = copy_text(headers);
}

void qe_made_world_no_answer(struct qe_made_world *made, const char *url, enum qe_err_code code)
{
    assert_true(made->answers_count < QE_MADE_ITEMS_MAX);
    made->answers[made->answers_count++] =
        (struct qe_made_answer){.url = copy_text(url), .code = code};
}

void qe_made_world_pass(struct qe_made_world *made, int64_t ms)
{
    pthread_mutex_lock(&made->lock);
    made->unix_ms += ms;
    made->mono_ms += ms;
    pthread_mutex_unlock(&made->lock);
}

bool qe_made_request_has(const struct qe_made_request *request, const char *name, const char *value)
{
    char line[1024];
    const int length = snprintf(line, sizeof line, "%s: %s\n", name, value);

    assert_in_range(length, 1, sizeof line - 1);
    return strstr(request->headers, line) != NULL;
}
