/* What the files of this driver share. One handle is used by one thread, but for interrupt().
 *
 *   watch   list.c tags.c sample.c attributes.c cloudwatch.c cadence.c budget.c
 *   work    send.c receive.c settle.c extend.c message.c redrive.c queue.c
 *   both    sqs.c (create, destroy, the vtable), settings.c, request.c (building and sending one
 * call)
 */
#ifndef QE_BACKEND_SQS_INTERNAL_H
#define QE_BACKEND_SQS_INTERNAL_H

#include <stdatomic.h>

#include "aws/call.h"
#include "backend/sqs/sqs.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/strbuf.h"

/* Index into qe_driver.operations and qe_api_stats. */
enum qe_sqs_operation {
    QE_SQS_LIST_QUEUES = 0,
    QE_SQS_GET_QUEUE_URL,
    QE_SQS_GET_QUEUE_ATTRIBUTES,
    QE_SQS_LIST_QUEUE_TAGS,
    QE_SQS_GET_METRIC_DATA,
    QE_SQS_SEND_MESSAGE_BATCH,
    QE_SQS_RECEIVE_MESSAGE,
    QE_SQS_DELETE_MESSAGE_BATCH,
    QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH,
    QE_SQS_PURGE_QUEUE,
    QE_SQS_START_MESSAGE_MOVE_TASK,
    QE_SQS_LIST_MESSAGE_MOVE_TASKS,
    QE_SQS_CANCEL_MESSAGE_MOVE_TASK,
    QE_SQS_OPERATION_COUNT
};

/* Index into qe_driver.services: who sends a bill. */
enum qe_sqs_billed {
    QE_SQS_BILLED_SQS = 0,
    QE_SQS_BILLED_CLOUDWATCH,
    QE_SQS_BILLED_COUNT
};

#define QE_SQS_REPLY_MAX_BYTES ((size_t)64 << 20)    /* ten messages of 1 MiB, and what JSON adds */
#define QE_SQS_BILLED_CHUNK_BYTES ((size_t)64 << 10) /* each begun one is a request on the bill */

struct qe_sqs_watch; /* what watching remembers between polls: watch.h */
struct qe_sqs_work;  /* what working remembers: queue facts, the poll in flight: work.h */

struct qe_sqs {
    const struct qe_sqs_settings *settings; /* borrowed */
    char *source;                           /* owned */
    struct qe_api_stats *stats;             /* borrowed; NULL: do not count */
    struct qe_aws_provider *provider;       /* acquired */
    struct qe_aws_client *client;           /* owned: everything but long polls */
    /* Owned: long polls only. NULL until the first receive, which makes it with
     * qe_sqs_client_new(), stores it here, and only then looks at `interrupted`. */
    struct qe_aws_client *_Atomic poll_client;
    /* Set by interrupt(), taken by the call that it ends. The clients are interrupted too, but only
     * to end their wait: a wait that is interrupted while this is not set goes on. */
    atomic_bool interrupted;
    int64_t credentials_seen_mono_ms; /* when the stats last learnt of them */
    double watch_dollars;  /* what this handle's readings and ages cost so far: what a budget can
                              stretch */
    int64_t clock_skew_ms; /* the service's clock minus ours */
    struct qe_sqs_watch *watch; /* owned; NULL until the first list or sample */
    struct qe_sqs_work *work;   /* owned; NULL until the first send, receive, settle, ... */
};

/* --- request.c --- */

/* True, once per interrupt(): the running call ends with QE_ERR_CANCELLED. */
bool qe_sqs_take_interrupt(struct qe_sqs *sqs);

/* A client of this handle's provider, observed into its stats. */
struct qe_aws_client *qe_sqs_client_new(struct qe_sqs *sqs, struct qe_err *err) QE_MUST_CHECK;
/* Makes `call` ready to start: empty body (its memory is kept), target, operation, and the price of
 * one request; who sends more than one 64 KiB chunk corrects billable and dollars with
 * qe_sqs_call_price(). `call` is zeroed, or was used before. */
void qe_sqs_call_init(struct qe_sqs *sqs, struct qe_aws_call *call, enum qe_sqs_operation operation,
                      int64_t deadline_mono_ms);
void qe_sqs_call_price(const struct qe_sqs *sqs, struct qe_aws_call *call, double units);
/* What the messages that a call works on are to the bill. */
enum qe_sqs_tariff {
    QE_SQS_TARIFF_STANDARD = 0,
    QE_SQS_TARIFF_FIFO,
    QE_SQS_TARIFF_FAIR /* sent with a group to a standard queue */
};
void qe_sqs_call_price_work(const struct qe_sqs *sqs, struct qe_aws_call *call, double units,
                            enum qe_sqs_tariff tariff);
/* Starts the call on the handle's client, waits, parses; never interrupted, and nothing else may be
 * in flight there. *out_json is the caller's; NULL for the empty body of calls that return nothing.
 * The error names no queue: the caller wraps it. */
int qe_sqs_ask(struct qe_sqs *sqs, struct qe_aws_call *call, struct qe_json **out_json,
               struct qe_err *err) QE_MUST_CHECK;
/* The same, ended by an interrupt with QE_ERR_CANCELLED: for list(). */
int qe_sqs_ask_interruptible(struct qe_sqs *sqs, struct qe_aws_call *call,
                             struct qe_json **out_json, struct qe_err *err) QE_MUST_CHECK;
/* The answer of a finished call as JSON; an empty body gives NULL and 0. */
int qe_sqs_parse(const struct qe_sqs *sqs, const struct qe_aws_call *call,
                 struct qe_json **out_json, struct qe_err *err) QE_MUST_CHECK;
/* Counts a failure of a request that was answered, with something that makes no sense. Whoever
 * finds that out says so: qe_sqs_parse() has for what is not JSON. */
void qe_sqs_count_nonsense(const struct qe_sqs *sqs, const struct qe_aws_call *call,
                           enum qe_err_code code);
/* Appends a JSON string with its quotes. Text must be UTF-8. */
void qe_sqs_append_text(struct qe_strbuf *out, const char *text, size_t bytes);

/* --- attributes.c --- */

/* A queue's attributes as GetQueueAttributes gives them. */
struct qe_sqs_attributes {
    struct qe_sample sample; /* all but the age */
    bool is_fifo;
    bool dead_letter_known;    /* the redrive policy could be read: no ARN then means "none" */
    char arn[256];             /* "" unknown */
    char dead_letter_arn[256]; /* "" none */
    bool content_deduplication;
};
/* reply: of GetQueueAttributes; NULL is an empty answer. QE_ERR_PROTOCOL names the attribute that
 * makes no sense; without the three counts there is no reading. */
int qe_sqs_attributes_parse(const struct qe_json *reply, uint64_t in_flight_limit,
                            struct qe_sqs_attributes *out, struct qe_err *err) QE_MUST_CHECK;
/* The attributes to ask for: exactly these, since one of `All` may be 8 KiB. */
#define QE_SQS_ATTRIBUTE_NAMES_COUNT 10
extern const char *const qe_sqs_attribute_name_list[QE_SQS_ATTRIBUTE_NAMES_COUNT];
/* The same as a JSON array. */
extern const char qe_sqs_attribute_names[];

/* "arn:aws:sqs:eu-west-1:123456789012:orders" in pieces; false when it is none of a queue. */
struct qe_sqs_arn {
    char region[64];
    char account_id[16];
    char name[96];
};
bool qe_sqs_arn_parse(const char *arn, struct qe_sqs_arn *out);

/* --- watching --- */
int qe_sqs_list(void *self, int64_t deadline_mono_ms, struct qe_queue_list *out,
                struct qe_err *err);
int qe_sqs_sample(void *self, int64_t deadline_mono_ms, struct qe_batch *out, struct qe_err *err);
/* Accepts NULL. Nothing is in flight any more. */
void qe_sqs_watch_destroy(struct qe_sqs_watch *watch);

/* --- working: slots of the driver interface --- */
int qe_sqs_find(void *self, const char *name, int64_t deadline_mono_ms, struct qe_queue *out,
                struct qe_err *err);
int qe_sqs_send(void *self, const struct qe_queue *to, struct qe_outgoing *messages, size_t count,
                int64_t deadline_mono_ms, struct qe_err *err);
int qe_sqs_receive(void *self, const struct qe_queue *from, size_t max, int64_t deadline_mono_ms,
                   struct qe_message_list *out, struct qe_err *err);
bool qe_sqs_awaits(const void *self, const struct qe_queue *queue);
int qe_sqs_settle(void *self, const struct qe_queue *queue, struct qe_settlement *settlements,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err);
int qe_sqs_extend(void *self, const struct qe_queue *queue, struct qe_extension *extensions,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err);
int qe_sqs_purge(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                 uint64_t *out_count, struct qe_err *err);
int qe_sqs_redrive_start(void *self, const struct qe_queue *dlq, const struct qe_queue *to,
                         uint64_t messages_per_second, int64_t deadline_mono_ms,
                         struct qe_err *err);
int qe_sqs_redrive_status(void *self, const struct qe_queue *dlq, int64_t deadline_mono_ms,
                          struct qe_redrive_task *out, struct qe_err *err);
int qe_sqs_redrive_cancel(void *self, const struct qe_queue *dlq, int64_t deadline_mono_ms,
                          struct qe_err *err);
/* Before the clients are aborted: waits a moment for polls in flight, and gives back what they
 * bring and what was not handed out. A handle that never worked is fine. */
void qe_sqs_receive_end(struct qe_sqs *sqs);
void qe_sqs_give_back(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                      struct qe_unreturned *out);
/* Accepts NULL. Nothing is in flight any more, but the clients still live. */
void qe_sqs_work_destroy(struct qe_sqs_work *work);

#endif
