/* What the files of this driver share. One handle is used by one thread, but for interrupt().
 *
 *   discovery  list.c endpoint.c, definition.c policy.c topology.c reach.c dead_letter.c (pure)
 *   polls      sample.c merge.c, reading.c family.c told.c history.c pace.c (pure)
 *   working    work.h; amqp_internal.h says what is where
 *   all        rabbitmq.c (create, destroy, the vtable), settings.c, request.c, record.c, nodes.c
 */
#ifndef QE_BACKEND_RABBITMQ_INTERNAL_H
#define QE_BACKEND_RABBITMQ_INTERNAL_H

#include <stdatomic.h>

#include "backend/rabbitmq/nodes.h"
#include "backend/rabbitmq/pace.h"
#include "backend/rabbitmq/rabbitmq.h"
#include "backend/rabbitmq/record.h"
#include "backend/rabbitmq/told.h"
#include "backend/rabbitmq/work.h"
#include "net/http_client.h"
#include "util/clock.h"
#include "util/json.h"

/* Index into qe_driver.operations and qe_api_stats. */
enum qe_rmq_operation {
    QE_RMQ_OVERVIEW = 0,
    QE_RMQ_VHOSTS,
    QE_RMQ_QUEUES,        /* what they are */
    QE_RMQ_TOTALS_OF,     /* how many messages they hold */
    QE_RMQ_STATISTICS_OF, /* everything */
    QE_RMQ_POLICIES,
    QE_RMQ_EXCHANGES,
    QE_RMQ_BINDINGS,
    QE_RMQ_NODES,
    QE_RMQ_NODE_METRICS,
    QE_RMQ_OPERATION_COUNT
};
/* Behind those: what is done over AMQP. */
enum qe_rmq_amqp_operation {
    QE_RMQ_CONNECT = QE_RMQ_OPERATION_COUNT,
    QE_RMQ_SEND,
    QE_RMQ_RECEIVE,
    QE_RMQ_SETTLE,
    QE_RMQ_PURGE,
    QE_RMQ_PUBLISH,
    QE_RMQ_SUBSCRIBE,
    QE_RMQ_OPERATIONS_ALL_COUNT
};

#define QE_RMQ_METRICS_URLS_MAX 64
#define QE_RMQ_DELAY_PREFIX                                                                        \
    "qe.delay." /* queues of our own, in which messages wait for their time */
#define QE_RMQ_DELAY_MISSING                                                                       \
    QE_RMQ_DELAY_PREFIX "missing" /* the way of what has no landing queue */
#define QE_RMQ_DELAY_EXCHANGE QE_RMQ_DELAY_PREFIX "plugin" /* the way to all, with the plugin */

/* Where one node's metrics are. */
struct qe_rmq_endpoint {
    char *url;               /* owned; as configured, or found; without a path's last slash */
    bool is_configured;      /* else found: then it is not told the password */
    struct qe_rmq_told told; /* of its depths: the order of its queues, until the next list */
};

struct qe_rmq {
    const struct qe_rmq_settings *settings; /* borrowed */
    char *source;                           /* owned */
    struct qe_api_stats *stats;             /* borrowed; NULL: do not count */
    struct qe_http_client *client;          /* owned */
    struct qe_secret *authorization;        /* owned; "Basic ..." */
    char *base_url;                         /* owned; without the last slash */
    atomic_bool interrupted;                /* set by interrupt(), taken by the call that it ends */
    struct qe_rmq_work *work;               /* owned */

    /* Of the last list: */
    struct qe_rmq_table *table; /* owned; NULL: none yet */
    char **vhosts;              /* owned, as each; those that can be read */
    size_t vhosts_count;
    struct qe_err incomplete; /* what it could not find out; QE_OK: nothing */
    bool has_statistics;      /* the broker keeps them */
    unsigned version_major;   /* 0 unknown */
    struct qe_rmq_endpoint endpoints[QE_RMQ_METRICS_URLS_MAX];
    size_t endpoints_count;
    /* Since then, where another way is allowed: */
    bool metrics_failed;
    bool management_failed;

    /* Of the polls: */
    struct qe_rmq_nodes nodes; /* as of the last answer, to a poll or a list */
    int64_t
        nodes_changed_mono_ms; /* since when others run, or begun anew; 0: not while we looked */
    bool nodes_restarted;      /* some have, and no poll has taken notice yet */
    bool has_totals;           /* this server has told some */
    bool lacks_totals;         /* it does not know of them */
    struct qe_rmq_pace paces[QE_RMQ_EXTRA_COUNT];
    int64_t poll_mono_ms;     /* when the last one began; 0 never */
    int64_t poll_interval_ms; /* a guess, then measured */
    uint64_t poll;            /* counts them */
    enum qe_rmq_method way;   /* of the last one; AUTO: none has read anything yet */
    /* Where the queues of the set that was asked for last are in the table: */
    struct qe_queue_set *placed_set; /* acquired; NULL: none yet, or the table is another one now */
    size_t *places;                  /* owned; parallel to its items; SIZE_MAX: not there */
};

/* --- request.c --- */

struct qe_rmq_calls;
struct qe_rmq_text;

/* One GET, in the making and in flight. */
struct qe_rmq_call {
    enum qe_rmq_operation operation;
    char *url;                        /* owned */
    const struct qe_rmq_calls *calls; /* borrowed, while it is in flight */
    bool is_anonymous;                /* goes where the password must not */
    bool is_text;                     /* the answer is not JSON */
    int64_t deadline_mono_ms;         /* 0: that of all of them */
    size_t index;                     /* the caller's own, as these: */
    size_t endpoint;
    struct qe_rmq_text *text; /* owned; as far as it was read; NULL: nothing has come */
    struct qe_err err;        /* QE_OK, or why there is no answer */
    double duration_seconds;
};
void qe_rmq_call_deinit(struct qe_rmq_call *call); /* = {0} is fine */

/* "<base><path>" with each %s of `path` replaced by the next of `parts`, escaped. */
int qe_rmq_call_init(struct qe_rmq_call *call, enum qe_rmq_operation operation, const char *base,
                     const char *path, const char *part, struct qe_err *err) QE_MUST_CHECK;

/* What becomes of an answer; it is freed afterwards. -1 goes into call->err. */
typedef int qe_rmq_take_fn(void *context, const struct qe_rmq_call *call, const char *body,
                           size_t body_bytes, struct qe_err *err);

/* The next piece of a good answer that is_text; its end is told by take(), without a body. */
typedef int qe_rmq_feed_fn(void *context, struct qe_rmq_call *call, const char *piece,
                           size_t piece_bytes, struct qe_err *err);

/* Calls that are sent together; borrowed. */
struct qe_rmq_calls {
    struct qe_rmq_call *items;
    size_t count;
    int64_t deadline_mono_ms;
    qe_rmq_take_fn *take; /* gets each answer */
    qe_rmq_feed_fn *feed; /* gets texts as they come; NULL: none is asked for */
    void *context;
};

/* Sends all of them, a few at a time. What failed says so in its err. Errors: -1 only when
 * interrupted or out of memory; nothing is in flight then. */
int qe_rmq_run(struct qe_rmq *self, const struct qe_rmq_calls *calls,
               struct qe_err *err) QE_MUST_CHECK;
/* True, once per interrupt(): the running call ends with QE_ERR_CANCELLED. */
bool qe_rmq_take_interrupt(struct qe_rmq *self);
/* Appends `text` with every byte that may not stand in a path or query as %XX. */
void qe_rmq_append_escaped(struct qe_strbuf *out, const char *text);
/* NULL, or what an answer that is not a good one means. body may be anything. */
int qe_rmq_judge(unsigned status, bool is_text, const char *url, const char *body,
                 size_t body_bytes, struct qe_err *err) QE_MUST_CHECK;
/* "Basic ..." of user and password. */
struct qe_secret *qe_rmq_authorization(const char *username, const char *password,
                                       struct qe_err *err) QE_MUST_CHECK;

#define QE_RMQ_NODES_PATH                                                                          \
    "/api/nodes?columns=name,running,mem_alarm,disk_free_alarm,partitions,uptime"

/* --- list.c, sample.c: slots of the driver interface --- */
int qe_rmq_list(void *handle, int64_t deadline_mono_ms, struct qe_queue_list *out,
                struct qe_err *err);
int qe_rmq_sample(void *handle, int64_t deadline_mono_ms, struct qe_batch *out, struct qe_err *err);
/* An answer of GET /api/nodes. *out_changed, which may be NULL: others run than before. */
int qe_rmq_take_nodes(struct qe_rmq *self, const struct qe_json *json, bool *out_changed,
                      struct qe_err *err) QE_MUST_CHECK;
void qe_rmq_forget_vhosts(struct qe_rmq *self);
void qe_rmq_forget_places(struct qe_rmq *self);

/* --- sample_text.c --- */

void qe_rmq_text_destroy(struct qe_rmq_text *text); /* accepts NULL */

/* --- endpoint.c --- */

void qe_rmq_forget_endpoints(struct qe_rmq *self);
/* Where the broker says that its nodes' metrics are: the answer of GET /api/overview. Replaces what
 * was found before; what is configured stays. */
int qe_rmq_find_endpoints(struct qe_rmq *self, const struct qe_json *overview,
                          struct qe_err *err) QE_MUST_CHECK;

/* --- merge.c --- */

/* The poll that is running. */
struct qe_rmq_poll {
    enum qe_rmq_method way; /* depths are read in; not AUTO */
    int64_t now_mono_ms;
    int64_t now_unix_ms;
    struct qe_err gap; /* QE_OK, or why some part of the broker told nothing */
};

/* What is known of one queue after this poll. -1: *err says why nothing is; QE_ERR_CANCELLED: the
 * broker does not know yet, which is no failure. */
int qe_rmq_merge(const struct qe_rmq *self, const struct qe_rmq_poll *poll,
                 struct qe_rmq_record *record, double observed_age_seconds, struct qe_sample *out,
                 struct qe_err *err) QE_MUST_CHECK;
/* A quorum queue whose leader has not counted yet is told as empty: by the totals, and after an
 * election by the statistics, too, which then lack its state. `way`: that of the reading. */
bool qe_rmq_is_false_zero(const struct qe_rmq *self, enum qe_rmq_method way,
                          const struct qe_rmq_record *record, const struct qe_rmq_reading *reading,
                          int64_t now_mono_ms);
/* A reading of the management API's statistics, or of the nodes' queue_metrics, has come. */
int qe_rmq_hold(struct qe_rmq_record *record, enum qe_rmq_extra extra,
                const struct qe_rmq_reading *reading, const struct qe_rmq_poll *poll,
                struct qe_err *err) QE_MUST_CHECK;

#endif
