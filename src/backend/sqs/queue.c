/* What working needs to know of a queue, and PurgeQueue. */
#include <stdio.h>
#include <string.h>

#include "backend/sqs/work.h"
#include "util/hash.h"
#include "util/mem.h"
#include "util/text.h"

#define QUEUES_MAX 10000
#define DEFAULT_VISIBILITY_MS 30000 /* SQS's own, where the queue's may not be read */
/* A changed visibility timeout is asked for with each receive, so nothing breaks meanwhile. */
#define FACTS_AGE_MS 300000
#define FACTS_RETRY_MS 60000
#define SHRINK_BYTES ((size_t)256 << 10)

/* --- rings --- */

static int ring_init(struct qe_sqs_ring *ring, size_t size)
{
    ring->numbers = qe_calloc(size, sizeof *ring->numbers);
    ring->size = ring->numbers == NULL ? 0 : size;
    return ring->numbers == NULL ? -1 : 0;
}

bool qe_sqs_ring_has(const struct qe_sqs_ring *ring, uint64_t number)
{
    for (size_t i = 0; i < ring->size; i++) {
        if (ring->numbers[i] == number) {
            return true;
        }
    }
    return false;
}

void qe_sqs_ring_add(struct qe_sqs_ring *ring, uint64_t number)
{
    ring->numbers[ring->next] = number;
    ring->next = (ring->next + 1) % ring->size;
}

void qe_sqs_ring_remove(struct qe_sqs_ring *ring, uint64_t number)
{
    for (size_t i = 0; i < ring->size; i++) {
        if (ring->numbers[i] == number) {
            ring->numbers[i] = 0;
        }
    }
}

static uint64_t fnv1a(uint64_t hash, const char *text)
{
    return qe_hash_bytes(hash, text, strlen(text));
}

uint64_t qe_sqs_receipt_number(const struct qe_sqs_queue *queue, const char *receipt)
{
    uint64_t number = fnv1a(fnv1a(QE_HASH_START, queue->url), receipt);

    return number == 0 ? 1 : number; /* 0 is an empty place */
}

/* --- life --- */

int qe_sqs_work_begin(struct qe_sqs *sqs, struct qe_err *err)
{
    if (sqs->work != NULL) {
        return 0;
    }
    struct qe_sqs_work *work = qe_calloc(1, sizeof *work);

    if (work == NULL || ring_init(&work->settled, QE_SQS_SETTLED_MAX) != 0 ||
        ring_init(&work->copied, QE_SQS_COPIED_MAX) != 0) {
        qe_sqs_work_destroy(work);
        return qe_err_set(err, QE_ERR_NOMEM, "source %s", sqs->source);
    }
    qe_random_init(&work->random, 0);
    sqs->work = work;
    return 0;
}

static void queue_destroy(struct qe_sqs_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        qe_aws_call_deinit(&queue->polls[i].call);
    }
    qe_sqs_hold_deinit(queue);
    qe_free(queue->name);
    qe_free(queue->url);
    qe_free(queue);
}

void qe_sqs_work_destroy(struct qe_sqs_work *work)
{
    if (work == NULL) {
        return;
    }
    for (size_t i = 0; i < work->queues_count; i++) {
        queue_destroy(work->queues[i]);
    }
    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        qe_aws_call_deinit(&work->slots[i].call);
    }
    qe_aws_call_deinit(&work->call);
    qe_free(work->queues);
    qe_free(work->settled.numbers);
    qe_free(work->copied.numbers);
    qe_free(work);
}

void qe_sqs_call_shrink(struct qe_aws_call *call)
{
    if (call->body.capacity_bytes > SHRINK_BYTES ||
        call->reply_body.capacity_bytes > SHRINK_BYTES) {
        qe_aws_call_deinit(call);
        *call = (struct qe_aws_call){0};
    }
}

/* --- finding --- */

void qe_sqs_append_queue_url(struct qe_strbuf *out, const struct qe_sqs_queue *queue)
{
    (void)qe_strbuf_append_text(out, "{\"QueueUrl\":");
    qe_sqs_append_text(out, queue->url, strlen(queue->url));
}

/* "account/name" is a queue of another account; no queue's own name has a slash. */
static void append_url_question(struct qe_strbuf *out, const struct qe_queue *queue)
{
    const char *slash = strchr(queue->name, '/');
    const char *name = slash == NULL ? queue->name : slash + 1;
    const char *account = slash == NULL ? queue->account_id : queue->name;
    size_t account_bytes = slash == NULL ? strlen(account) : (size_t)(slash - account);

    (void)qe_strbuf_append_text(out, "{\"QueueName\":");
    qe_sqs_append_text(out, name, strlen(name));
    if (account_bytes > 0) {
        (void)qe_strbuf_append_text(out, ",\"QueueOwnerAWSAccountId\":");
        qe_sqs_append_text(out, account, account_bytes);
    }
    (void)qe_strbuf_append_char(out, '}');
}

/* The URL of a name, owned by the caller. */
static char *ask_url(struct qe_sqs *sqs, const struct qe_queue *queue, bool interruptible,
                     int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_aws_call *call = &sqs->work->call;
    struct qe_json *answer = NULL;
    char *copy = NULL;

    qe_sqs_call_init(sqs, call, QE_SQS_GET_QUEUE_URL, deadline_mono_ms);
    append_url_question(&call->body, queue);
    if ((interruptible ? qe_sqs_ask_interruptible(sqs, call, &answer, err)
                       : qe_sqs_ask(sqs, call, &answer, err)) != 0) {
        (void)qe_err_wrap(err, "queue \"%s\"", queue->name);
        return NULL;
    }
    const char *url = qe_json_text(qe_json_get(answer, "QueueUrl"));

    if (url == NULL || url[0] == '\0') {
        (void)qe_err_set(err, QE_ERR_PROTOCOL, "queue \"%s\": GetQueueUrl: no QueueUrl",
                         queue->name);
    } else if ((copy = qe_strdup(url)) == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", queue->name);
    }
    qe_json_destroy(answer);
    return copy;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* `url` is owned from the call on, even on failure. */
static struct qe_sqs_queue *add_queue(struct qe_sqs_work *work, const char *name, char *url,
                                      struct qe_err *err)
{
    struct qe_sqs_queue *queue = qe_calloc(1, sizeof *queue);

    if (queue == NULL) {
        qe_free(url);
        (void)qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", name);
        return NULL;
    }
    queue->url = url;
    queue->name = qe_strdup(name);
    if (queue->name == NULL || qe_grow(&work->queues, work->queues_count, &work->queues_capacity,
                                       QUEUES_MAX, sizeof(struct qe_sqs_queue *)) != 0) {
        queue_destroy(queue);
        (void)qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", name);
        return NULL;
    }
    queue->is_fifo = ends_with(name, ".fifo");
    queue->visibility_ms = DEFAULT_VISIBILITY_MS;
    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        queue->polls[i].queue = queue;
    }
    work->queues[work->queues_count++] = queue;
    return queue;
}

/* The same name may stand for another queue, of another account. */
static bool is_same(const struct qe_sqs_queue *known, const struct qe_queue *queue)
{
    char account[32] = "";

    if (strcmp(known->name, queue->name) != 0) {
        return false;
    }
    if (queue->address[0] != '\0') {
        return strcmp(known->url, queue->address) == 0;
    }
    (void)snprintf(account, sizeof account, "/%s/", queue->account_id);
    return queue->account_id[0] == '\0' || strstr(known->url, account) != NULL;
}

static struct qe_sqs_queue *known_queue(const struct qe_sqs_work *work,
                                        const struct qe_queue *queue)
{
    for (size_t i = 0; i < work->queues_count; i++) {
        struct qe_sqs_queue *known = work->queues[i];

        if (is_same(known, queue)) {
            return known;
        }
    }
    return NULL;
}

static struct qe_sqs_queue *find_or_ask(struct qe_sqs *sqs, const struct qe_queue *queue,
                                        bool interruptible, int64_t deadline_mono_ms,
                                        struct qe_err *err)
{
    char *url = NULL;

    if (qe_sqs_work_begin(sqs, err) != 0) {
        return NULL;
    }
    struct qe_sqs_queue *known = known_queue(sqs->work, queue);

    if (known != NULL) {
        return known;
    }
    if (queue->address[0] == '\0') {
        url = ask_url(sqs, queue, interruptible, deadline_mono_ms, err);
    } else if ((url = qe_strdup(queue->address)) == NULL) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", queue->name);
    }
    return url == NULL ? NULL : add_queue(sqs->work, queue->name, url, err);
}

struct qe_sqs_queue *qe_sqs_queue_find(struct qe_sqs *sqs, const struct qe_queue *queue,
                                       int64_t deadline_mono_ms, struct qe_err *err)
{
    return find_or_ask(sqs, queue, false, deadline_mono_ms, err);
}

struct qe_sqs_queue *qe_sqs_queue_find_interruptible(struct qe_sqs *sqs,
                                                     const struct qe_queue *queue,
                                                     int64_t deadline_mono_ms, struct qe_err *err)
{
    return find_or_ask(sqs, queue, true, deadline_mono_ms, err);
}

/* Whether list() would show the account's queue of that name, as far as that is known without
 * asking: a dead-letter queue beside the prefix is not, and URLs may stand for the name, too. */
static bool is_listed_by_name(const struct qe_sqs_settings *settings, const char *name)
{
    const char *prefix = settings->queue_name_prefix;

    if (settings->queue_urls.count > 0 || strchr(name, '/') != NULL) {
        return false;
    }
    for (size_t i = 0; i < settings->queue_names.count; i++) {
        if (strcmp(settings->queue_names.items[i], name) == 0) {
            return true;
        }
    }
    return prefix == NULL ? settings->queue_names.count == 0 : qe_text_starts_with(name, prefix);
}

int qe_sqs_find(void *self, const char *name, int64_t deadline_mono_ms, struct qe_queue *out,
                struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    struct qe_queue queue = {0};

    if (!is_listed_by_name(sqs->settings, name)) {
        return qe_err_set(err, QE_ERR_UNSUPPORTED, "queue \"%s\" is found by a list only", name);
    }
    if (qe_queue_init(&queue, NULL, name,
                      ends_with(name, ".fifo") ? QE_KIND_FIFO : QE_KIND_STANDARD, err) != 0) {
        return -1;
    }
    const struct qe_sqs_queue *found =
        qe_sqs_queue_find_interruptible(sqs, &queue, deadline_mono_ms, err);
    char *address = found == NULL ? NULL : qe_strdup(found->url);

    if (address == NULL) {
        qe_queue_deinit(&queue);
        return found == NULL ? -1 : qe_err_set(err, QE_ERR_NOMEM, "queue \"%s\"", name);
    }
    qe_free(queue.address);
    queue.address = address;
    *out = queue;
    return 0;
}

void qe_sqs_queue_forget(struct qe_sqs *sqs, struct qe_sqs_queue *queue)
{
    struct qe_sqs_work *work = sqs->work;

    for (size_t i = 0; i < QE_SQS_PARALLEL_MAX; i++) {
        if (queue->polls[i].is_started) {
            return; /* it is still spoken of */
        }
    }
    for (size_t i = 0; i < work->queues_count; i++) {
        if (work->queues[i] == queue) {
            queue_destroy(queue);
            work->queues[i] = work->queues[--work->queues_count];
            return;
        }
    }
}

/* --- facts --- */

static int take_facts(struct qe_sqs_queue *queue, const struct qe_json *answer,
                      uint64_t in_flight_limit, struct qe_err *err)
{
    struct qe_sqs_attributes facts = {0};

    if (qe_sqs_attributes_parse(answer, in_flight_limit, &facts, err) != 0) {
        return -1;
    }
    if (qe_sample_has(&facts.sample, QE_FIELD_VISIBILITY_TIMEOUT_SECONDS)) {
        double seconds = facts.sample.values[QE_FIELD_VISIBILITY_TIMEOUT_SECONDS];

        /* Without any, a delivery would be over before it is here: what is asked for is 1 s. */
        queue->visibility_ms = seconds < 1 ? 1000 : (int64_t)(seconds * 1000);
    }
    queue->delay_ms = 0;
    if (qe_sample_has(&facts.sample, QE_FIELD_DELIVERY_DELAY_SECONDS)) {
        double seconds = facts.sample.values[QE_FIELD_DELIVERY_DELAY_SECONDS];

        queue->delay_ms = (int64_t)(seconds * 1000);
    }
    queue->is_fifo = queue->is_fifo || facts.is_fifo;
    queue->content_deduplication = facts.content_deduplication;
    memcpy(queue->arn, facts.arn, sizeof queue->arn);
    memcpy(queue->dead_letter_arn, facts.dead_letter_arn, sizeof queue->dead_letter_arn);
    return 0;
}

/* Whether the facts have the same dead-letter queue. That of another account has its number before
 * its name. */
static bool has_link(const struct qe_sqs_queue *queue, const struct qe_queue *told)
{
    struct qe_sqs_arn arn = {0};

    if (told->links_count == 0 || !qe_sqs_arn_parse(queue->dead_letter_arn, &arn)) {
        return told->links_count == 0 && queue->dead_letter_arn[0] == '\0';
    }
    const char *name = strrchr(told->links[0].queue, '/');

    return strcmp(name == NULL ? told->links[0].queue : name + 1, arn.name) == 0;
}

void qe_sqs_queue_heed(struct qe_sqs_queue *queue, const struct qe_queue *told)
{
    uint64_t number = QE_HASH_START;

    if (!told->dead_letter_known) {
        return;
    }
    for (size_t i = 0; i < told->links_count; i++) {
        number = fnv1a(fnv1a(number, "\n"), told->links[i].queue);
    }
    /* A list that is older than the facts is heeded once: it costs a call, and they stay. */
    if (number != queue->told && queue->facts_mono_ms != 0 && !has_link(queue, told)) {
        queue->facts_mono_ms = qe_clock_mono_ms() - FACTS_AGE_MS;
    }
    queue->told = number;
}

int qe_sqs_queue_learn(struct qe_sqs *sqs, struct qe_sqs_queue *queue, bool interruptible,
                       int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_aws_call *call = &sqs->work->call;
    struct qe_json *answer = NULL;
    struct qe_err why = {0};
    int64_t now = qe_clock_mono_ms();
    bool known = queue->facts_mono_ms != 0;

    if (known && now - queue->facts_mono_ms < FACTS_AGE_MS) {
        return 0;
    }
    qe_sqs_call_init(sqs, call, QE_SQS_GET_QUEUE_ATTRIBUTES, deadline_mono_ms);
    qe_sqs_append_queue_url(&call->body, queue);
    (void)qe_strbuf_printf(&call->body, ",\"AttributeNames\":%s}", qe_sqs_attribute_names);
    int rc = interruptible ? qe_sqs_ask_interruptible(sqs, call, &answer, &why)
                           : qe_sqs_ask(sqs, call, &answer, &why);

    if (rc == 0) {
        rc = take_facts(queue, answer, sqs->settings->in_flight_limit, &why);
    }
    qe_json_destroy(answer);
    if (rc == 0 || why.code == QE_ERR_AUTH) {
        queue->facts_mono_ms = now;
        queue->facts_error = why;
        return 0;
    }
    if (known && why.code != QE_ERR_CANCELLED && why.code != QE_ERR_NOT_FOUND) {
        queue->facts_mono_ms = now - FACTS_AGE_MS + FACTS_RETRY_MS;
        return 0;
    }
    *err = why;
    return qe_err_wrap(err, "queue \"%s\"", queue->name);
}

/* --- PurgeQueue --- */

int qe_sqs_purge(void *self, const struct qe_queue *queue, int64_t deadline_mono_ms,
                 uint64_t *out_count, struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    struct qe_sqs_queue *target = qe_sqs_queue_find(sqs, queue, deadline_mono_ms, err);
    struct qe_json *answer = NULL;

    if (target == NULL) {
        return -1;
    }
    struct qe_aws_call *call = &sqs->work->call;

    qe_sqs_call_init(sqs, call, QE_SQS_PURGE_QUEUE, deadline_mono_ms);
    qe_sqs_append_queue_url(&call->body, target);
    (void)qe_strbuf_append_char(&call->body, '}');
    if (qe_sqs_ask(sqs, call, &answer, err) != 0) {
        if (qe_aws_call_has_code(call, "PurgeQueueInProgress")) {
            return qe_err_set(err, QE_ERR_THROTTLED,
                              "queue \"%s\" was purged less than 60 s ago, and SQS purges a queue "
                              "once in 60 s: wait, then purge again",
                              queue->name);
        }
        if (err->code == QE_ERR_NOT_FOUND) {
            qe_sqs_queue_forget(sqs, target);
        }
        return qe_err_wrap(err, "queue \"%s\"", queue->name);
    }
    qe_json_destroy(answer);
    for (size_t i = 0; i < target->held.count; i++) {
        qe_message_deinit(&target->held.items[i]);
    }
    target->held.count = 0;
    *out_count = UINT64_MAX;
    return 0;
}
