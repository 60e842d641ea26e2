/* What GetQueueAttributes says. Every value is text, even numbers; emulators differ in small ways.
 * Source: Amazon SQS API Reference, GetQueueAttributes (2012-11-05). */
#include <string.h>

#include "backend/sqs/internal.h"
#include "util/text.h"

#define COUNT_MAX 9007199254740992.0 /* 2^53: exact in a double */

enum attribute {
    ATTRIBUTE_READY = 0,
    ATTRIBUTE_IN_FLIGHT,
    ATTRIBUTE_DELAYED,
    ATTRIBUTE_VISIBILITY,
    ATTRIBUTE_RETENTION,
    ATTRIBUTE_DELAY,
    ATTRIBUTE_ARN,
    ATTRIBUTE_REDRIVE,
    ATTRIBUTE_FIFO,
    ATTRIBUTE_CONTENT
};

#define QUEUE_ARN "QueueArn"
#define REDRIVE_POLICY "RedrivePolicy"

const char *const qe_sqs_attribute_name_list[QE_SQS_ATTRIBUTE_NAMES_COUNT] = {
    [ATTRIBUTE_READY] = "ApproximateNumberOfMessages",
    [ATTRIBUTE_IN_FLIGHT] = "ApproximateNumberOfMessagesNotVisible",
    [ATTRIBUTE_DELAYED] = "ApproximateNumberOfMessagesDelayed",
    [ATTRIBUTE_VISIBILITY] = "VisibilityTimeout",
    [ATTRIBUTE_RETENTION] = "MessageRetentionPeriod",
    [ATTRIBUTE_DELAY] = "DelaySeconds",
    [ATTRIBUTE_ARN] = QUEUE_ARN,
    [ATTRIBUTE_REDRIVE] = REDRIVE_POLICY,
    [ATTRIBUTE_FIFO] = "FifoQueue",
    [ATTRIBUTE_CONTENT] = "ContentBasedDeduplication",
};

const char qe_sqs_attribute_names[] =
    "[\"ApproximateNumberOfMessages\",\"ApproximateNumberOfMessagesNotVisible\","
    "\"ApproximateNumberOfMessagesDelayed\",\"VisibilityTimeout\",\"MessageRetentionPeriod\","
    "\"DelaySeconds\",\"" QUEUE_ARN "\",\"" REDRIVE_POLICY "\",\"FifoQueue\","
    "\"ContentBasedDeduplication\"]";

/* Which field of the sample a number goes into, by attribute. */
static const enum qe_field s_fields[] = {
    [ATTRIBUTE_READY] = QE_FIELD_READY_MESSAGES,
    [ATTRIBUTE_IN_FLIGHT] = QE_FIELD_IN_FLIGHT_MESSAGES,
    [ATTRIBUTE_DELAYED] = QE_FIELD_DELAYED_MESSAGES,
    [ATTRIBUTE_VISIBILITY] = QE_FIELD_VISIBILITY_TIMEOUT_SECONDS,
    [ATTRIBUTE_RETENTION] = QE_FIELD_RETENTION_SECONDS,
    [ATTRIBUTE_DELAY] = QE_FIELD_DELIVERY_DELAY_SECONDS,
};
#define NUMBERS_COUNT (sizeof(s_fields) / sizeof(s_fields[0]))

/* A number that AWS writes as text, and some emulators as a number. */
static int read_number(const struct qe_json *value, const char *name, double *out,
                       struct qe_err *err)
{
    const char *text = qe_json_text(value);
    double number = 0;
    struct qe_err ignored = {0};

    if (text != NULL ? qe_text_to_double(text, &number, &ignored) != 0
                     : !qe_json_number(value, &number)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "attribute %s is not a number", name);
    }
    if (!(number >= 0 && number <= COUNT_MAX)) {
        return qe_err_set(err, QE_ERR_PROTOCOL, "attribute %s is out of range", name);
    }
    *out = number;
    return 0;
}

static bool read_bool(const struct qe_json *value)
{
    const char *text = qe_json_text(value);
    bool is_true = false;

    return text != NULL ? qe_text_equal_nocase(text, "true")
                        : qe_json_bool(value, &is_true) && is_true;
}

/* False, and "", when it does not fit. */
static bool copy_text(char *out, size_t out_bytes, const char *text, size_t bytes)
{
    bool fits = bytes < out_bytes;

    if (fits) {
        memcpy(out, text, bytes);
    }
    out[fits ? bytes : 0] = '\0';
    return fits;
}

/* The policy is a JSON document inside a JSON string. One that cannot be read hides nothing but
 * itself. */
static int read_redrive_policy(const struct qe_json *value, struct qe_sqs_attributes *out,
                               struct qe_err *err)
{
    const char *text = qe_json_text(value);
    struct qe_err why = {0};
    double max_receives = 0;

    if (text == NULL || text[0] == '\0') {
        return 0; /* emulators keep the empty text that takes a policy off */
    }
    out->dead_letter_known = false;
    struct qe_json *policy = qe_json_parse(text, strlen(text), &why);
    if (policy == NULL) {
        return why.code == QE_ERR_NOMEM ? qe_err_set(err, why.code, "redrive policy") : 0;
    }
    const char *arn = qe_json_text(qe_json_get(policy, "deadLetterTargetArn"));
    if (arn != NULL &&
        copy_text(out->dead_letter_arn, sizeof out->dead_letter_arn, arn, strlen(arn)) &&
        arn[0] != '\0') {
        out->dead_letter_known = true;
        if (read_number(qe_json_get(policy, "maxReceiveCount"), "maxReceiveCount", &max_receives,
                        &why) == 0) {
            qe_sample_set(&out->sample, QE_FIELD_MAX_RECEIVES, max_receives);
        }
    }
    qe_json_destroy(policy);
    return 0;
}

static int read_attribute(size_t which, const struct qe_json *value, struct qe_sqs_attributes *out,
                          struct qe_err *err)
{
    double number = 0;

    if (which < NUMBERS_COUNT) {
        if (read_number(value, qe_sqs_attribute_name_list[which], &number, err) != 0) {
            return -1;
        }
        qe_sample_set(&out->sample, s_fields[which], number);
        return 0;
    }
    if (which == ATTRIBUTE_REDRIVE) {
        return read_redrive_policy(value, out, err);
    }
    if (which == ATTRIBUTE_ARN) {
        const char *arn = qe_json_text(value);

        arn = arn == NULL ? "" : arn;
        (void)copy_text(out->arn, sizeof out->arn, arn, strlen(arn));
    } else if (which == ATTRIBUTE_FIFO) {
        out->is_fifo = read_bool(value);
    } else {
        out->content_deduplication = read_bool(value);
    }
    return 0;
}

static size_t find_attribute(const char *name)
{
    for (size_t i = 0; i < QE_SQS_ATTRIBUTE_NAMES_COUNT; i++) {
        if (strcmp(name, qe_sqs_attribute_name_list[i]) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

int qe_sqs_attributes_parse(const struct qe_json *reply, uint64_t in_flight_limit,
                            struct qe_sqs_attributes *out, struct qe_err *err)
{
    struct qe_sqs_attributes read = {.dead_letter_known = true};
    const struct qe_json *attributes = qe_json_get(reply, "Attributes");

    for (const struct qe_json *value = qe_json_first(attributes); value != NULL;
         value = qe_json_next(value)) {
        size_t which = find_attribute(qe_json_key(value));

        if (which != SIZE_MAX && read_attribute(which, value, &read, err) != 0) {
            return -1;
        }
    }
    for (size_t i = ATTRIBUTE_READY; i <= ATTRIBUTE_DELAYED; i++) {
        if (!qe_sample_has(&read.sample, s_fields[i])) {
            return qe_err_set(err, QE_ERR_PROTOCOL, "GetQueueAttributes: no %s in the answer",
                              qe_sqs_attribute_name_list[i]);
        }
    }
    /* Servers that know no FIFO attributes still know the name. */
    size_t arn_bytes = strlen(read.arn);
    if (arn_bytes > 5 && strcmp(read.arn + arn_bytes - 5, ".fifo") == 0) {
        read.is_fifo = true;
    }
    qe_sample_set(&read.sample, QE_FIELD_IN_FLIGHT_LIMIT_MESSAGES, (double)in_flight_limit);
    *out = read;
    return 0;
}

bool qe_sqs_arn_parse(const char *arn, struct qe_sqs_arn *out)
{
    struct qe_sqs_arn parsed = {0};
    const char *pieces[6];
    size_t bytes[6];

    for (size_t i = 0; i < 6; i++) {
        pieces[i] = arn;
        bytes[i] = strcspn(arn, ":");
        arn += bytes[i];
        if (i < 5 && *arn++ != ':') {
            return false;
        }
    }
    if (*arn != '\0' || bytes[0] != 3 || memcmp(pieces[0], "arn", 3) != 0 || bytes[2] != 3 ||
        memcmp(pieces[2], "sqs", 3) != 0 || bytes[5] == 0 ||
        !copy_text(parsed.region, sizeof parsed.region, pieces[3], bytes[3]) ||
        !copy_text(parsed.account_id, sizeof parsed.account_id, pieces[4], bytes[4]) ||
        !copy_text(parsed.name, sizeof parsed.name, pieces[5], bytes[5])) {
        return false;
    }
    *out = parsed;
    return true;
}
