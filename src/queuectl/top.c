/* queuectl top: all queues, over and over, on the whole screen; or as plain tables. */
#include "queuectl/top.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"
#include "util/text.h"

#define TICK_MS 250    /* how late a new reading may be seen */
#define REDRAW_MS 1000 /* without news: the time goes on, and readings grow old */
#define FIRST_READING_SLACK_MS 3000
#define SCREEN_MAX_BYTES ((size_t)64 << 20)

static int take_sort(void *context, const char *value, struct qe_err *err)
{
    struct ctl_options *options = context;
    const char *names[TOP_SORT_COUNT];

    for (size_t i = 0; i < TOP_SORT_COUNT; i++) {
        names[i] = top_sort_name((enum top_sort)i);
        if (strcmp(value, names[i]) == 0) {
            options->sort = value;
            return 0;
        }
    }
    const char *nearest = qe_text_nearest(value, names, TOP_SORT_COUNT);

    return qe_err_set(err, QE_ERR_INVALID,
                      "\"%.40s\" is none of depth, age, in, out, dlq, state, name%s%s%s", value,
                      nearest != NULL ? " (did you mean \"" : "", nearest != NULL ? nearest : "",
                      nearest != NULL ? "\"?)" : "");
}

static const struct qe_cli_flag s_flags[] = {
    {"sort", "KEY", "depth, age, in, out, dlq, state or name", "depth", .take = take_sort},
    {"filter", "REGEX", "only queues in whose name this is found, in any case", NULL,
     CTL_AT(match)},
    {"problems", NULL,
     "only what grows, stalls, has no consumers, is older than its objective, cannot be read or "
     "has dead letters",
     CTL_AT(problems)},
    {"interval", "DURATION",
     "how often the queues are read; where that costs money, at most every poll_interval", "2s",
     .take = ctl_take_interval},
    {"once", NULL, "read them once, print the table, and exit", CTL_AT(once)},
    {"exporter", "URL", "the metrics page of the running exporter, which knows the states at once",
     CTL_EXPORTER_URL, CTL_AT(exporter)},
};

struct top {
    struct ctl *ctl;
    struct top_feed feed;
    struct top_rows rows;
    struct top_view view;
    struct qe_strbuf screen;
};

static int make_rows(struct top *top, struct qe_err *err)
{
    return top_rows_make(&top->rows, &top->feed, &top->view, qe_clock_mono_ms(), err);
}

static const char *time_of_day(char out[16])
{
    time_t now = (time_t)(qe_clock_unix_ms() / 1000);
    struct tm local = {0};

    if (localtime_r(&now, &local) == NULL || strftime(out, 16, "%H:%M:%S", &local) == 0) {
        (void)snprintf(out, 16, "-");
    }
    return out;
}

/* --- without a screen --- */

static int print_table(struct top *top, struct qe_err *err)
{
    char now[16];
    const struct top_frame frame = {.time = time_of_day(now)};

    if (make_rows(top, err) != 0) {
        return -1;
    }
    top_feed_ask_now(&top->feed);
    if (make_rows(top, err) != 0) {
        return -1;
    }
    qe_strbuf_reset(&top->screen);
    top_draw(&top->screen, &frame, &top->feed, &top->rows, &top->view);
    if (qe_strbuf_error(&top->screen, err) != 0) {
        return -1;
    }
    (void)fputs(qe_strbuf_text(&top->screen), stdout);
    return ctl_flush(err);
}

/* Until every source was read, or had the time for it. */
static int wait_for_readings(struct top *top, struct qe_err *err)
{
    int64_t deadline_mono_ms = qe_clock_mono_ms() + FIRST_READING_SLACK_MS;
    bool changed = false;

    for (size_t i = 0; i < top->feed.count; i++) {
        int64_t own = qe_clock_mono_ms() + FIRST_READING_SLACK_MS +
                      top->feed.sources[i].settings->poll.poll_timeout_ms;

        deadline_mono_ms = own > deadline_mono_ms ? own : deadline_mono_ms;
    }
    while (ctl_stopped == 0 && !top_feed_is_complete(&top->feed) &&
           qe_clock_mono_ms() < deadline_mono_ms) {
        ctl_terminal_pause(qe_clock_mono_ms() + TICK_MS / 10);
        if (top_feed_update(&top->feed, &changed, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static enum qe_exit run_plain(struct top *top, struct qe_err *err)
{
    bool changed = false;
    int rc = wait_for_readings(top, err);

    while (rc == 0 && ctl_stopped == 0) {
        rc = print_table(top, err);
        if (rc != 0 || top->ctl->options.once) {
            break;
        }
        (void)putchar('\n');
        ctl_terminal_pause(qe_clock_mono_ms() + top->ctl->options.interval_ms);
        rc = top_feed_update(&top->feed, &changed, err);
    }
    if (rc != 0) {
        return QE_EXIT_FAILURE;
    }
    return top->ctl->options.once && top_feed_has_failed(&top->feed) ? QE_EXIT_FAILURE : QE_EXIT_OK;
}

/* --- on a screen --- */

static int draw(struct top *top, struct qe_err *err)
{
    char now[16];
    struct top_frame frame = {.time = time_of_day(now), .is_coloured = ctl_terminal_has_colours()};

    ctl_terminal_size(&frame.columns, &frame.lines);
    qe_strbuf_reset(&top->screen);
    top_draw(&top->screen, &frame, &top->feed, &top->rows, &top->view);
    if (qe_strbuf_error(&top->screen, err) != 0) {
        return -1;
    }
    return ctl_terminal_write(qe_strbuf_text(&top->screen), top->screen.length_bytes, err);
}

/* Waits for news: a key, a reading, a signal, a second gone by. False: it is to end. */
static bool wait_for_news(struct top *top, int64_t redraw_mono_ms, bool *out_rows,
                          struct qe_err *err)
{
    struct ctl_key_press press;
    bool quit = false;
    bool redraw = false;
    bool changed = false;

    while (!redraw && !*out_rows && !quit && qe_clock_mono_ms() < redraw_mono_ms) {
        int64_t tick_mono_ms = qe_clock_mono_ms() + TICK_MS;
        int rc = ctl_terminal_wait(tick_mono_ms < redraw_mono_ms ? tick_mono_ms : redraw_mono_ms,
                                   &press, &redraw);

        if (rc < 0 || ctl_stopped != 0 || top_feed_update(&top->feed, &changed, err) != 0) {
            return false;
        }
        if (rc > 0) {
            *out_rows = top_view_take_key(&top->view, &press, &quit);
        }
        *out_rows = *out_rows || changed;
    }
    return !quit;
}

static enum qe_exit run_screen(struct top *top, struct qe_err *err)
{
    bool rows = true;
    int rc = ctl_terminal_enter(err);

    while (rc == 0) {
        rc = rows ? make_rows(top, err) : 0;
        rc = rc == 0 ? draw(top, err) : rc;
        rows = false;
        if (rc == 0 && !wait_for_news(top, qe_clock_mono_ms() + REDRAW_MS, &rows, err)) {
            break;
        }
    }
    ctl_terminal_leave();
    return err->code == QE_OK ? QE_EXIT_OK : QE_EXIT_FAILURE;
}

/* --- the command --- */

static int begin(struct top *top, const char *only, struct qe_err *err)
{
    const struct ctl_options *options = &top->ctl->options;

    qe_strbuf_init(&top->screen, SCREEN_MAX_BYTES);
    for (size_t i = 0; i < TOP_SORT_COUNT && options->sort != NULL; i++) {
        if (strcmp(options->sort, top_sort_name((enum top_sort)i)) == 0) {
            top->view.sort = (enum top_sort)i;
        }
    }
    top->view.only_problems = options->problems;
    if (options->match != NULL && top_view_set_filter(&top->view, options->match, err) != 0) {
        return qe_err_wrap(err, "--filter");
    }
    return top_feed_init(&top->feed, top->ctl, only, err);
}

static enum qe_exit run(struct ctl *ctl, char **operands, size_t count, struct qe_err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct top top = {.ctl = ctl};
    enum qe_exit code = QE_EXIT_FAILURE;

    /* What a poller would log is on the screen, where it lasts as long as it is true. */
    qe_log_setup(QE_LOG_LEVEL_COUNT, QE_LOG_LOGFMT);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    ctl_catch_signals();
    ctl_terminal_block_signals();
    if (begin(&top, count == 1 ? operands[0] : NULL, err) == 0) {
        code = !ctl->options.once && ctl_terminal_is_there() ? run_screen(&top, err)
                                                             : run_plain(&top, err);
    }
    top_feed_deinit(&top.feed);
    top_rows_deinit(&top.rows);
    top_view_deinit(&top.view);
    qe_strbuf_deinit(&top.screen);
    return code;
}

const struct ctl_command ctl_top = {
    .name = "top",
    .operands = "[SOURCE]",
    .summary = "all queues on the screen, as they change: depth, rates, age, dead letters, state",
    .flags = s_flags,
    .flags_count = sizeof s_flags / sizeof s_flags[0],
    .operands_min = 0,
    .operands_max = 1,
    .run = run,
};
