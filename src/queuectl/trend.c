#include "queuectl/trend.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"

#define FAMILY "queue_state{"
#define LABEL_MAX_BYTES 1024
#define TRENDS_MAX 1000000

static void deinit_one(struct ctl_trend *trend)
{
    qe_free(trend->source);
    qe_free(trend->vhost);
    qe_free(trend->queue);
    qe_free(trend->state);
    *trend = (struct ctl_trend){0};
}

void ctl_trends_deinit(struct ctl_trends *trends)
{
    for (size_t i = 0; i < trends->count; i++) {
        deinit_one(&trends->items[i]);
    }
    qe_free(trends->items);
    *trends = (struct ctl_trends){0};
}

/* Where the label's value goes; NULL: a label of no interest. */
static char **member_of(struct ctl_trend *trend, const char *name, size_t length)
{
    const struct {
        const char *name;
        char **at;
    } members[] = {{"source", &trend->source},
                   {"vhost", &trend->vhost},
                   {"queue", &trend->queue},
                   {"state", &trend->state}};

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (strlen(members[i].name) == length && strncmp(members[i].name, name, length) == 0) {
            return members[i].at;
        }
    }
    return NULL;
}

/* A value behind its opening quote; *at is then behind the closing one. */
static int read_value(const char **at, struct qe_strbuf *out)
{
    const char *c = *at;

    qe_strbuf_reset(out);
    for (; *c != '"' && *c != '\0' && *c != '\n'; c++) {
        char plain = *c;

        if (*c == '\\' && c[1] != '\0') {
            c++;
            plain = *c == 'n' ? '\n' : *c;
        }
        (void)qe_strbuf_append_char(out, plain);
    }
    *at = c + 1;
    return *c == '"' && out->failed == QE_OK ? 0 : -1;
}

/* One line behind FAMILY. 1: it is taken, 0: not of interest or not understood, -1: no memory. */
static int read_line(const char *at, struct ctl_trend *trend, struct qe_strbuf *value)
{
    while (*at != '}') {
        size_t length = strcspn(at, "=}\n");
        char **member = at[length] == '=' ? member_of(trend, at, length) : NULL;

        if (at[length] != '=' || at[length + 1] != '"') {
            return 0;
        }
        at += length + 2;
        if (read_value(&at, value) != 0) {
            return 0;
        }
        if (member != NULL && *member == NULL) {
            *member = qe_strdup(qe_strbuf_text(value));
            if (*member == NULL) {
                return -1;
            }
        }
        at += *at == ',' ? 1 : 0;
    }
    return trend->source != NULL && trend->queue != NULL && trend->state != NULL &&
           strncmp(at, "} 1", 3) == 0 && (at[3] == '\n' || at[3] == '\0');
}

static int compare_to(const struct ctl_trend *trend, const char *source, const char *vhost,
                      const char *queue)
{
    int order = strcmp(trend->source, source);

    order = order != 0 ? order : strcmp(trend->vhost != NULL ? trend->vhost : "", vhost);
    return order != 0 ? order : strcmp(trend->queue, queue);
}

static int compare(const void *a, const void *b)
{
    const struct ctl_trend *right = b;

    return compare_to(a, right->source, right->vhost != NULL ? right->vhost : "", right->queue);
}

/* NULL after the last. */
static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end == NULL ? NULL : end + 1;
}

int ctl_trends_read(struct ctl_trends *out, const char *page, struct qe_err *err)
{
    struct qe_strbuf value;
    int taken = 0;

    qe_strbuf_init(&value, LABEL_MAX_BYTES);
    for (const char *line = page; line != NULL && taken >= 0; line = next_line(line)) {
        struct ctl_trend trend = {0};

        if (strncmp(line, FAMILY, strlen(FAMILY)) != 0) {
            continue;
        }
        taken = read_line(line + strlen(FAMILY), &trend, &value);
        if (taken == 1 &&
            qe_grow(&out->items, out->count, &out->capacity, TRENDS_MAX, sizeof trend) != 0) {
            taken = -1;
        }
        if (taken == 1) {
            out->items[out->count++] = trend;
        } else {
            deinit_one(&trend);
        }
    }
    qe_strbuf_deinit(&value);
    if (out->count > 0) {
        qsort(out->items, out->count, sizeof out->items[0], compare);
    }
    return taken >= 0 ? 0 : qe_err_set(err, QE_ERR_NOMEM, "the states of the queues");
}

int ctl_trends_take(struct ctl_trends *out, const char *url, const struct qe_http_reply *reply,
                    struct qe_err *err)
{
    if (reply->err.code != QE_OK) {
        *err = reply->err;
        return -1;
    }
    if (reply->status != 200) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "%.200s answered %u: is that an exporter's page?",
                          url, reply->status);
    }
    return ctl_trends_read(out, qe_strbuf_text(&reply->body), err);
}

int ctl_trends_ask(struct ctl_trends *out, const char *url, int64_t timeout_ms, struct qe_err *err)
{
    struct qe_http_client *client = qe_http_client_new(NULL, err);
    struct qe_http_reply reply = {0};
    const struct qe_http_header accept = {"Accept", "text/plain;version=0.0.4"};
    const struct qe_http_request request = {.method = "GET",
                                            .url = url,
                                            .headers = &accept,
                                            .headers_count = 1,
                                            .deadline_mono_ms = qe_clock_mono_ms() + timeout_ms,
                                            .reply_max_bytes = CTL_EXPORTER_PAGE_MAX_BYTES};
    int rc = client != NULL ? qe_http_fetch(client, &request, &reply, err) : -1;

    if (rc == 0) {
        rc = ctl_trends_take(out, url, &reply, err);
    }
    qe_http_reply_deinit(&reply);
    qe_http_client_destroy(client);
    return rc;
}

const char *ctl_trends_of(const struct ctl_trends *trends, const char *source, const char *vhost,
                          const char *queue)
{
    size_t from = 0;

    for (size_t to = trends->count; from < to;) {
        size_t middle = from + (to - from) / 2;
        int order = compare_to(&trends->items[middle], source, vhost, queue);

        if (order == 0) {
            return trends->items[middle].state;
        }
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return NULL;
}
