/* queuectl: what its commands share. Generic over the driver interface; one thread. */
#ifndef QE_QUEUECTL_CTL_H
#define QE_QUEUECTL_CTL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "app/cli.h"
#include "app/generation.h"
#include "backend/backend.h"
#include "dlq/filter.h"
#include "model/batch.h"
#include "model/message.h"
#include "util/err.h"
#include "util/json.h"
#include "util/strbuf.h"

#define CTL_CANARY_MAX 1000

/* Every option of every command; each command's flag table says which it takes. Text is borrowed
 * from argv. */
struct ctl_options {
    const char *config_file;
    const char *vhost;
    int64_t timeout_ms; /* for each call to the broker */
    bool json;
    bool help;
    bool version;
    /* send */
    const char *body;
    const char *file;
    int64_t delay_ms; /* -1: the queue's own */
    struct qe_attributes attributes;
    uint64_t count;
    double rate; /* messages per second; 0: as fast as it goes */
    const char *group;
    const char *deduplication_id;
    /* receive, peek */
    uint64_t max;
    int64_t wait_ms;
    bool ack;
    /* stats, top */
    bool watch;
    int64_t interval_ms;
    bool once;
    const char *sort; /* as top's table has it; NULL: by depth */
    const char *match;
    bool problems;
    /* purge, redrive */
    bool yes;
    /* redrive */
    const char *to;
    uint64_t redrive_max; /* 0: all */
    bool status;
    bool cancel;
    /* dlq */
    const char *exporter; /* the daemon's metrics page; NULL: where it is unless told otherwise */
    struct qe_dlq_filter filter; /* owned */
    uint64_t look;               /* messages to look at; 0: not said */
    bool full;                   /* bodies as they are */
    bool dry_run;
    uint64_t canary; /* messages to try it on; 0: none */
    int64_t canary_wait_ms;
    uint64_t skip; /* lines that are in already */
    /* topics, request and reply */
    const char *key;
    const char *exec;
    uint64_t count_max; /* messages to take; 0: until stopped */
};

struct ctl {
    struct ctl_options options;
    struct qe_generation *generation;        /* owned; NULL until ctl_load */
    const struct qe_source_settings *source; /* borrowed from generation */
    const struct qe_driver *driver;
    void *handle;          /* owned; NULL until ctl_open */
    struct qe_queue queue; /* as the driver lists it; empty until ctl_open_queue */
};

struct ctl_command {
    const char *name;     /* one word, or two: "dlq list" */
    const char *operands; /* for the usage line */
    const char *summary;
    const struct qe_cli_flag *flags; /* context: struct ctl_options */
    size_t flags_count;
    size_t operands_min;
    size_t operands_max;
    bool without_config; /* ctl->generation stays NULL */
    enum qe_exit (*run)(struct ctl *ctl, char **operands, size_t count, struct qe_err *err);
};

extern const struct ctl_command ctl_send;
extern const struct ctl_command ctl_receive;
extern const struct ctl_command ctl_peek;
extern const struct ctl_command ctl_stats;
extern const struct ctl_command ctl_top;
extern const struct ctl_command ctl_purge;
extern const struct ctl_command ctl_dlq_list;
extern const struct ctl_command ctl_dlq_inspect;
extern const struct ctl_command ctl_dlq_redrive;
extern const struct ctl_command ctl_dlq_export;
extern const struct ctl_command ctl_dlq_import;
extern const struct ctl_command ctl_dlq_purge;
extern const struct ctl_command ctl_publish;
extern const struct ctl_command ctl_subscribe;
extern const struct ctl_command ctl_request;
extern const struct ctl_command ctl_reply;
extern const struct ctl_command ctl_completion;
extern const struct ctl_command ctl_man;

/* Loads the configuration; its errors go to stderr, a line each. False: exit with QE_EXIT_USAGE. */
bool ctl_load(struct ctl *ctl) QE_MUST_CHECK;
/* Says that the configuration has no source `name`, and which may have been meant. Returns -1. */
int ctl_no_such_source(const struct qe_config *config, const char *name, struct qe_err *err);
/* Opens source `name`. QE_ERR_INVALID when there is none of that name. */
int ctl_open(struct ctl *ctl, const char *name, struct qe_err *err) QE_MUST_CHECK;
/* Refuses, with the source's type in the message, what the driver cannot do. */
int ctl_require(const struct ctl *ctl, uint32_t cap, const char *what,
                struct qe_err *err) QE_MUST_CHECK;
/* What the source lists. *out_listed false: it lists nothing, or not to us, and queues go by their
 * names. */
int ctl_list(struct ctl *ctl, struct qe_queue_list *out, bool *out_listed,
             struct qe_err *err) QE_MUST_CHECK;
/* The --vhost, or what the driver has for queues without one; borrowed. After ctl_open(). */
const char *ctl_vhost(const struct ctl *ctl);
/* Fills *out with queue `name`, as it is listed, or by its name only where nothing is. */
int ctl_find(const struct ctl *ctl, const struct qe_queue_list *list, bool is_listed,
             const char *name, struct qe_queue *out, struct qe_err *err) QE_MUST_CHECK;
/* Says that there is no queue `name`, and which, or in which vhost, may have been meant. Returns
 * -1.
 */
int ctl_no_such_queue(const struct ctl *ctl, const struct qe_queue_list *list, const char *name,
                      struct qe_err *err);
/* A queue in a line of text, safe for a terminal: "vhost/queue", or its name in the default vhost.
 */
void ctl_append_label(struct qe_strbuf *out, const struct qe_queue *queue,
                      const char *default_vhost);
#define CTL_LABEL_BYTES 2560
/* Returns `out`. After ctl_open(). */
const char *ctl_label(const struct ctl *ctl, const struct qe_queue *queue,
                      char out[CTL_LABEL_BYTES]);
/* Opens the source, requires the capability and finds the queue: how every command on one queue
 * begins. */
int ctl_open_queue(struct ctl *ctl, char **operands, uint32_t cap, const char *what,
                   struct qe_err *err) QE_MUST_CHECK;
/* Opens source `name`, unless it is open, lists it and reads every queue. *out is the caller's, to
 * deinit also on failure. */
int ctl_read(struct ctl *ctl, const char *name, struct qe_batch *out,
             struct qe_err *err) QE_MUST_CHECK;
/* The error on stderr, as "queuectl COMMAND: ...". */
void ctl_complain(const char *command, const struct qe_err *err);
void ctl_close(struct ctl *ctl); /* closes the handle; open again is fine */
void ctl_deinit(struct ctl *ctl);
int64_t ctl_deadline(const struct ctl *ctl); /* now + timeout, CLOCK_MONOTONIC ms */

/* Ends loops: set by SIGINT, SIGTERM and SIGHUP once ctl_catch_signals() ran; a second one ends the
 * program. */
extern volatile sig_atomic_t ctl_stopped;
void ctl_catch_signals(void);
/* Between the two the first signal does not tear what is written to a reader that takes its time.
 */
void ctl_hold_signals(void);
void ctl_let_signals(void);
/* Deletes all of ctl->queue and says so. */
int ctl_purge_queue(struct ctl *ctl, struct qe_err *err) QE_MUST_CHECK;
/* --yes, or a terminal's answer. QE_ERR_INVALID: neither. */
int ctl_confirm(const struct ctl *ctl, const char *question, struct qe_err *err) QE_MUST_CHECK;
/* Lets the driver do what it has to do in time, where there is one open. */
void ctl_tend(const struct ctl *ctl);
/* Sleeps until then or until stopped; what the driver has to do in time is done meanwhile. */
void ctl_sleep_until(const struct ctl *ctl, int64_t mono_ms);

/* A flag whose value goes into struct ctl_options as it is. */
#define CTL_AT(member) .offset = offsetof(struct ctl_options, member)

/* Flags that several commands take. */
int ctl_take_max_or_none(void *context, const char *value, struct qe_err *err); /* 0 is fine */
int ctl_take_max(void *context, const char *value, struct qe_err *err);
int ctl_take_span(const char *value, int64_t *out_ms, struct qe_err *err); /* at most a day */
int ctl_take_pair(const char *value, struct qe_attributes *out, struct qe_err *err); /* k=v */
int ctl_take_timeout(void *context, const char *value, struct qe_err *err);
int ctl_take_interval(void *context, const char *value, struct qe_err *err);
int ctl_take_rate(void *context, const char *value, struct qe_err *err);
#define CTL_FLAG_JSON                                                                              \
    {                                                                                              \
        "json", NULL, "one JSON object per line", CTL_AT(json)                                     \
    }
#define CTL_FLAG_MAX                                                                               \
    {                                                                                              \
        "max", "N", "at most so many messages", "10", .take = ctl_take_max                         \
    }
#define CTL_FLAG_VHOST                                                                             \
    {                                                                                              \
        "vhost", "NAME", "the queue's virtual host, where there are any", CTL_AT(vhost)            \
    }
#define CTL_FLAG_TIMEOUT                                                                           \
    {                                                                                              \
        "timeout", "DURATION", "for each call to the broker", "10s", .take = ctl_take_timeout      \
    }

/* The one message that --body, --file or "-" gives. QE_ERR_INVALID: none of them, or two. */
int ctl_read_body(const struct ctl_options *options, bool from_stdin, struct qe_strbuf *body,
                  struct qe_err *err) QE_MUST_CHECK;
int ctl_take_attribute(void *context, const char *value, struct qe_err *err);
/* A wait for messages, --wait. */
int ctl_take_wait(void *context, const char *value, struct qe_err *err);
/* --max of commands that go on until they are stopped. */
int ctl_take_count_max(void *context, const char *value, struct qe_err *err);
/* Settles one message of ctl->queue; a release that is `unhandled` leaves no trace where it can,
 * and another comes again after a pause.
 * -1: the broker did not take it, and it comes back. */
int ctl_settle_one(struct ctl *ctl, const struct qe_queue *queue, const struct qe_message *message,
                   enum qe_settle_verb verb, bool unhandled, struct qe_err *err) QE_MUST_CHECK;

/* One message to stdout, for people or as one JSON object per line. */
int ctl_print_message(const struct qe_message *message, bool json,
                      struct qe_err *err) QE_MUST_CHECK;
/* What others wrote must not drive the terminal: what qe_columns_next() calls unsafe is shown as
 * \x1b, not sent; line ends and tabs pass. `out` NULL: writes nothing. Returns the columns. */
size_t ctl_write_safely(FILE *out, const char *text, size_t count);
/* The same for what is to stay in its line and its column: line ends and tabs are shown too. */
size_t ctl_write_name(FILE *out, const char *name);
size_t ctl_columns(const char *name); /* as ctl_write_name() would show it */
/* The name, and blanks up to `width` columns. */
void ctl_put_padded(const char *name, size_t width);
/* All that was printed, where the reader can get it. -1 also for what failed earlier: a buffer that
 * could not be written is gone, and the next flush of an empty one succeeds. */
int ctl_flush(struct qe_err *err) QE_MUST_CHECK;

#endif
