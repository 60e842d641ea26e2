/* Any bytes as an exporter's page, as queuectl dlq list and top read it: no crash, what is read is
 * in order and found again. And any bytes as the names of a queue: what our own exporter writes of
 * it is read back, whatever page stands around it. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/line_internal.h"
#include "queuectl/trend.h"
#include "util/mem.h"
#include "util/text.h"

#define NAME_MAX_BYTES 255 /* RabbitMQ's; other brokers allow less */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static int order_of(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "");
}

static void check_items(const struct ctl_trends *trends)
{
    for (size_t i = 0; i < trends->count; i++) {
        const struct ctl_trend *one = &trends->items[i];
        const struct ctl_trend *next = i + 1 < trends->count ? one + 1 : NULL;
        const char *vhost = one->vhost != NULL ? one->vhost : "";

        require(one->source != NULL && one->queue != NULL, "a queue has a name");
        require(ctl_trends_find(trends, one->source, vhost, one->queue) == one, "it is found");
        require(isnan(one->change_messages) || isfinite(one->change_messages), "a change is one");
        require(isfinite(one->change_seconds), "a time is one");
        if (next != NULL) {
            int order = order_of(one->source, next->source);

            order = order != 0 ? order : order_of(one->vhost, next->vhost);
            order = order != 0 ? order : order_of(one->queue, next->queue);
            require(order < 0, "each queue stands there once, in order");
        }
    }
}

/* Takes what is in front of the next line's end, cut to what is a name. */
static char *take_name(const char **at, const char *end)
{
    const size_t left = (size_t)(end - *at);
    const char *line_end = memchr(*at, '\n', left);
    const size_t bytes = line_end != NULL ? (size_t)(line_end - *at) : left;
    char *name = qe_memdup(*at, qe_text_cut(*at, bytes, NAME_MAX_BYTES));

    require(name != NULL, "memory");
    *at += line_end != NULL ? bytes + 1 : bytes;
    return name;
}

/* Not UTF-8, it is on the page by another name. */
static bool is_name(const char *name)
{
    return *name != '\0' && qe_text_is_utf8(name, strlen(name));
}

static void append_own(struct qe_strbuf *page, const char *const names[3])
{
    struct qe_strbuf labels = {0};

    qe_label_queue(&labels, names[0], names[1], names[2]);
    qe_line_double(page, QE_FAMILY_DEAD_LETTER_CHANGE, qe_strbuf_text(&labels), -2);
    qe_line_double(page, QE_FAMILY_DEAD_LETTER_CHANGE_SPAN, qe_strbuf_text(&labels), 300);
    qe_label_add(&labels, "state", "growing");
    qe_line_u64(page, QE_FAMILY_STATE, qe_strbuf_text(&labels), 1);
    require(page->failed == QE_OK && labels.failed == QE_OK, "memory");
    qe_strbuf_deinit(&labels);
}

/* First on the page, in front of what may be of the same queue. */
static void check_own(const char *const names[3], const char *rest)
{
    struct ctl_trends trends = {0};
    struct qe_strbuf page = {0};
    struct qe_err err = {0};

    append_own(&page, names);
    require(ctl_trends_read(&trends, qe_strbuf_text(&page), &err) == 0 && trends.count == 1,
            "it is one queue");
    const struct ctl_trend *found = ctl_trends_find(&trends, names[0], names[1], names[2]);

    require(found != NULL, "it is that queue");
    require(found->change_messages == -2 && found->change_seconds == 300, "its change");
    require(found->state != NULL && strcmp(found->state, "growing") == 0, "its state");
    ctl_trends_deinit(&trends);
    (void)qe_strbuf_append_text(&page, rest);
    require(ctl_trends_read(&trends, qe_strbuf_text(&page), &err) == 0, "a page can be read");
    check_items(&trends);
    require(ctl_trends_find(&trends, names[0], names[1], names[2]) != NULL, "it is still there");
    ctl_trends_deinit(&trends);
    qe_strbuf_deinit(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *page = qe_memdup(data, size); /* ended by a NUL, as a reply's body is */
    struct ctl_trends trends = {0};
    struct qe_err err = {0};

    require(page != NULL, "memory");
    require(ctl_trends_read(&trends, page, &err) == 0, "a page can be read");
    check_items(&trends);
    ctl_trends_deinit(&trends);

    const char *at = page;
    char *source = take_name(&at, page + size);
    char *vhost = take_name(&at, page + size);
    char *queue = take_name(&at, page + size);

    if (is_name(source) && is_name(queue) && (*vhost == '\0' || is_name(vhost))) {
        check_own((const char *const[3]){source, vhost, queue}, at);
    }
    qe_free(source);
    qe_free(vhost);
    qe_free(queue);
    qe_free(page);
    return 0;
}
