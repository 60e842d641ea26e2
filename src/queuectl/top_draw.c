/* top: the screen. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "queuectl/top.h"
#include "util/columns.h"
#include "util/text.h"

#define CELL_BYTES 32
#define NAME_LEAST_COLUMNS 10
#define NAME_MOST_COLUMNS 60
#define LINE_MAX_BYTES 4096
#define SORTS_FIT_COLUMNS 120

#define CLEAR_LINE "\033[K"
#define PLAIN "\033[0m"
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define REVERSE "\033[7m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"

/* --- numbers for eyes: at most six characters --- */

/* "1.2M": of 10 or more of a unit, whole ones. */
static void put_large(char out[CELL_BYTES], double value)
{
    static const char units[] = "kMGT";
    size_t unit = 0;

    for (value /= 1e3; value >= 1e3 && units[unit + 1] != '\0'; value /= 1e3) {
        unit++;
    }
    (void)snprintf(out, CELL_BYTES, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

static void put_count(char out[CELL_BYTES], double value)
{
    if (value < 0) {
        (void)snprintf(out, CELL_BYTES, "-");
    } else if (value < 1e6) {
        (void)snprintf(out, CELL_BYTES, "%.0f", value);
    } else {
        put_large(out, value);
    }
}

static void put_rate(char out[CELL_BYTES], double value)
{
    if (value < 0) {
        (void)snprintf(out, CELL_BYTES, "-");
    } else if (value > 0 && value < 0.05) {
        (void)snprintf(out, CELL_BYTES, "<0.1");
    } else if (value < 1e5) {
        (void)snprintf(out, CELL_BYTES, value > 0 && value < 10 ? "%.1f" : "%.0f", value);
    } else {
        put_large(out, value);
    }
}

/* The two largest units: "45s", "3m20s", "23h59m", "12d4h". */
static void put_span(char out[CELL_BYTES], double seconds)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};

    if (seconds < 0) {
        (void)snprintf(out, CELL_BYTES, "-");
        return;
    }
    int64_t whole = seconds < 1e10 ? (int64_t)seconds : INT64_C(10000000000);

    for (size_t i = 0; i < 3; i++) {
        int64_t large = whole / units[i].seconds;
        int64_t small = whole % units[i].seconds / units[i + 1].seconds;

        if (large >= 100 || (large > 0 && small == 0)) {
            (void)snprintf(out, CELL_BYTES, "%" PRId64 "%c", large, units[i].unit);
            return;
        }
        if (large > 0) {
            (void)snprintf(out, CELL_BYTES, "%" PRId64 "%c%" PRId64 "%c", large, units[i].unit,
                           small, units[i + 1].unit);
            return;
        }
    }
    (void)snprintf(out, CELL_BYTES, "%" PRId64 "s", whole);
}

/* --- the columns --- */

static void cell_ready(const struct top_row *row, char out[CELL_BYTES])
{
    put_count(out, row->ready);
}
static void cell_in_flight(const struct top_row *row, char out[CELL_BYTES])
{
    put_count(out, row->in_flight);
}
static void cell_delayed(const struct top_row *row, char out[CELL_BYTES])
{
    put_count(out, row->delayed);
}
static void cell_in(const struct top_row *row, char out[CELL_BYTES])
{
    put_rate(out, row->in_per_second);
}
static void cell_out(const struct top_row *row, char out[CELL_BYTES])
{
    put_rate(out, row->out_per_second);
}
static void cell_age(const struct top_row *row, char out[CELL_BYTES])
{
    put_span(out, row->age_seconds);
}
static void cell_consumers(const struct top_row *row, char out[CELL_BYTES])
{
    put_count(out, row->consumers);
}
static void cell_dead_letters(const struct top_row *row, char out[CELL_BYTES])
{
    if (row->is_dead_letter_queue) {
        (void)snprintf(out, CELL_BYTES, "(dlq)"); /* what it holds stands before it */
    } else {
        put_count(out, row->dead_letters);
    }
}
static void cell_drain(const struct top_row *row, char out[CELL_BYTES])
{
    put_span(out, row->drain_seconds);
}
static void cell_expires(const struct top_row *row, char out[CELL_BYTES])
{
    put_span(out, row->expires_seconds);
}
static void cell_state(const struct top_row *row, char out[CELL_BYTES])
{
    if (row->is_read) {
        (void)snprintf(out, CELL_BYTES, "%s",
                       row->state != QE_BACKLOG_UNKNOWN ? qe_backlog_state_name(row->state) : "-");
    } else if (row->read_age_ms >= 0) {
        char span[CELL_BYTES];

        put_span(span, (double)row->read_age_ms / 1e3);
        (void)snprintf(out, CELL_BYTES, "stale %.20s", span);
    } else {
        (void)snprintf(out, CELL_BYTES, "not read");
    }
}

struct column {
    const char *head;
    int width;
    size_t shown_from;  /* columns of the screen */
    enum top_sort sort; /* TOP_SORT_COUNT: none sorts by it */
    void (*cell)(const struct top_row *row, char out[CELL_BYTES]);
};
static const struct column s_columns[] = {
    {"READY", 7, 0, TOP_SORT_DEPTH, cell_ready},
    {"IN FLT", 6, 60, TOP_SORT_DEPTH, cell_in_flight},
    {"DELAYED", 7, 120, TOP_SORT_DEPTH, cell_delayed},
    {"IN/s", 6, 70, TOP_SORT_IN, cell_in},
    {"OUT/s", 6, 70, TOP_SORT_OUT, cell_out},
    {"OLDEST", 6, 50, TOP_SORT_AGE, cell_age},
    {"CONS", 5, 120, TOP_SORT_COUNT, cell_consumers},
    {"DLQ", 6, 50, TOP_SORT_DEAD_LETTERS, cell_dead_letters},
    {"EMPTY IN", 8, 120, TOP_SORT_COUNT, cell_drain},
    {"EXPIRES", 8, 120, TOP_SORT_COUNT, cell_expires},
    {"STATE", -12, 0, TOP_SORT_STATE, cell_state},
};
#define COLUMNS_COUNT (sizeof s_columns / sizeof s_columns[0])

/* --- lines --- */

struct picture {
    struct qe_strbuf *out;
    const struct top_frame *frame;
    size_t line;    /* that is drawn now; from 0 */
    size_t sources; /* of the feed: with one, its name is left out */
    size_t name_columns;
};

static bool is_screen(const struct picture *picture)
{
    return picture->frame->lines > 0;
}

/* What changes the look, where that is wanted. */
static void put_look(const struct picture *picture, const char *look, bool is_colour)
{
    if (is_screen(picture) && (!is_colour || picture->frame->is_coloured)) {
        (void)qe_strbuf_append_text(picture->out, look);
    }
}

/* Cleared first: at the end it would take the last column of a full line with it. */
static void begin_line(const struct picture *picture, const char *look)
{
    put_look(picture, CLEAR_LINE, false);
    put_look(picture, look, false);
}

static void end_line(struct picture *picture)
{
    put_look(picture, PLAIN "\r", false);
    picture->line++;
    if (!is_screen(picture) || picture->line < picture->frame->lines) {
        (void)qe_strbuf_append_char(picture->out, '\n');
    }
}

/* A line of text that others may have written a part of; cut at the end of the screen. */
static void QE_PRINTF(3, 4)
    put_line(struct picture *picture, const char *look, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    struct qe_strbuf safe;
    size_t columns = 0;
    va_list arguments;

    va_start(arguments, fmt);
    (void)vsnprintf(text, sizeof text, fmt, arguments);
    va_end(arguments);
    qe_strbuf_init(&safe, sizeof text * 4);
    qe_columns_append(&safe, text, strlen(text));
    begin_line(picture, look);
    (void)qe_strbuf_append(
        picture->out, qe_strbuf_text(&safe),
        qe_columns_beginning(qe_strbuf_text(&safe),
                             is_screen(picture) ? picture->frame->columns : SIZE_MAX, &columns));
    end_line(picture);
    qe_strbuf_deinit(&safe);
}

/* The rest of the line begins in this column (from 0), however wide the terminal found what is
 * before. */
static void go_to_column(const struct picture *picture, size_t column, size_t drawn)
{
    if (is_screen(picture)) {
        (void)qe_strbuf_printf(picture->out, "\033[%zuG", column + 1);
        return;
    }
    for (; drawn < column; drawn++) {
        (void)qe_strbuf_append_char(picture->out, ' ');
    }
}

static bool is_shown(const struct picture *picture, size_t column)
{
    return !is_screen(picture) || picture->frame->columns >= s_columns[column].shown_from;
}

static size_t choose_name_columns(const struct picture *picture)
{
    size_t others = 1; /* the mark */

    for (size_t i = 0; i < COLUMNS_COUNT; i++) {
        if (is_shown(picture, i)) {
            others +=
                1 + (size_t)(s_columns[i].width > 0 ? s_columns[i].width : -s_columns[i].width);
        }
    }
    size_t left = picture->frame->columns > others ? picture->frame->columns - others : 0;

    left = left < NAME_LEAST_COLUMNS ? NAME_LEAST_COLUMNS : left;
    return left > NAME_MOST_COLUMNS || !is_screen(picture) ? NAME_MOST_COLUMNS : left;
}

/* --- the table --- */

/* "source/vhost/queue": the source where there are several, the vhost where it is not the default.
 */
static void append_label(struct qe_strbuf *out, const struct picture *picture,
                         const struct top_row *row)
{
    const char *source = row->source->settings->name;

    if (picture->sources > 1) {
        qe_columns_append(out, source, strlen(source));
        (void)qe_strbuf_append_char(out, '/');
    }
    ctl_append_label(out, row->queue, row->source->driver->default_vhost);
}

static const char *colour_of_state(const struct top_row *row)
{
    if (!row->is_read) {
        return YELLOW;
    }
    switch (row->state) {
    case QE_BACKLOG_STALLED:
    case QE_BACKLOG_NO_CONSUMERS:
        return RED;
    case QE_BACKLOG_GROWING:
        return YELLOW;
    case QE_BACKLOG_DRAINING:
        return GREEN;
    case QE_BACKLOG_IDLE:
        return DIM;
    case QE_BACKLOG_STEADY:
    case QE_BACKLOG_UNKNOWN:
    case QE_BACKLOG_STATE_COUNT:
        break;
    }
    return "";
}

static const char *colour_of(const struct top_row *row, size_t column)
{
    if (s_columns[column].cell == cell_state) {
        return colour_of_state(row);
    }
    if (s_columns[column].cell == cell_dead_letters && row->dead_letters > 0) {
        return RED;
    }
    return row->is_read ? "" : DIM;
}

static void draw_row(struct picture *picture, const struct top_row *row)
{
    struct qe_strbuf label;

    qe_strbuf_init(&label, LINE_MAX_BYTES);
    append_label(&label, picture, row);
    begin_line(picture, "");
    put_look(picture, row->is_problem ? BOLD RED : "", true);
    (void)qe_strbuf_append_char(picture->out, row->is_problem ? '!' : ' ');
    put_look(picture, PLAIN, true);
    put_look(picture, row->is_dead_letter_queue ? CYAN : "", true);
    size_t drawn =
        qe_columns_append_cut(picture->out, qe_strbuf_text(&label), picture->name_columns);

    qe_strbuf_deinit(&label);
    go_to_column(picture, 1 + picture->name_columns, 1 + drawn);
    for (size_t i = 0; i < COLUMNS_COUNT; i++) {
        char cell[CELL_BYTES];

        if (!is_shown(picture, i)) {
            continue;
        }
        s_columns[i].cell(row, cell);
        put_look(picture, PLAIN, true);
        put_look(picture, colour_of(row, i), true);
        (void)qe_strbuf_printf(picture->out, " %*s",
                               s_columns[i].width > 0 ? s_columns[i].width : 0, cell);
    }
    end_line(picture);
}

static void draw_heads(struct picture *picture, const struct top_view *view)
{
    begin_line(picture, REVERSE);
    (void)qe_strbuf_printf(picture->out, " %-*s", (int)picture->name_columns,
                           view->sort == TOP_SORT_NAME && is_screen(picture) ? "QUEUE*" : "QUEUE");
    for (size_t i = 0; i < COLUMNS_COUNT; i++) {
        const bool is_sorted = s_columns[i].sort == view->sort && is_screen(picture);

        if (!is_shown(picture, i)) {
            continue;
        }
        put_look(picture, is_sorted ? PLAIN BOLD REVERSE : PLAIN REVERSE, false);
        (void)qe_strbuf_printf(picture->out, " %*s",
                               s_columns[i].width > 0 || is_screen(picture) ? s_columns[i].width
                                                                            : 0,
                               s_columns[i].head);
    }
    end_line(picture);
}

/* --- what stands above it --- */

static void draw_summary(struct picture *picture, const struct top_feed *feed,
                         const struct top_rows *rows, const struct top_view *view)
{
    char filter[TOP_FILTER_BYTES + 16] = "";

    if (view->filter != NULL) {
        (void)snprintf(filter, sizeof filter, ", only /%s/", view->filter_text);
    }
    put_line(picture, BOLD, "%s  %zu source%s, %zu queue%s, %zu with a problem; by %s%s%s%s",
             picture->frame->time, feed->count, feed->count == 1 ? "" : "s", rows->queues,
             rows->queues == 1 ? "" : "s", rows->problems, top_sort_name(view->sort),
             view->is_reversed ? " reversed" : "", filter,
             view->only_problems ? ", only problems" : "");
}

/* Why a source is not as it should be; 0: it is. */
static bool draw_source(struct picture *picture, const struct top_source *source)
{
    const struct qe_snapshot *snapshot = source->snapshot;
    const char *name = source->settings->name;

    if (source->unreachable != NULL) {
        put_line(picture, "", "source %s: %s", name, source->unreachable);
    } else if (snapshot == NULL || !snapshot->status.polled) {
        put_line(picture, "", "source %s: is being read for the first time", name);
    } else if (snapshot->status.last_error.code != QE_OK) {
        put_line(picture, "", "source %s%s: %s", name, snapshot->status.up ? "" : " cannot be read",
                 snapshot->status.last_error.message);
    } else {
        return false;
    }
    return true;
}

static void draw_sources(struct picture *picture, const struct top_feed *feed)
{
    const size_t most = is_screen(picture) ? 1 + picture->frame->lines / 5 : SIZE_MAX;
    size_t drawn = 0;

    for (size_t i = 0; i < feed->count && drawn < most; i++) {
        drawn += draw_source(picture, &feed->sources[i]) ? 1 : 0;
    }
    if (feed->exporter_is_named && feed->exporter_error.code != QE_OK) {
        put_line(picture, "", "exporter: %s", feed->exporter_error.message);
    }
}

/* --- what stands below --- */

static void draw_keys(struct picture *picture, const struct top_rows *rows,
                      const struct top_view *view)
{
    const size_t last =
        view->first + view->page < rows->count ? view->first + view->page : rows->count;

    if (view->complaint[0] != '\0') {
        put_line(picture, REVERSE, "%s: %s", view->edited, view->complaint);
    } else if (view->is_editing) {
        put_line(picture, REVERSE, "only queues with (a regular expression): %s_", view->edited);
    } else {
        put_line(picture, REVERSE, "q quit  / filter  p problems  %s  r reverse  %zu-%zu of %zu",
                 picture->frame->columns < SORTS_FIT_COLUMNS
                     ? "sort: d a i o l s n"
                     : "sort: d depth, a age, i in, o out, l dlq, s state, n name",
                 rows->count > 0 ? view->first + 1 : 0, last, rows->count);
    }
}

void top_draw(struct qe_strbuf *out, const struct top_frame *frame, const struct top_feed *feed,
              const struct top_rows *rows, struct top_view *view)
{
    struct picture picture = {.out = out, .frame = frame, .sources = feed->count};

    picture.name_columns = choose_name_columns(&picture);
    put_look(&picture, "\033[H", false);
    draw_summary(&picture, feed, rows, view);
    draw_sources(&picture, feed);
    draw_heads(&picture, view);
    view->page = !is_screen(&picture)              ? rows->count
                 : frame->lines > picture.line + 1 ? frame->lines - picture.line - 1
                                                   : 0;
    const size_t last_first = rows->count > view->page ? rows->count - view->page : 0;

    view->first = view->first < last_first ? view->first : last_first;
    for (size_t i = view->first; i < rows->count && i < view->first + view->page; i++) {
        draw_row(&picture, &rows->items[i]);
    }
    if (!is_screen(&picture)) {
        return;
    }
    put_look(&picture, "\033[J", false);
    (void)qe_strbuf_printf(out, "\033[%zu;1H", frame->lines);
    picture.line = frame->lines - 1;
    draw_keys(&picture, rows, view);
}
