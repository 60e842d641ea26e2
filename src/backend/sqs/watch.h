/* What watching shares between its files, and remembers between polls. The handle's thread only,
 * but for the tagger, which says so itself. */
#ifndef QE_BACKEND_SQS_WATCH_H
#define QE_BACKEND_SQS_WATCH_H

#include "backend/sqs/budget.h"
#include "backend/sqs/cadence.h"
#include "backend/sqs/internal.h"
#include "backend/sqs/rate.h"

struct qe_sqs_watch;

/* --- registry.c: the queues that were listed, named or linked --- */

#define QE_SQS_URL_BYTES 1024 /* longest, with its NUL */

/* One queue. */
struct qe_sqs_record {
    char *url;             /* owned; NULL: configured by name, not found yet */
    char *name;            /* owned; as AWS calls it */
    char *label;           /* owned; as it is called here; NULL before the first list that has it */
    char *arn;             /* owned; NULL unknown */
    char *dead_letter_arn; /* owned; NULL none */
    uint64_t born;         /* generation of the list that found it */
    uint64_t generation;   /* of the list that had it last */
    uint64_t tried;        /* generation of the list that read it last */
    /* Of that list: */
    bool is_listed;     /* by the service */
    bool is_configured; /* named by the settings: shown even when it is gone */
    bool is_shown;      /* in what list() gave */
    /* Of the last reading: */
    bool is_known; /* some reading was good */
    bool is_gone;
    bool is_denied;
    bool is_fifo;
    bool is_empty;
    bool dead_letter_known;
    struct qe_sqs_attributes *fresh; /* owned; read by this round's list(); else NULL */
    struct qe_sqs_tag *tags;         /* owned; allow-listed ones */
    size_t tags_count;
    int64_t tags_due_mono_ms; /* when to ask for them (again) */
    struct qe_cadence cadence;
    double age_seconds;      /* of the oldest message, as CloudWatch said */
    int64_t age_mono_ms;     /* when it said so; 0: not known */
    int64_t age_lag_ms;      /* how long before that it was true */
    int64_t age_due_mono_ms; /* when to ask again */
    uint32_t spread;         /* hash of the name: the queue's own poll of a period */
};

struct qe_sqs_tag {
    char *key;   /* owned */
    char *value; /* owned */
};

enum qe_sqs_key {
    QE_SQS_BY_URL = 0,
    QE_SQS_BY_LABEL,
    QE_SQS_BY_ARN,
    QE_SQS_KEY_COUNT
};

struct qe_sqs_index {
    struct qe_sqs_record **slots; /* owned; a power of two of them, at most half full */
    size_t slots_count;
    size_t count;
};

struct qe_sqs_registry {
    struct qe_sqs_record **items; /* owned, as each */
    size_t count;
    size_t capacity;
    struct qe_sqs_index indexes[QE_SQS_KEY_COUNT];
};

void qe_sqs_registry_deinit(struct qe_sqs_registry *registry); /* = {0} is fine */
/* NULL: none. */
struct qe_sqs_record *qe_sqs_registry_find(const struct qe_sqs_registry *registry,
                                           enum qe_sqs_key key, const char *value);
/* A new record; url NULL: found by its name later. */
struct qe_sqs_record *qe_sqs_registry_add(struct qe_sqs_registry *registry, const char *url,
                                          const char *name, struct qe_err *err) QE_MUST_CHECK;
/* The record of that URL, made if need be; QE_ERR_PROTOCOL for what is no queue's URL. */
struct qe_sqs_record *qe_sqs_registry_url(struct qe_sqs_registry *registry, const char *url,
                                          struct qe_err *err) QE_MUST_CHECK;
/* Changes one key of a record; the old value is freed. */
int qe_sqs_registry_set(struct qe_sqs_registry *registry, struct qe_sqs_record *record,
                        enum qe_sqs_key key, const char *value, struct qe_err *err) QE_MUST_CHECK;
/* Forgets every record of an older generation. */
void qe_sqs_registry_sweep(struct qe_sqs_registry *registry, uint64_t generation);
/* Last segment of a queue's URL, and the one before it (the account), which may be "". Borrowed
 * from url; false when it is no such URL. */
bool qe_sqs_url_split(const char *url, const char **out_account, size_t *out_account_bytes,
                      const char **out_name);

/* --- flow.c: many calls, so many in flight --- */

enum qe_sqs_flow_verdict {
    QE_SQS_FLOW_DONE = 0, /* the call is free */
    QE_SQS_FLOW_AGAIN,    /* it was filled anew: start it */
    QE_SQS_FLOW_STOP      /* abort everything; *err is set */
};

struct qe_sqs_flow {
    int64_t until_mono_ms; /* no call begins after this; each ends by its own deadline */
    void *self;
    /* Fills the next call with qe_sqs_call_init() and a body; false: there is none any more. */
    bool (*next)(void *self, struct qe_aws_call *call);
    /* One has ended, well or not. */
    enum qe_sqs_flow_verdict (*finished)(void *self, struct qe_aws_call *call, struct qe_err *err);
};

/* Runs until there is no next call, or the time has come, and what is in flight has ended. -1:
 * stopped; QE_ERR_CANCELLED by an interrupt; or a call could not be begun (credentials, region,
 * memory), which would hold for every other. */
int qe_sqs_flow_run(struct qe_sqs *sqs, const struct qe_sqs_flow *flow,
                    struct qe_err *err) QE_MUST_CHECK;

/* --- read.c: attributes of many queues --- */

struct qe_sqs_reader {
    struct qe_sqs *sqs;
    int64_t deadline_mono_ms;
    int64_t until_mono_ms;          /* as of the flow; the deadline at most */
    struct qe_sqs_record **records; /* borrowed; to read, in this order */
    size_t count;
    void *self;
    /* records[index] was read, or why not (read NULL). What it says of the record is in it
     * already. */
    void (*done)(void *self, size_t index, const struct qe_sqs_attributes *read,
                 const struct qe_err *why);

    /* the reader's own */
    size_t next;
    size_t refused_count;
    bool facts_changed; /* result: what list() says of a queue is different now */
};

/* Errors: those of the flow, and the one that nobody could get past: credentials that are refused,
 * a server that cannot be reached. */
int qe_sqs_read_queues(struct qe_sqs_reader *reader, struct qe_err *err) QE_MUST_CHECK;

/* --- listing.c: what list() says of the queues of a generation --- */

/* The record that this one dead-letters into; NULL: none, or none that is known. */
struct qe_sqs_record *qe_sqs_dead_letter_of(const struct qe_sqs_registry *registry,
                                            const struct qe_sqs_record *record);
/* Its URL, made from the record's own; false when it is in another account or region: nothing is
 * guessed of those. */
bool qe_sqs_dead_letter_url(const struct qe_sqs_record *record, char out[QE_SQS_URL_BYTES]);
/* Decides which records of the generation are shown, and as what. */
int qe_sqs_name_all(struct qe_sqs_watch *watch, struct qe_err *err) QE_MUST_CHECK;
/* Appends them; on -1 *out is as before. */
int qe_sqs_show_all(struct qe_sqs_watch *watch, struct qe_queue_list *out,
                    struct qe_err *err) QE_MUST_CHECK;

/* --- cloudwatch.c --- */

/* Asks for ages when it is time to, and puts them into the batch's good samples. records is
 * parallel to batch->set->items. -1 only when interrupted or out of memory. */
int qe_sqs_ages_ask(struct qe_sqs *sqs, struct qe_batch *batch, struct qe_sqs_record **records,
                    int64_t deadline_mono_ms, struct qe_err *err) QE_MUST_CHECK;
/* The best age known for a reading just taken; our consumer's own is left to the poller. */
void qe_sqs_age_apply(const struct qe_sqs *sqs, const struct qe_sqs_record *record,
                      double observed_age_seconds, struct qe_sample *sample);
/* A reading is about to be noted in the record: an age that it contradicts is forgotten. */
void qe_sqs_age_note(const struct qe_sqs *sqs, struct qe_sqs_record *record, bool is_empty);
/* Whether the record's age is worth its price. */
bool qe_sqs_age_is_wanted(const struct qe_sqs *sqs, const struct qe_sqs_record *record,
                          double observed_age_seconds);

/* --- tags.c: on a thread of its own, because so few may be asked per second --- */

struct qe_sqs_tagger;

/* Takes in what the tagger has found, and gives it what is due. True: tags have changed, list()
 * says something else now. Begins the tagger when there is something to ask. */
bool qe_sqs_tags_exchange(struct qe_sqs *sqs, struct qe_sqs_record **records, size_t count);
void qe_sqs_tagger_destroy(struct qe_sqs_tagger *tagger); /* accepts NULL; any state */

/* --- all of it --- */

struct qe_sqs_watch {
    struct qe_sqs_registry registry;
    uint64_t generation;
    struct qe_sqs_record **configured; /* owned; parallel to settings->queue_names; NULL: not yet */
    char own_account[16];              /* as URLs have it */
    bool own_account_known;
    size_t account_asked;           /* how many of queue_urls were asked for it */
    int64_t learn_deadline_mono_ms; /* of the round whose list() read the fresh ones */

    struct qe_aws_call *calls; /* owned */
    size_t calls_count;
    size_t *free_calls; /* owned; indexes of those that are not in flight */
    struct qe_rate rate;
    char *attribute_names;       /* owned; a JSON array of what this server knows; NULL: of all */
    uint32_t attributes_dropped; /* bits of qe_sqs_attribute_name_list */
    bool was_good;               /* some queue could be read, once */
    size_t patience;             /* until then, so many refusals end a poll */

    uint64_t poll; /* counts samples */
    int64_t poll_mono_ms;
    double poll_interval_ms; /* measured; 0 unknown */
    struct qe_cadence_rules cadence;
    struct qe_budget_meter meter;
    struct qe_sqs_record **records; /* owned; parallel to the set being sampled */
    struct qe_sqs_record **due;     /* owned; those to read, and where they are in the set */
    size_t *due_indexes;            /* owned */
    size_t records_capacity;

    int64_t ages_pause_mono_ms; /* after a failure: not before */
    int64_t age_interval_ms;    /* planned */
    struct qe_err age_error;    /* why the last round of ages failed */

    struct qe_sqs_tagger *tagger; /* owned; NULL: not needed yet */
    bool tags_changed;            /* and nobody was told yet */
    int64_t tags_told_mono_ms;
};

/* Makes sqs->watch if need be. */
int qe_sqs_watch_open(struct qe_sqs *sqs, struct qe_err *err) QE_MUST_CHECK;
/* Whether the queue is of the account that these credentials belong to. */
bool qe_sqs_is_own(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record);

#endif
