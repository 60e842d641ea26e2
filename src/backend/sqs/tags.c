/* Queue tags, for queue_info. AWS answers some five of these questions a second for an account, so
 * a few hundred queues take minutes: a thread of its own asks slowly, between and beside the polls,
 * which hand over what is due and take back what was found. */
#include <pthread.h>
#include <string.h>

#include "backend/sqs/watch.h"
#include "util/mem.h"

#define QUESTION_INTERVAL_MS 250
#define QUESTION_TIMEOUT_MS 5000
#define IDLE_MS INT64_C(3600000)
#define RETRY_MS INT64_C(60000)
/* Each new set of tags makes the queues be listed again: not with every poll while the first round
 * lasts. */
#define TELL_INTERVAL_MS INT64_C(60000)
#define REFUSALS_MAX 16 /* in a row: the rest would be refused as well */

/* What one question brought. */
struct finding {
    char *url; /* owned */
    struct qe_sqs_tag *tags;
    size_t tags_count;
    enum qe_err_code code;
};

struct qe_sqs_tagger {
    struct qe_sqs asker; /* the thread's: a handle with nothing but a client */
    struct qe_aws_call call;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows; held for pointers only */
    pthread_cond_t wake;
    bool stopping;
    char **wanted; /* owned, as each that is not NULL: URLs */
    size_t wanted_count;
    size_t wanted_next;
    struct finding *findings; /* owned; room for wanted_count. The thread only adds to it */
    size_t findings_count;

    size_t taken_count; /* the polls' own: findings they have taken over */
};

static void free_tags(struct qe_sqs_tag *tags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        qe_free(tags[i].key);
        qe_free(tags[i].value);
    }
    qe_free(tags);
}

static void free_finding(struct finding *finding)
{
    free_tags(finding->tags, finding->tags_count);
    qe_free(finding->url);
    *finding = (struct finding){0};
}

/* --- the thread --- */

/* Those of the answer that the settings allow, in the settings' order. */
static int pick_tags(const struct qe_text_list *allowed, const struct qe_json *reply,
                     struct finding *out, struct qe_err *err)
{
    const struct qe_json *tags = qe_json_get(reply, "Tags");

    out->tags = qe_calloc(allowed->count, sizeof *out->tags);
    if (out->tags == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "tags");
    }
    for (size_t i = 0; i < allowed->count; i++) {
        const char *value = qe_json_text(qe_json_get(tags, allowed->items[i]));

        if (value == NULL) {
            continue;
        }
        struct qe_sqs_tag *tag = &out->tags[out->tags_count++];
        tag->key = qe_strdup(allowed->items[i]);
        tag->value = qe_strdup(value);
        if (tag->key == NULL || tag->value == NULL) {
            return qe_err_set(err, QE_ERR_NOMEM, "tags");
        }
    }
    return 0;
}

static void ask(struct qe_sqs_tagger *tagger, struct finding *finding)
{
    struct qe_sqs *asker = &tagger->asker;
    struct qe_json *reply = NULL;
    struct qe_err err = {0};

    qe_sqs_call_init(asker, &tagger->call, QE_SQS_LIST_QUEUE_TAGS,
                     qe_clock_mono_ms() + QUESTION_TIMEOUT_MS);
    (void)qe_strbuf_append_text(&tagger->call.body, "{\"QueueUrl\":");
    qe_sqs_append_text(&tagger->call.body, finding->url, strlen(finding->url));
    (void)qe_strbuf_append_char(&tagger->call.body, '}');
    if (qe_sqs_ask_interruptible(asker, &tagger->call, &reply, &err) == 0) {
        (void)pick_tags(&asker->settings->tags, reply, finding, &err);
    }
    qe_json_destroy(reply);
    finding->code = err.code;
}

/* With the lock held: waits until `until_mono_ms`, or the stop. */
static void pause_until(struct qe_sqs_tagger *tagger, int64_t until_mono_ms)
{
    while (!tagger->stopping && qe_clock_cond_wait(&tagger->wake, &tagger->lock, until_mono_ms)) {
    }
}

static void *tagger_main(void *argument)
{
    struct qe_sqs_tagger *tagger = argument;
    size_t refusals = 0;

    pthread_mutex_lock(&tagger->lock);
    while (!tagger->stopping) {
        if (tagger->wanted_next >= tagger->wanted_count) {
            refusals = 0;
            (void)qe_clock_cond_wait(&tagger->wake, &tagger->lock, qe_clock_mono_ms() + IDLE_MS);
            continue;
        }
        const int64_t next_mono_ms = qe_clock_mono_ms() + QUESTION_INTERVAL_MS;
        struct finding finding = {.url = tagger->wanted[tagger->wanted_next]};

        tagger->wanted[tagger->wanted_next] = NULL;
        pthread_mutex_unlock(&tagger->lock);
        ask(tagger, &finding);
        refusals = finding.code == QE_ERR_AUTH ? refusals + 1 : 0;
        pthread_mutex_lock(&tagger->lock);
        tagger->findings[tagger->findings_count++] = finding;
        tagger->wanted_next =
            refusals < REFUSALS_MAX ? tagger->wanted_next + 1 : tagger->wanted_count;
        pause_until(tagger, next_mono_ms);
    }
    pthread_mutex_unlock(&tagger->lock);
    return NULL;
}

/* --- its life --- */

static void free_lists(char **wanted, size_t wanted_count, struct finding *findings, size_t count)
{
    for (size_t i = 0; i < wanted_count; i++) {
        qe_free(wanted[i]);
    }
    for (size_t i = 0; i < count; i++) {
        free_finding(&findings[i]);
    }
    qe_free(wanted);
    qe_free(findings);
}

static void free_tagger(struct qe_sqs_tagger *tagger)
{
    qe_aws_client_destroy(tagger->asker.client);
    qe_aws_call_deinit(&tagger->call);
    free_lists(tagger->wanted, tagger->wanted_count, tagger->findings, tagger->findings_count);
    qe_free(tagger);
}

void qe_sqs_tagger_destroy(struct qe_sqs_tagger *tagger)
{
    if (tagger == NULL) {
        return;
    }
    pthread_mutex_lock(&tagger->lock);
    tagger->stopping = true;
    (void)pthread_cond_signal(&tagger->wake);
    pthread_mutex_unlock(&tagger->lock);
    atomic_store(&tagger->asker.interrupted, true);
    qe_aws_client_interrupt(tagger->asker.client);
    (void)pthread_join(tagger->thread, NULL);
    (void)pthread_cond_destroy(&tagger->wake);
    (void)pthread_mutex_destroy(&tagger->lock);
    free_tagger(tagger);
}

static int start_thread(struct qe_sqs_tagger *tagger)
{
    int rc = pthread_mutex_init(&tagger->lock, NULL);

    if (rc != 0) {
        return -1;
    }
    rc = qe_clock_cond_init(&tagger->wake);
    if (rc == 0) {
        rc = pthread_create(&tagger->thread, NULL, tagger_main, tagger);
        if (rc == 0) {
            return 0;
        }
        (void)pthread_cond_destroy(&tagger->wake);
    }
    (void)pthread_mutex_destroy(&tagger->lock);
    return -1;
}

/* NULL: no memory, or no thread, for it now; the next poll tries again. */
static struct qe_sqs_tagger *new_tagger(const struct qe_sqs *sqs)
{
    struct qe_sqs_tagger *tagger = qe_calloc(1, sizeof *tagger);
    struct qe_err ignored = {0};

    if (tagger == NULL) {
        return NULL;
    }
    tagger->asker.settings = sqs->settings;
    tagger->asker.source = sqs->source;
    tagger->asker.stats = sqs->stats;
    tagger->asker.provider = sqs->provider;
    tagger->asker.client = qe_sqs_client_new(&tagger->asker, &ignored);
    if (tagger->asker.client == NULL || start_thread(tagger) != 0) {
        free_tagger(tagger);
        return NULL;
    }
    return tagger;
}

/* --- what polls do with it --- */

static bool same_tags(const struct qe_sqs_record *record, const struct finding *finding)
{
    if (record->tags_count != finding->tags_count) {
        return false;
    }
    for (size_t i = 0; i < finding->tags_count; i++) {
        if (strcmp(record->tags[i].key, finding->tags[i].key) != 0 ||
            strcmp(record->tags[i].value, finding->tags[i].value) != 0) {
            return false;
        }
    }
    return true;
}

static void take_finding(struct qe_sqs *sqs, struct finding *finding)
{
    struct qe_sqs_record *record =
        qe_sqs_registry_find(&sqs->watch->registry, QE_SQS_BY_URL, finding->url);
    const int64_t interval_ms = sqs->settings->tags_interval_ms;

    if (record == NULL) {
        return;
    }
    if (finding->code != QE_OK) {
        /* What was known stays. */
        const int64_t wait_ms =
            qe_err_is_retryable(finding->code) && interval_ms > RETRY_MS ? RETRY_MS : interval_ms;

        record->tags_due_mono_ms = qe_clock_mono_ms() + wait_ms;
        return;
    }
    if (!same_tags(record, finding)) {
        free_tags(record->tags, record->tags_count);
        record->tags = finding->tags;
        record->tags_count = finding->tags_count;
        finding->tags = NULL;
        finding->tags_count = 0;
        sqs->watch->tags_changed = true;
    }
}

/* Takes over what was found. True when the tagger has nothing to do any more. */
static bool take_findings(struct qe_sqs *sqs)
{
    struct qe_sqs_tagger *tagger = sqs->watch->tagger;

    pthread_mutex_lock(&tagger->lock);
    const bool is_idle = tagger->wanted_next >= tagger->wanted_count;
    struct finding *findings = tagger->findings;
    const size_t count = tagger->findings_count;
    pthread_mutex_unlock(&tagger->lock);

    for (; tagger->taken_count < count; tagger->taken_count++) {
        take_finding(sqs, &findings[tagger->taken_count]);
        free_finding(&findings[tagger->taken_count]);
    }
    return is_idle;
}

static bool is_due(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record,
                   int64_t now_mono_ms)
{
    /* Of another account's queue the tags cannot be had. */
    return record->tags_due_mono_ms <= now_mono_ms && record->url != NULL && !record->is_gone &&
           qe_sqs_is_own(watch, record);
}

/* Gives an idle tagger the queues that are due; without memory, the next poll does. */
static void hand_over(struct qe_sqs *sqs, struct qe_sqs_record **records, size_t count)
{
    struct qe_sqs_tagger *tagger = sqs->watch->tagger;
    const int64_t now_mono_ms = qe_clock_mono_ms();
    size_t due = 0;

    for (size_t i = 0; i < count; i++) {
        due += is_due(sqs->watch, records[i], now_mono_ms) ? 1 : 0;
    }
    char **wanted = due == 0 ? NULL : qe_calloc(due, sizeof *wanted);
    struct finding *findings = due == 0 ? NULL : qe_calloc(due, sizeof *findings);
    size_t filled = 0;

    for (size_t i = 0; i < count && wanted != NULL && findings != NULL; i++) {
        if (is_due(sqs->watch, records[i], now_mono_ms) &&
            (wanted[filled] = qe_strdup(records[i]->url)) != NULL) {
            records[i]->tags_due_mono_ms = now_mono_ms + sqs->settings->tags_interval_ms;
            filled++;
        }
    }
    if (filled == 0) {
        free_lists(wanted, 0, findings, 0);
        return;
    }
    pthread_mutex_lock(&tagger->lock);
    char **old_wanted = tagger->wanted;
    struct finding *old_findings = tagger->findings;
    const size_t old_count = tagger->wanted_count;

    tagger->wanted = wanted;
    tagger->findings = findings;
    tagger->wanted_count = filled;
    tagger->wanted_next = tagger->findings_count = 0;
    (void)pthread_cond_signal(&tagger->wake);
    pthread_mutex_unlock(&tagger->lock);
    tagger->taken_count = 0;
    free_lists(old_wanted, old_count, old_findings, 0);
}

bool qe_sqs_tags_exchange(struct qe_sqs *sqs, struct qe_sqs_record **records, size_t count)
{
    struct qe_sqs_watch *watch = sqs->watch;
    const int64_t now_mono_ms = qe_clock_mono_ms();

    if (sqs->settings->tags.count == 0 || count == 0 ||
        (watch->tagger == NULL && (watch->tagger = new_tagger(sqs)) == NULL)) {
        return false;
    }
    const bool is_idle = take_findings(sqs);

    if (is_idle) {
        hand_over(sqs, records, count);
    }
    if (!watch->tags_changed || (!is_idle && watch->tags_told_mono_ms != 0 &&
                                 now_mono_ms - watch->tags_told_mono_ms < TELL_INTERVAL_MS)) {
        return false;
    }
    watch->tags_changed = false;
    watch->tags_told_mono_ms = now_mono_ms;
    return true;
}
