/* Discovery: what the service lists, what the settings name, and where it dead-letters into. */
#include <string.h>

#include "backend/sqs/watch.h"
#include "util/mem.h"
#include "util/text.h"

#define PAGES_MAX (QE_QUEUES_MAX / 1000)

/* list() itself reads queues that it hears of for the first time, so that their links and kinds are
 * known at once; but not all of a large account, whose filters it does not know: the rest is learnt
 * as it is sampled. */
#define LEARN_MAX 500
/* Of dead-letter queues of dead-letter queues, and back. */
#define LEARN_ROUNDS_MAX 4

struct listing {
    struct qe_sqs *sqs;
    struct qe_sqs_watch *watch;
    int64_t deadline_mono_ms;
    struct qe_aws_call call;
    size_t learnt_count;
};

/* --- what the service lists --- */

static void note_own_account(struct qe_sqs_watch *watch, const char *url)
{
    const char *account = NULL;
    const char *name = NULL;
    size_t account_bytes = 0;

    if (watch->own_account_known || !qe_sqs_url_split(url, &account, &account_bytes, &name) ||
        account_bytes >= sizeof watch->own_account) {
        return;
    }
    memcpy(watch->own_account, account, account_bytes);
    watch->own_account[account_bytes] = '\0';
    watch->own_account_known = true;
}

/* The record of a URL, as one of this generation. */
static struct qe_sqs_record *mark(struct listing *listing, const char *url, struct qe_err *err)
{
    struct qe_sqs_record *record = qe_sqs_registry_url(&listing->watch->registry, url, err);

    if (record != NULL) {
        record->generation = listing->watch->generation;
        record->born = record->born == 0 ? listing->watch->generation : record->born;
    }
    return record;
}

static int take_page(struct listing *listing, const struct qe_json *page, struct qe_err *err)
{
    const struct qe_json *urls = qe_json_get(page, "QueueUrls");

    for (const struct qe_json *at = qe_json_first(urls); at != NULL; at = qe_json_next(at)) {
        const char *url = qe_json_text(at);

        if (url == NULL) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "ListQueues: a queue's URL is not text");
        }
        struct qe_sqs_record *record = mark(listing, url, err);
        if (record == NULL) {
            return -1;
        }
        record->is_listed = true;
        note_own_account(listing->watch, url);
    }
    return 0;
}

/* Keeps the token for the next page; "" after the last. */
static int take_token(const struct qe_json *page, struct qe_strbuf *token, struct qe_err *err)
{
    const char *next = qe_json_text(qe_json_get(page, "NextToken"));

    next = next == NULL ? "" : next;
    if (next[0] != '\0' && strcmp(next, qe_strbuf_text(token)) == 0) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "ListQueues: the same page again and again");
    }
    qe_strbuf_reset(token);
    (void)qe_strbuf_append_text(token, next);
    return qe_strbuf_error(token, err);
}

static int ask_page(struct listing *listing, struct qe_strbuf *token, struct qe_err *err)
{
    const char *prefix = listing->sqs->settings->queue_name_prefix;
    struct qe_strbuf *body = &listing->call.body;
    struct qe_json *page = NULL;

    qe_sqs_call_init(listing->sqs, &listing->call, QE_SQS_LIST_QUEUES, listing->deadline_mono_ms);
    /* Without MaxResults there is no NextToken, and nothing behind the first thousand. */
    (void)qe_strbuf_append_text(body, "{\"MaxResults\":1000");
    if (prefix != NULL && prefix[0] != '\0') {
        (void)qe_strbuf_append_text(body, ",\"QueueNamePrefix\":");
        qe_sqs_append_text(body, prefix, strlen(prefix));
    }
    if (token->length_bytes > 0) {
        (void)qe_strbuf_append_text(body, ",\"NextToken\":");
        qe_sqs_append_text(body, token->data, token->length_bytes);
    }
    (void)qe_strbuf_append_char(body, '}');
    if (qe_sqs_ask_interruptible(listing->sqs, &listing->call, &page, err) != 0) {
        return -1;
    }
    const int rc = take_page(listing, page, err) == 0 ? take_token(page, token, err) : -1;

    qe_json_destroy(page);
    return rc;
}

static int ask_pages(struct listing *listing, struct qe_err *err)
{
    struct qe_strbuf token = {0};
    int rc = ask_page(listing, &token, err);

    for (size_t pages = 1; rc == 0 && token.length_bytes > 0; pages++) {
        rc = pages < PAGES_MAX
                 ? ask_page(listing, &token, err)
                 : qe_err_set(err, QE_ERR_LIMIT, "ListQueues: more than %d queues", QE_QUEUES_MAX);
    }
    qe_strbuf_deinit(&token);
    return rc;
}

/* --- what the settings name --- */

static int mark_urls(struct listing *listing, struct qe_err *err)
{
    const struct qe_text_list *urls = &listing->sqs->settings->queue_urls;

    for (size_t i = 0; i < urls->count; i++) {
        struct qe_sqs_record *record = mark(listing, urls->items[i], err);

        if (record == NULL) {
            return -1;
        }
        record->is_configured = true;
    }
    return 0;
}

/* A name and a URL may turn out to be one queue: the URL's record stays. */
static struct qe_sqs_record *record_of_name(struct listing *listing, size_t index,
                                            struct qe_err *err)
{
    struct qe_sqs_watch *watch = listing->watch;
    struct qe_sqs_record *known = watch->configured[index];

    if (known == NULL) {
        return qe_sqs_registry_add(&watch->registry, NULL,
                                   listing->sqs->settings->queue_names.items[index], err);
    }
    if (known->url != NULL) {
        note_own_account(watch, known->url);
        return qe_sqs_registry_find(&watch->registry, QE_SQS_BY_URL, known->url);
    }
    return known;
}

static int mark_names(struct listing *listing, struct qe_err *err)
{
    struct qe_sqs_watch *watch = listing->watch;

    for (size_t i = 0; i < listing->sqs->settings->queue_names.count; i++) {
        struct qe_sqs_record *record = record_of_name(listing, i, err);

        if (record == NULL) {
            return -1;
        }
        watch->configured[i] = record;
        record->generation = watch->generation;
        record->born = record->born == 0 ? watch->generation : record->born;
        record->is_configured = true;
    }
    return 0;
}

/* CloudWatch and tags know queues of the own account only, and a list of foreign URLs does not say
 * which that is: ask for one of the names, without an account. */
static int ask_own_account(struct listing *listing, struct qe_err *err)
{
    const struct qe_text_list *urls = &listing->sqs->settings->queue_urls;
    struct qe_sqs_watch *watch = listing->watch;
    const char *account = NULL;
    const char *name = NULL;
    size_t account_bytes = 0;
    struct qe_json *reply = NULL;
    struct qe_err why = {0};

    if (watch->own_account_known || watch->account_asked >= urls->count ||
        !qe_sqs_url_split(urls->items[watch->account_asked], &account, &account_bytes, &name)) {
        return 0;
    }
    qe_sqs_call_init(listing->sqs, &listing->call, QE_SQS_GET_QUEUE_URL, listing->deadline_mono_ms);
    (void)qe_strbuf_append_text(&listing->call.body, "{\"QueueName\":");
    qe_sqs_append_text(&listing->call.body, name, strlen(name));
    (void)qe_strbuf_append_char(&listing->call.body, '}');
    if (qe_sqs_ask_interruptible(listing->sqs, &listing->call, &reply, &why) != 0) {
        watch->account_asked += why.code == QE_ERR_NOT_FOUND || why.code == QE_ERR_AUTH ? 1 : 0;
        if (why.code == QE_ERR_CANCELLED || why.code == QE_ERR_NOMEM) {
            *err = why;
            return -1;
        }
        return 0; /* the queues themselves will say what is wrong */
    }
    const char *url = qe_json_text(qe_json_get(reply, "QueueUrl"));
    if (url != NULL) {
        note_own_account(watch, url);
    }
    qe_json_destroy(reply);
    return 0;
}

static int find_queues(struct listing *listing, struct qe_err *err)
{
    const struct qe_sqs_settings *settings = listing->sqs->settings;
    const bool is_selective = settings->queue_names.count > 0 || settings->queue_urls.count > 0;

    if ((!is_selective || settings->queue_name_prefix != NULL) && ask_pages(listing, err) != 0) {
        return -1;
    }
    return mark_urls(listing, err) == 0 && mark_names(listing, err) == 0 &&
                   ask_own_account(listing, err) == 0
               ? 0
               : -1;
}

/* --- what is new --- */

/* Worth a reading before it is listed: never read and new, or shown only if it is there (again). */
static bool is_to_learn(const struct qe_sqs_watch *watch, const struct qe_sqs_record *record)
{
    if (record->generation != watch->generation || record->tried == watch->generation) {
        return false;
    }
    if (record->is_gone || record->is_denied) {
        return !record->is_configured && !(record->is_denied && record->is_listed);
    }
    return !record->is_known && record->born == watch->generation;
}

static void note_learnt(void *self, size_t index, const struct qe_sqs_attributes *read,
                        const struct qe_err *why)
{
    struct qe_sqs_reader *reader = self;

    (void)why;
    if (read != NULL) {
        /* Without memory for it, the sample is read once more. */
        reader->records[index]->fresh = qe_memdup(read, sizeof *read);
    }
}

/* Reads what is new, one round. */
static int learn_once(struct listing *listing, int64_t until_mono_ms, struct qe_err *err)
{
    struct qe_sqs_watch *watch = listing->watch;
    const size_t room = LEARN_MAX - listing->learnt_count;
    struct qe_sqs_record **found = qe_calloc(room, sizeof(struct qe_sqs_record *));
    struct qe_sqs_reader reader = {.sqs = listing->sqs,
                                   .deadline_mono_ms = listing->deadline_mono_ms,
                                   .until_mono_ms = until_mono_ms,
                                   .records = found,
                                   .self = &reader,
                                   .done = note_learnt};

    if (found == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "new queues");
    }
    for (size_t i = 0; i < watch->registry.count && reader.count < room; i++) {
        if (is_to_learn(watch, watch->registry.items[i])) {
            watch->registry.items[i]->tried = watch->generation;
            found[reader.count++] = watch->registry.items[i];
        }
    }
    listing->learnt_count += reader.count;
    const int rc = reader.count == 0 ? 0 : qe_sqs_read_queues(&reader, err);

    qe_free(found);
    return rc;
}

/* Dead-letter queues belong to what is watched, whatever the prefix hides. */
static int follow_links(struct listing *listing, struct qe_err *err)
{
    struct qe_sqs_watch *watch = listing->watch;
    char url[QE_SQS_URL_BYTES];

    for (size_t i = 0; i < watch->registry.count; i++) {
        const struct qe_sqs_record *record = watch->registry.items[i];

        if (record->generation != watch->generation || record->dead_letter_arn == NULL) {
            continue;
        }
        struct qe_sqs_record *target = qe_sqs_dead_letter_of(&watch->registry, record);

        if (target != NULL) {
            target->generation = watch->generation;
        } else if (qe_sqs_dead_letter_url(record, url) && mark(listing, url, err) == NULL) {
            return -1;
        }
    }
    return 0;
}

static int learn_new(struct listing *listing, struct qe_err *err)
{
    const int64_t now = qe_clock_mono_ms();
    const int64_t until_mono_ms = now + (listing->deadline_mono_ms - now) / 2;

    for (int round = 0; round < LEARN_ROUNDS_MAX; round++) {
        const size_t before = listing->learnt_count;

        if (follow_links(listing, err) != 0) {
            return -1;
        }
        if (before >= LEARN_MAX || qe_clock_mono_ms() >= until_mono_ms) {
            return 0;
        }
        if (learn_once(listing, until_mono_ms, err) != 0) {
            return -1;
        }
        if (listing->learnt_count == before) {
            return 0;
        }
    }
    return 0;
}

/* --- list() --- */

static void begin(struct qe_sqs_watch *watch, int64_t deadline_mono_ms)
{
    watch->generation++;
    watch->learn_deadline_mono_ms = deadline_mono_ms;
    for (size_t i = 0; i < watch->registry.count; i++) {
        struct qe_sqs_record *record = watch->registry.items[i];

        record->is_listed = false;
        record->is_configured = false;
        qe_free(record->fresh);
        record->fresh = NULL;
    }
}

int qe_sqs_list(void *self, int64_t deadline_mono_ms, struct qe_queue_list *out, struct qe_err *err)
{
    struct qe_sqs *sqs = self;
    struct listing listing = {.sqs = sqs, .deadline_mono_ms = deadline_mono_ms};
    int rc = qe_sqs_watch_open(sqs, err);

    if (rc != 0) {
        return -1;
    }
    listing.watch = sqs->watch;
    begin(listing.watch, deadline_mono_ms);
    rc = find_queues(&listing, err);
    if (rc == 0) {
        rc = learn_new(&listing, err);
    }
    if (rc == 0) {
        rc = qe_sqs_name_all(listing.watch, err);
    }
    if (rc == 0) {
        rc = qe_sqs_show_all(listing.watch, out, err);
    }
    if (rc == 0) {
        qe_sqs_registry_sweep(&listing.watch->registry, listing.watch->generation);
    }
    qe_aws_call_deinit(&listing.call);
    return rc;
}
