#include "queuectl/trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/mem.h"
#include "util/strbuf.h"
#include "util/text.h"
#include "util/url.h"

#define LABEL_MAX_BYTES 1024
#define TRENDS_MAX 1000000

enum family {
    FAMILY_STATE = 0,
    FAMILY_CHANGE,
    FAMILY_SPAN,
    FAMILY_NONE
};
static const char *const s_families[FAMILY_NONE] = {
    "queue_state{", "queue_dead_letter_change_messages{", "queue_dead_letter_change_seconds{"};

static enum family family_of(const char *line)
{
    enum family family = FAMILY_STATE;

    for (; family < FAMILY_NONE; family++) {
        if (strncmp(line, s_families[family], strlen(s_families[family])) == 0) {
            break;
        }
    }
    return family;
}

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

/* The labels behind the opening brace; *at is then behind the closing one. 1: they are taken, 0:
 * not understood, -1: no memory. */
static int read_labels(const char **at, struct ctl_trend *trend, struct qe_strbuf *value)
{
    const char *c = *at;

    while (*c != '}') {
        size_t length = strcspn(c, "=}\n");
        char **member = c[length] == '=' ? member_of(trend, c, length) : NULL;

        if (c[length] != '=' || c[length + 1] != '"') {
            return 0;
        }
        c += length + 2;
        if (read_value(&c, value) != 0) {
            return 0;
        }
        if (member != NULL && *member == NULL) {
            *member = qe_strdup(qe_strbuf_text(value));
            if (*member == NULL) {
                return -1;
            }
        }
        c += *c == ',' ? 1 : 0;
    }
    *at = c + 1;
    return trend->source != NULL && trend->queue != NULL ? 1 : 0;
}

static bool read_number(const char *at, double *out)
{
    char text[40] = "";
    struct qe_err ignored = {0};
    size_t length = 0;

    at += *at == ' ' ? 1 : 0;
    length = strcspn(at, " \n");
    if (length == 0 || length >= sizeof text) {
        return false;
    }
    memcpy(text, at, length);
    return qe_text_to_double(text, out, &ignored) == 0;
}

/* A line of the page. 1: it is taken, 0: not of interest or not understood, -1: no memory. */
static int read_line(const char *line, struct ctl_trend *trend, struct qe_strbuf *value)
{
    const enum family family = family_of(line);
    const char *at = family != FAMILY_NONE ? line + strlen(s_families[family]) : NULL;
    int rc = at != NULL ? read_labels(&at, trend, value) : 0;
    double number = 0;

    if (rc != 1) {
        return rc;
    }
    if (!read_number(at, &number)) {
        return 0;
    }
    trend->change_messages = family == FAMILY_CHANGE ? number : (double)NAN;
    trend->change_seconds = family == FAMILY_SPAN ? number : -1;
    return family != FAMILY_STATE || (trend->state != NULL && number == 1);
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

/* What several lines say of one queue, into its first item. */
static void merge(struct ctl_trends *trends)
{
    size_t kept = 0;

    if (trends->count == 0) {
        return;
    }
    qsort(trends->items, trends->count, sizeof trends->items[0], compare);
    for (size_t i = 1; i < trends->count; i++) {
        struct ctl_trend *into = &trends->items[kept];
        struct ctl_trend *one = &trends->items[i];

        if (compare(into, one) != 0) {
            trends->items[++kept] = *one;
            continue;
        }
        if (into->state == NULL) {
            into->state = one->state;
            one->state = NULL;
        }
        into->change_messages =
            isnan(into->change_messages) ? one->change_messages : into->change_messages;
        into->change_seconds =
            into->change_seconds < 0 ? one->change_seconds : into->change_seconds;
        deinit_one(one);
    }
    trends->count = kept + 1;
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

        taken = read_line(line, &trend, &value);
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
    merge(out);
    return taken >= 0 ? 0 : qe_err_set(err, QE_ERR_NOMEM, "the states of the queues");
}

int ctl_trends_take(struct ctl_trends *out, const char *url, const struct qe_http_reply *reply,
                    struct qe_err *err)
{
    char shown[QE_URL_SHOWN_BYTES];

    if (reply->err.code != QE_OK) {
        *err = reply->err;
        return -1;
    }
    if (reply->status != 200) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "%s answered %u: is that an exporter's page?",
                          qe_url_show(url, shown), reply->status);
    }
    if (strstr(qe_strbuf_text(&reply->body), "\nqueue_exporter_") == NULL) {
        return qe_err_set(err, QE_ERR_PROTOCOL,
                          "%s is no exporter's metrics page, which ends in /metrics",
                          qe_url_show(url, shown));
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

const struct ctl_trend *ctl_trends_find(const struct ctl_trends *trends, const char *source,
                                        const char *vhost, const char *queue)
{
    size_t from = 0;

    for (size_t to = trends->count; from < to;) {
        size_t middle = from + (to - from) / 2;
        int order = compare_to(&trends->items[middle], source, vhost, queue);

        if (order == 0) {
            return &trends->items[middle];
        }
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return NULL;
}

const char *ctl_trends_of(const struct ctl_trends *trends, const char *source, const char *vhost,
                          const char *queue)
{
    const struct ctl_trend *found = ctl_trends_find(trends, source, vhost, queue);

    return found != NULL ? found->state : NULL;
}
