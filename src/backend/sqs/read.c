/* Attributes of many queues: what is asked, what an answer changes, and when to give up. */
#include <string.h>

#include "backend/sqs/watch.h"
#include "util/mem.h"
#include "util/text.h"

#define PATIENCE_MAX ((size_t)1 << 30)
#define ASK_ALL "[\"All\"]"
#define NEEDED_COUNT 3 /* the counts: without them there is no reading */

/* --- asking --- */

static void fill_url_call(struct qe_sqs_reader *reader, const struct qe_sqs_record *record,
                          struct qe_aws_call *call)
{
    qe_sqs_call_init(reader->sqs, call, QE_SQS_GET_QUEUE_URL, reader->deadline_mono_ms);
    (void)qe_strbuf_append_text(&call->body, "{\"QueueName\":");
    qe_sqs_append_text(&call->body, record->name, strlen(record->name));
    (void)qe_strbuf_append_char(&call->body, '}');
}

static void fill_attributes_call(struct qe_sqs_reader *reader, const struct qe_sqs_record *record,
                                 struct qe_aws_call *call)
{
    const char *names = reader->sqs->watch->attribute_names;

    qe_sqs_call_init(reader->sqs, call, QE_SQS_GET_QUEUE_ATTRIBUTES, reader->deadline_mono_ms);
    (void)qe_strbuf_append_text(&call->body, "{\"QueueUrl\":");
    qe_sqs_append_text(&call->body, record->url, strlen(record->url));
    (void)qe_strbuf_append_text(&call->body, ",\"AttributeNames\":");
    (void)qe_strbuf_append_text(&call->body, names == NULL ? qe_sqs_attribute_names : names);
    (void)qe_strbuf_append_char(&call->body, '}');
}

static bool next(void *self, struct qe_aws_call *call)
{
    struct qe_sqs_reader *reader = self;

    if (reader->next >= reader->count) {
        return false;
    }
    struct qe_sqs_record *record = reader->records[reader->next];

    if (record->url == NULL) {
        fill_url_call(reader, record, call);
    } else {
        fill_attributes_call(reader, record, call);
    }
    call->context = &reader->records[reader->next];
    reader->next++;
    return true;
}

/* --- what an answer changes --- */

static int replace(char **slot, const char *value, bool *changed, struct qe_err *err)
{
    if (strcmp(*slot == NULL ? "" : *slot, value) == 0) {
        return 0;
    }
    char *copy = value[0] == '\0' ? NULL : qe_strdup(value);
    if (copy == NULL && value[0] != '\0') {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for facts of a queue");
    }
    qe_free(*slot);
    *slot = copy;
    *changed = true;
    return 0;
}

static bool is_empty(const struct qe_sample *sample)
{
    return sample->values[QE_FIELD_READY_MESSAGES] == 0 &&
           sample->values[QE_FIELD_IN_FLIGHT_MESSAGES] == 0 &&
           sample->values[QE_FIELD_DELAYED_MESSAGES] == 0;
}

static int learn(struct qe_sqs_reader *reader, struct qe_sqs_record *record,
                 const struct qe_sqs_attributes *read, struct qe_err *err)
{
    struct qe_sqs_registry *registry = &reader->sqs->watch->registry;
    bool changed = !record->is_known || record->is_fifo != read->is_fifo ||
                   record->dead_letter_known != read->dead_letter_known || record->is_gone ||
                   record->is_denied;

    if (read->arn[0] != '\0' && (record->arn == NULL || strcmp(record->arn, read->arn) != 0)) {
        if (qe_sqs_registry_set(registry, record, QE_SQS_BY_ARN, read->arn, err) != 0) {
            return -1;
        }
        changed = true;
    }
    if (replace(&record->dead_letter_arn, read->dead_letter_arn, &changed, err) != 0) {
        return -1;
    }
    qe_sqs_age_note(reader->sqs, record, is_empty(&read->sample));
    record->is_known = true;
    record->is_gone = false;
    record->is_denied = false;
    record->is_fifo = read->is_fifo;
    record->dead_letter_known = read->dead_letter_known;
    record->is_empty = is_empty(&read->sample);
    reader->facts_changed = reader->facts_changed || changed;
    return 0;
}

/* --- attributes that a server does not know --- */

/* An emulator refuses the whole question over one name. Index of the longest one that its message
 * holds, since some begin with others; SIZE_MAX: it names none that can be left out. */
static size_t find_unknown(const char *message)
{
    size_t found = SIZE_MAX;
    size_t found_bytes = 0;

    for (size_t i = 0; i < QE_SQS_ATTRIBUTE_NAMES_COUNT; i++) {
        const size_t bytes = strlen(qe_sqs_attribute_name_list[i]);

        if (bytes > found_bytes && strstr(message, qe_sqs_attribute_name_list[i]) != NULL) {
            found = i;
            found_bytes = bytes;
        }
    }
    return found < NEEDED_COUNT ? SIZE_MAX : found;
}

static int name_what_is_left(struct qe_sqs_watch *watch, struct qe_err *err)
{
    struct qe_strbuf names;

    qe_strbuf_init(&names, 0);
    for (size_t i = 0; i < QE_SQS_ATTRIBUTE_NAMES_COUNT; i++) {
        if ((watch->attributes_dropped & (UINT32_C(1) << i)) == 0) {
            (void)qe_strbuf_printf(&names, "%c\"%s\"", i == 0 ? '[' : ',',
                                   qe_sqs_attribute_name_list[i]);
        }
    }
    (void)qe_strbuf_append_char(&names, ']');
    if (qe_strbuf_error(&names, err) != 0) {
        qe_strbuf_deinit(&names);
        return -1;
    }
    qe_free(watch->attribute_names);
    watch->attribute_names = qe_strbuf_detach(&names);
    return 0;
}

/* Asks for less, for the rest of this handle's life. 1: done, and worth asking again; 0: there is
 * nothing left to leave out; -1: out of memory. */
static int ask_for_less(struct qe_sqs_watch *watch, const struct qe_aws_call *call,
                        struct qe_err *err)
{
    const char *now =
        watch->attribute_names == NULL ? qe_sqs_attribute_names : watch->attribute_names;

    if (strstr(qe_strbuf_text(&call->body), now) == NULL) {
        return 1; /* another answer to the same question has done it already */
    }
    if (strcmp(now, ASK_ALL) == 0) {
        return 0;
    }
    const size_t unknown = find_unknown(call->err.message);

    if (unknown != SIZE_MAX && (watch->attributes_dropped & (UINT32_C(1) << unknown)) == 0) {
        watch->attributes_dropped |= UINT32_C(1) << unknown;
        return name_what_is_left(watch, err) == 0 ? 1 : -1;
    }
    char *all = qe_strdup(ASK_ALL);
    if (all == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "names of attributes");
    }
    qe_free(watch->attribute_names);
    watch->attribute_names = all;
    return 1;
}

/* --- answers --- */

/* A refusal of who asks, not of what is asked: the next call would meet the same. */
static bool refuses_everybody(const struct qe_aws_call *call)
{
    return call->err.code == QE_ERR_AUTH && call->code[0] != '\0' &&
           !qe_aws_call_has_code(call, "AccessDenied") &&
           !qe_aws_call_has_code(call, "AccessDeniedException");
}

/* True when nobody can get past this: by its kind, or because nobody has so far. */
static bool is_hopeless(struct qe_sqs_reader *reader, const struct qe_aws_call *call)
{
    struct qe_sqs_watch *watch = reader->sqs->watch;
    const enum qe_err_code code = call->err.code;

    if (refuses_everybody(call)) {
        return true;
    }
    if (watch->was_good || (code != QE_ERR_AUTH && code != QE_ERR_NETWORK)) {
        return false;
    }
    reader->refused_count++;
    if (reader->refused_count < watch->patience) {
        return false;
    }
    /* Were it wrong, the next poll finds out more: in the end everything is asked. */
    watch->patience *= watch->patience < PATIENCE_MAX ? 2 : 1;
    return true;
}

static enum qe_sqs_flow_verdict note_failure(struct qe_sqs_reader *reader, size_t index,
                                             const struct qe_err *why)
{
    struct qe_sqs_record *record = reader->records[index];

    record->is_gone = why->code == QE_ERR_NOT_FOUND;
    record->is_denied = why->code == QE_ERR_AUTH;
    qe_cadence_failed(&record->cadence);
    reader->done(reader->self, index, NULL, why);
    return QE_SQS_FLOW_DONE;
}

static enum qe_sqs_flow_verdict take_attributes(struct qe_sqs_reader *reader, size_t index,
                                                const struct qe_aws_call *call,
                                                const struct qe_json *reply, struct qe_err *err)
{
    struct qe_sqs *sqs = reader->sqs;
    struct qe_sqs_attributes read;
    struct qe_err why = {0};

    if (qe_sqs_attributes_parse(reply, sqs->settings->in_flight_limit, &read, &why) != 0) {
        qe_sqs_count_nonsense(sqs, call, why.code);
        return note_failure(reader, index, &why);
    }
    if (learn(reader, reader->records[index], &read, err) != 0) {
        return QE_SQS_FLOW_STOP;
    }
    sqs->watch->was_good = true;
    reader->done(reader->self, index, &read, NULL);
    return QE_SQS_FLOW_DONE;
}

/* The address of a queue that was configured by name; its attributes are asked next. */
static enum qe_sqs_flow_verdict take_url(struct qe_sqs_reader *reader, size_t index,
                                         struct qe_aws_call *call, const struct qe_json *reply,
                                         struct qe_err *err)
{
    struct qe_sqs_watch *watch = reader->sqs->watch;
    struct qe_sqs_record *record = reader->records[index];
    const char *url = qe_json_text(qe_json_get(reply, "QueueUrl"));
    struct qe_err why = {0};
    const char *account = NULL;
    const char *name = NULL;
    size_t account_bytes = 0;

    if (url == NULL || !qe_sqs_url_split(url, &account, &account_bytes, &name)) {
        (void)qe_err_set(&why, QE_ERR_PROTOCOL, "GetQueueUrl: no URL in the answer");
        qe_sqs_count_nonsense(reader->sqs, call, why.code);
        return note_failure(reader, index, &why);
    }
    if (qe_sqs_registry_set(&watch->registry, record, QE_SQS_BY_URL, url, err) != 0) {
        return QE_SQS_FLOW_STOP;
    }
    reader->facts_changed = true;
    fill_attributes_call(reader, record, call);
    return QE_SQS_FLOW_AGAIN;
}

static enum qe_sqs_flow_verdict take_failure(struct qe_sqs_reader *reader, size_t index,
                                             struct qe_aws_call *call, struct qe_err *err)
{
    if (qe_aws_call_has_code(call, "InvalidAttributeName")) {
        const int rc = ask_for_less(reader->sqs->watch, call, err);

        if (rc != 0) {
            fill_attributes_call(reader, reader->records[index], call);
            return rc > 0 ? QE_SQS_FLOW_AGAIN : QE_SQS_FLOW_STOP;
        }
    }
    if (is_hopeless(reader, call)) {
        *err = call->err;
        return QE_SQS_FLOW_STOP;
    }
    return note_failure(reader, index, &call->err);
}

static enum qe_sqs_flow_verdict finished(void *self, struct qe_aws_call *call, struct qe_err *err)
{
    struct qe_sqs_reader *reader = self;
    struct qe_sqs_record **at = call->context;
    const size_t index = (size_t)(at - reader->records);
    struct qe_json *reply = NULL;
    struct qe_err why = {0};

    if (call->err.code != QE_OK) {
        return take_failure(reader, index, call, err);
    }
    if (qe_sqs_parse(reader->sqs, call, &reply, &why) != 0) {
        return note_failure(reader, index, &why);
    }
    const enum qe_sqs_flow_verdict verdict = call->operation == QE_SQS_GET_QUEUE_URL
                                                 ? take_url(reader, index, call, reply, err)
                                                 : take_attributes(reader, index, call, reply, err);
    qe_json_destroy(reply);
    return verdict;
}

int qe_sqs_read_queues(struct qe_sqs_reader *reader, struct qe_err *err)
{
    const struct qe_sqs_flow flow = {
        .until_mono_ms = reader->until_mono_ms, .self = reader, .next = next, .finished = finished};

    return qe_sqs_flow_run(reader->sqs, &flow, err);
}
