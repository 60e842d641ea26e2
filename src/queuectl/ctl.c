#include "queuectl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/drivers.h"
#include "app/links.h"
#include "util/clock.h"
#include "util/strbuf.h"
#include "util/text.h"

#define ERRORS_MAX_BYTES ((size_t)64 << 10)
#define SPAN_MAX_MS INT64_C(86400000) /* what is added to a clock must not overflow */
#define NAMES_MAX 1000                /* candidates for "did you mean" */
#define INTERVAL_MIN_MS 200
#define RATE_MIN 0.001
#define NAP_MS 5000
#define RATE_MAX 100000.0

volatile sig_atomic_t ctl_stopped = 0;
static const int s_stopping[] = {SIGINT, SIGTERM, SIGHUP};
static bool s_is_listening;

/* The second one ends the program as if nobody listened: what it waits for may never come. Of a
 * terminal that is gone several may come, which nobody sent to hurry. */
static void stop_on_signal(int signal_number)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};

    if (ctl_stopped != 0 && signal_number != SIGHUP) {
        (void)sigaction(signal_number, &usual, NULL);
        (void)raise(signal_number);
    }
    ctl_stopped = 1;
}

static void listen_for_signals(int flags)
{
    const struct sigaction action = {.sa_handler = stop_on_signal, .sa_flags = flags};

    for (size_t i = 0; s_is_listening && i < sizeof s_stopping / sizeof s_stopping[0]; i++) {
        struct sigaction before;

        (void)sigaction(s_stopping[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) { /* as nohup has it */
            (void)sigaction(s_stopping[i], &action, NULL);
        }
    }
}

void ctl_catch_signals(void)
{
    s_is_listening = true;
    listen_for_signals(0);
}

void ctl_hold_signals(void)
{
    if (ctl_stopped == 0) {
        listen_for_signals(SA_RESTART);
    }
}

void ctl_let_signals(void)
{
    if (ctl_stopped == 0) {
        listen_for_signals(0);
    }
}

/* In naps, between which the driver keeps its connections alive. */
void ctl_tend(const struct ctl *ctl)
{
    if (ctl->handle != NULL && ctl->driver->tend != NULL) {
        (void)ctl->driver->tend(ctl->handle);
    }
}

void ctl_sleep_until(const struct ctl *ctl, int64_t mono_ms)
{
    for (int64_t now = qe_clock_mono_ms(); ctl_stopped == 0 && now < mono_ms;
         now = qe_clock_mono_ms()) {
        const int64_t until = mono_ms - now < NAP_MS ? mono_ms : now + NAP_MS;
        const struct timespec at = {.tv_sec = until / 1000,
                                    .tv_nsec = (long)(until % 1000) * 1000000L};

        ctl_tend(ctl);
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL); /* or a signal's end */
    }
}

int64_t ctl_deadline(const struct ctl *ctl)
{
    return qe_clock_mono_ms() + ctl->options.timeout_ms;
}

bool ctl_load(struct ctl *ctl)
{
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, ERRORS_MAX_BYTES);
    ctl->generation = qe_generation_load(ctl->options.config_file, &errors);
    (void)fputs(qe_strbuf_text(&errors), stderr);
    qe_strbuf_deinit(&errors);
    return ctl->generation != NULL;
}

int ctl_no_such_source(const struct qe_config *config, const char *name, struct qe_err *err)
{
    const char *names[NAMES_MAX] = {NULL};
    size_t count = 0;

    for (size_t i = 0; i < config->sources_count && count < NAMES_MAX; i++) {
        names[count++] = config->sources[i].name;
    }
    const char *nearest = qe_text_nearest(name, names, count);
    if (nearest != NULL) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "no source \"%.60s\" in the configuration (did you mean \"%s\"?)", name,
                          nearest);
    }
    return qe_err_set(err, QE_ERR_INVALID,
                      "no source \"%.60s\" in the configuration: the first one there is \"%s\"",
                      name, count > 0 ? names[0] : "");
}

int ctl_open(struct ctl *ctl, const char *name, struct qe_err *err)
{
    const struct qe_config *config = ctl->generation->config;

    ctl->source = qe_config_source(config, name);
    if (ctl->source == NULL) {
        (void)ctl_no_such_source(config, name, err);
        return -1;
    }
    ctl->driver = qe_drivers_find(ctl->source->type_name);
    const char *why = ctl->driver->unreachable != NULL
                          ? ctl->driver->unreachable(ctl->source->driver_settings)
                          : NULL;
    if (why != NULL) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "source %s: %s", name, why);
    }
    struct qe_deps deps = {.source = ctl->source->name};
    if (ctl->driver->create(ctl->source->driver_settings, &deps, &ctl->handle, err) != 0) {
        return qe_err_wrap(err, "source %s", name);
    }
    return 0;
}

int ctl_require(const struct ctl *ctl, uint32_t cap, const char *what, struct qe_err *err)
{
    if ((ctl->driver->caps & cap) == cap) {
        return 0;
    }
    return qe_err_set(err, QE_ERR_UNSUPPORTED, "source %s: type %s cannot %s", ctl->source->name,
                      ctl->driver->name, what);
}

const char *ctl_vhost(const struct ctl *ctl)
{
    const char *otherwise = ctl->driver->default_vhost != NULL ? ctl->driver->default_vhost : "";

    return ctl->options.vhost != NULL ? ctl->options.vhost : otherwise;
}

static int ask_list(const struct ctl *ctl, struct qe_queue_list *out, struct qe_err *err)
{
    int rc = ctl->driver->list(ctl->handle, ctl_deadline(ctl), out, err);

    return rc != 0 ? rc : qe_links_add(ctl->generation->config, ctl->source->name, out, err);
}

int ctl_list(struct ctl *ctl, struct qe_queue_list *out, bool *out_listed, struct qe_err *err)
{
    struct qe_err why = {0};

    *out_listed = false;
    if (ctl->driver->list == NULL) {
        return 0;
    }
    if (ask_list(ctl, out, &why) == 0) {
        *out_listed = true;
        return 0;
    }
    /* Whoever may not list may still send and receive. */
    if (why.code == QE_ERR_AUTH || why.code == QE_ERR_UNSUPPORTED ||
        (ctl->driver->lists_elsewhere && why.code != QE_ERR_CANCELLED)) {
        return 0;
    }
    *err = why;
    return -1;
}

int ctl_find(const struct ctl *ctl, const struct qe_queue_list *list, bool is_listed,
             const char *name, struct qe_queue *out, struct qe_err *err)
{
    const char *vhost = ctl_vhost(ctl);

    if (!is_listed) {
        if (qe_queue_init(out, vhost, name, QE_KIND_EMBEDDED, err) != 0) {
            return -1;
        }
        qe_links_mark(ctl->source, out);
        return 0;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0 && strcmp(list->items[i].vhost, vhost) == 0) {
            if (qe_queue_copy(out, &list->items[i], err) != 0) {
                return -1;
            }
            qe_queue_drop_consumer_links(out);
            return 0;
        }
    }
    return ctl_no_such_queue(ctl, list, name, err);
}

int ctl_read(struct ctl *ctl, const char *name, struct qe_batch *out, struct qe_err *err)
{
    struct qe_queue_list list = {0};
    struct qe_queue_set *set = NULL;
    int rc = ctl->handle != NULL ? 0 : ctl_open(ctl, name, err);

    if (rc == 0) {
        rc = ctl_require(ctl, QE_CAP_LIST | QE_CAP_DEPTH, "say what its queues hold", err);
    }
    if (rc == 0) {
        rc = ask_list(ctl, &list, err);
    }
    if (rc == 0) {
        set = qe_queue_set_new_take(&list, err);
        rc = set != NULL ? qe_batch_init(out, set, err) : -1;
    }
    if (rc == 0) {
        out->default_vhost = ctl->driver->default_vhost;
        rc = ctl->driver->sample(ctl->handle, ctl_deadline(ctl), out, err);
    }
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
    return rc;
}

/* Without a list of all, where the driver can. 1: that is not how it is found, or it is not there:
 * the list knows names like it. */
static int find_alone(struct ctl *ctl, const char *name, struct qe_err *err)
{
    struct qe_err why = {0};

    if (ctl->driver->find == NULL || ctl->options.vhost != NULL) {
        return 1;
    }
    if (ctl->driver->find(ctl->handle, name, ctl_deadline(ctl), &ctl->queue, &why) == 0) {
        return 0;
    }
    if (why.code == QE_ERR_NOT_FOUND || why.code == QE_ERR_AUTH || why.code == QE_ERR_UNSUPPORTED) {
        return 1;
    }
    *err = why;
    return -1;
}

static int find_queue(struct ctl *ctl, const char *name, struct qe_err *err)
{
    struct qe_queue_list list = {0};
    bool is_listed = false;
    int rc = find_alone(ctl, name, err);

    if (rc <= 0) {
        return rc;
    }
    rc = ctl_list(ctl, &list, &is_listed, err);
    if (rc == 0) {
        rc = ctl_find(ctl, &list, is_listed, name, &ctl->queue, err);
    }
    qe_queue_list_deinit(&list);
    return rc;
}

int ctl_open_queue(struct ctl *ctl, char **operands, uint32_t cap, const char *what,
                   struct qe_err *err)
{
    if (ctl_open(ctl, operands[0], err) != 0 || ctl_require(ctl, cap, what, err) != 0) {
        return -1;
    }
    return find_queue(ctl, operands[1], err);
}

void ctl_close(struct ctl *ctl)
{
    if (ctl->handle != NULL) {
        ctl->driver->destroy(ctl->handle);
        ctl->handle = NULL;
    }
}

void ctl_deinit(struct ctl *ctl)
{
    ctl_close(ctl);
    qe_queue_deinit(&ctl->queue);
    qe_attributes_deinit(&ctl->options.attributes);
    qe_dlq_filter_deinit(&ctl->options.filter);
    qe_generation_release(ctl->generation);
}

int ctl_take_max_or_none(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return qe_text_to_u64(value, 100000, &options->max, err);
}

int ctl_take_max(void *context, const char *value, struct qe_err *err)
{
    const struct ctl_options *options = context;

    if (ctl_take_max_or_none(context, value, err) != 0) {
        return -1;
    }
    return options->max > 0 ? 0 : qe_err_set(err, QE_ERR_INVALID, "must be at least 1");
}

int ctl_take_span(const char *value, int64_t *out_ms, struct qe_err *err)
{
    int64_t span_ms = 0;

    if (qe_text_to_duration_ms(value, &span_ms, err) != 0) {
        return -1;
    }
    if (span_ms > SPAN_MAX_MS) {
        return qe_err_set(err, QE_ERR_INVALID, "must be at most 1d");
    }
    *out_ms = span_ms;
    return 0;
}

int ctl_take_interval(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    if (ctl_take_span(value, &options->interval_ms, err) != 0) {
        return -1;
    }
    return options->interval_ms >= INTERVAL_MIN_MS
               ? 0
               : qe_err_set(err, QE_ERR_INVALID, "must be at least 200ms");
}

int ctl_take_count_max(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return qe_text_to_u64(value, UINT64_C(1) << 53, &options->count_max, err);
}

int ctl_take_pair(const char *value, struct qe_attributes *out, struct qe_err *err)
{
    char name[256] = "";
    const char *equals = strchr(value, '=');

    if (equals == NULL || equals == value || (size_t)(equals - value) >= sizeof name) {
        return qe_err_set(err, QE_ERR_INVALID, "\"%.60s\" is not name=value", value);
    }
    memcpy(name, value, (size_t)(equals - value));
    return qe_attributes_add(out, name, equals + 1, err);
}

int ctl_take_rate(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    if (qe_text_to_double(value, &options->rate, err) != 0) {
        return -1;
    }
    if (options->rate < RATE_MIN || options->rate > RATE_MAX) {
        return qe_err_set(err, QE_ERR_INVALID, "must be from 0.001 to 100000 messages per second");
    }
    return 0;
}

int ctl_confirm(const struct ctl *ctl, const char *question, struct qe_err *err)
{
    char answer[16] = "";

    if (ctl->options.yes) {
        return 0;
    }
    if (isatty(STDIN_FILENO) == 0) {
        return qe_err_set(err, QE_ERR_INVALID, "%s Say --yes, or run it on a terminal.", question);
    }
    (void)fflush(stdout);
    (void)ctl_write_safely(stderr, question, strlen(question));
    (void)fputs(" [y/N] ", stderr);
    if (fgets(answer, (int)sizeof answer, stdin) != NULL &&
        (qe_text_equal_nocase(answer, "y\n") || qe_text_equal_nocase(answer, "yes\n"))) {
        return 0;
    }
    return qe_err_set(err, QE_ERR_CANCELLED, "not done, as you wish");
}

int ctl_take_timeout(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;

    return ctl_take_span(value, &options->timeout_ms, err);
}
