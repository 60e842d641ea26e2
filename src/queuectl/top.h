/* What the files of `top` share. One thread, but for the pollers that its feed starts. */
#ifndef QE_QUEUECTL_TOP_H
#define QE_QUEUECTL_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/rate.h"
#include "model/store.h"
#include "net/http_client.h"
#include "poll/poller.h"
#include "queuectl/ctl.h"
#include "queuectl/terminal.h"
#include "queuectl/trend.h"
#include "util/regex.h"
#include "util/strbuf.h"

/* --- where the numbers come from --- */

struct top_source {
    const struct qe_source_settings *settings; /* borrowed from the configuration */
    const struct qe_driver *driver;
    int64_t interval_ms;
    const char *unreachable;      /* static: why it cannot be watched from here; NULL: it can */
    struct qe_slot *slot;         /* borrowed from the store */
    struct qe_poller *poller;     /* owned; NULL: unreachable */
    struct qe_snapshot *snapshot; /* acquired; NULL until the first look */
    struct qe_rate *rates;        /* owned; parallel to snapshot->set->items */
};

/* A poller per source, as in the daemon: a slow or failing source holds up nobody, and what is
 * known of it goes stale. Where reading costs money it is read as often as its configuration says;
 * other sources as often as it is looked at. Verdicts need a full window of readings; until then
 * those of a running exporter are taken, if one answers. */
struct top_feed {
    struct qe_stats *stats;     /* owned */
    struct qe_store *store;     /* owned */
    struct top_source *sources; /* owned */
    size_t count;
    struct qe_http_client *client; /* owned */
    const char *exporter;          /* its page */
    bool exporter_is_named;        /* by the user, who wants to hear that it does not answer */
    struct ctl_trends trends;      /* what it said last */
    struct qe_err exporter_error;  /* QE_OK: it answers */
    int64_t next_ask_mono_ms;
    bool has_unknown; /* of some queue the own verdict is not known yet */
};
/* Starts to read all sources of the configuration, or `only`. *out is the caller's, to deinit also
 * on failure. */
int top_feed_init(struct top_feed *out, const struct ctl *ctl, const char *only,
                  struct qe_err *err) QE_MUST_CHECK;
void top_feed_deinit(struct top_feed *feed);
/* Takes in what was read since; *out_changed says whether anything was. Does not wait. */
int top_feed_update(struct top_feed *feed, bool *out_changed, struct qe_err *err) QE_MUST_CHECK;
/* Every source has been read once, or could not be. */
bool top_feed_is_complete(const struct top_feed *feed);
/* Some source cannot be read. */
bool top_feed_has_failed(const struct top_feed *feed);
/* Asks the running exporter, and waits for its answer. */
void top_feed_ask_now(struct top_feed *feed);

/* --- one queue --- */

/* Numbers that are not known are below 0. */
struct top_row {
    const struct top_source *source;
    const struct qe_queue *queue; /* borrowed from the source's snapshot */
    double ready, in_flight, delayed, consumers, age_seconds;
    double in_per_second, out_per_second;
    double dead_letters; /* what waits where it dead-letters to; of a DLQ: what it holds */
    double drain_seconds, expires_seconds;
    enum qe_backlog_state state;
    bool is_dead_letter_queue;
    bool is_read;        /* its last reading was a good one */
    int64_t read_age_ms; /* of what is shown; < 0: nothing is */
    bool is_problem;
};

enum top_sort {
    TOP_SORT_DEPTH = 0,
    TOP_SORT_AGE,
    TOP_SORT_IN,
    TOP_SORT_OUT,
    TOP_SORT_DEAD_LETTERS,
    TOP_SORT_STATE,
    TOP_SORT_NAME,
    TOP_SORT_COUNT
};
/* The word of --sort, and the key. */
const char *top_sort_name(enum top_sort sort);
char top_sort_key(enum top_sort sort);

#define TOP_FILTER_BYTES 128

struct top_view {
    enum top_sort sort;
    bool is_reversed;
    bool only_problems;
    struct qe_regex *filter; /* owned; NULL: all */
    char filter_text[TOP_FILTER_BYTES];
    bool is_editing;
    char edited[TOP_FILTER_BYTES];
    char complaint[160]; /* what is wrong with what was typed; "" nothing */
    size_t first;        /* row on top of the screen */
    size_t page;         /* rows that fit: set by top_draw() */
};
int top_view_set_filter(struct top_view *view, const char *text, struct qe_err *err) QE_MUST_CHECK;
/* True: it is another view now. `press` may end the program: *out_quit. */
bool top_view_take_key(struct top_view *view, const struct ctl_key_press *press, bool *out_quit);
void top_view_deinit(struct top_view *view);

struct top_rows {
    struct top_row *items; /* owned; sorted; what the view shows */
    size_t count;
    size_t capacity;
    size_t queues;   /* before filters */
    size_t problems; /* of all queues */
};
/* Rows of the newest snapshots. They borrow from the feed, and are good until it is updated. */
int top_rows_make(struct top_rows *rows, struct top_feed *feed, const struct top_view *view,
                  int64_t now_mono_ms, struct qe_err *err) QE_MUST_CHECK;
void top_rows_deinit(struct top_rows *rows);

/* --- the picture --- */

struct top_frame {
    size_t columns;
    size_t lines; /* 0: as many as it takes, and no escape sequences */
    bool is_coloured;
    const char *time;
};
/* Appends one screen, or the table for whatever is no screen. Moves view->first to where it shows
 * something. */
void top_draw(struct qe_strbuf *out, const struct top_frame *frame, const struct top_feed *feed,
              const struct top_rows *rows, struct top_view *view);

#endif
