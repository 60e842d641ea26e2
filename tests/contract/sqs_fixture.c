#include "contract/sqs_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/call.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/mem.h"

#define CALL_MS 20000
#define SKIPPED 77

const char *sqs_fixture_need(const char *variable)
{
    const char *value = getenv(variable); /* NOLINT(concurrency-mt-unsafe): before any thread */

    if (value == NULL || value[0] == '\0') {
        (void)printf("skipped: %s is not set; ctest starts the server and sets it\n", variable);
        exit(SKIPPED); /* NOLINT(concurrency-mt-unsafe): before any thread */
    }
    return value;
}

/* --- the service, asked for what the driver does not do --- */

/* The client borrows *out_provider: the caller releases it after the client's end. */
static struct qe_aws_client *open_client(const struct sqs_fixture *fixture,
                                         struct qe_aws_provider **out_provider, struct qe_err *err)
{
    const struct qe_aws_identity identity = {.region = fixture->settings.region,
                                             .access_key_id = fixture->settings.access_key_id,
                                             .secret_access_key =
                                                 fixture->settings.secret_access_key,
                                             .endpoint = fixture->settings.endpoint};
    struct qe_aws_client_options options = {.provider =
                                                qe_aws_provider_acquire(&identity, NULL, err)};

    *out_provider = options.provider;
    return options.provider == NULL ? NULL : qe_aws_client_new(&options, err);
}

/* The answer, which the caller destroys; NULL with *err. */
static struct qe_json *ask(struct qe_aws_client *client, const char *target, const char *body,
                           struct qe_err *err)
{
    struct qe_aws_call call = {
        .service = QE_AWS_SQS, .target = target, .deadline_mono_ms = qe_clock_mono_ms() + CALL_MS};
    struct qe_json *answer = NULL;

    if (qe_strbuf_append_text(&call.body, body) != 0) {
        (void)qe_err_set(err, QE_ERR_NOMEM, "%s", target);
    } else if (qe_aws_do(client, &call, err) == 0) {
        answer = call.reply_body.length_bytes == 0
                     ? qe_json_new_object()
                     : qe_json_parse(call.reply_body.data, call.reply_body.length_bytes, err);
    }
    qe_aws_call_deinit(&call);
    return answer;
}

/* A copy of a text of the answer, which it destroys. */
static char *pick_take(struct qe_json *answer, const char *in, const char *name, struct qe_err *err)
{
    const struct qe_json *object = in == NULL ? answer : qe_json_get(answer, in);
    const char *text = qe_json_text(qe_json_get(object, name));
    char *copy = text == NULL ? NULL : qe_strdup(text);

    if (answer != NULL && copy == NULL) {
        (void)qe_err_set(err, QE_ERR_PROTOCOL, "no %s in the answer", name);
    }
    qe_json_destroy(answer);
    return copy;
}

static int create_queue(struct sqs_fixture *fixture, struct qe_aws_client *client,
                        enum qe_contract_queue which, const char *attributes, struct qe_err *err)
{
    static const char *const names[QE_CONTRACT_QUEUE_COUNT] = {
        [QE_CONTRACT_WORK] = "work",
        [QE_CONTRACT_WORK_DLQ] = "work-dlq",
        [QE_CONTRACT_BRIEF] = "brief",
        [QE_CONTRACT_ORDERED] = "ordered.fifo",
    };
    char body[1024];

    (void)snprintf(body, sizeof body, "{\"QueueName\":\"%s%s\",\"Attributes\":{%s}}",
                   fixture->prefix, names[which], attributes);
    fixture->urls[which] =
        pick_take(ask(client, "AmazonSQS.CreateQueue", body, err), NULL, "QueueUrl", err);
    return fixture->urls[which] == NULL ? -1 : 0;
}

static int create_all(struct sqs_fixture *fixture, struct qe_aws_client *client, struct qe_err *err)
{
    char text[1024];

    if (create_queue(fixture, client, QE_CONTRACT_WORK_DLQ, "\"VisibilityTimeout\":\"30\"", err) !=
        0) {
        return -1;
    }
    (void)snprintf(text, sizeof text, "{\"QueueUrl\":\"%s\",\"AttributeNames\":[\"QueueArn\"]}",
                   fixture->urls[QE_CONTRACT_WORK_DLQ]);
    char *arn = pick_take(ask(client, "AmazonSQS.GetQueueAttributes", text, err), "Attributes",
                          "QueueArn", err);

    if (arn == NULL) {
        return -1;
    }
    (void)snprintf(text, sizeof text,
                   "\"VisibilityTimeout\":\"%d\",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":"
                   "\\\"%s\\\",\\\"maxReceiveCount\\\":3}\"",
                   SQS_FIXTURE_WORK_MS / 1000, arn);
    qe_free(arn);
    int rc = create_queue(fixture, client, QE_CONTRACT_WORK, text, err);

    (void)snprintf(text, sizeof text, "\"VisibilityTimeout\":\"%d\"", SQS_FIXTURE_BRIEF_MS / 1000);
    rc = rc == 0 ? create_queue(fixture, client, QE_CONTRACT_BRIEF, text, err) : rc;
    return rc == 0 ? create_queue(fixture, client, QE_CONTRACT_ORDERED,
                                  "\"FifoQueue\":\"true\",\"VisibilityTimeout\":\"30\"", err)
                   : rc;
}

/* --- the slots --- */

static int fill_settings(struct sqs_fixture *fixture, struct qe_err *err)
{
    struct qe_sqs_settings *settings = &fixture->settings;
    const char *secret = fixture->secret_access_key;

    if (qe_section_set_defaults(&qe_sqs_section, settings, err) != 0) {
        return -1;
    }
    settings->region = qe_strdup(fixture->region);
    settings->endpoint = qe_strdup(fixture->url);
    settings->access_key_id = qe_strdup(fixture->access_key_id);
    settings->queue_name_prefix = qe_strdup(fixture->prefix);
    settings->secret_access_key = qe_secret_new(secret, strlen(secret), err);
    settings->oldest_age.method = fixture->has_cloudwatch ? QE_SQS_AGE_CLOUDWATCH : QE_SQS_AGE_NONE;
    settings->cadence.adaptive = false; /* every sample() reads every queue */
    return settings->secret_access_key == NULL ? -1 : 0;
}

int sqs_fixture_setup(void *context, struct qe_err *err)
{
    struct sqs_fixture *fixture = context;
    struct qe_aws_provider *provider = NULL;
    struct qe_aws_client *client = NULL;

    fixture->rounds++;
    (void)snprintf(fixture->prefix, sizeof fixture->prefix, "c%ld-%u-", (long)getpid(),
                   fixture->rounds);
    if (fill_settings(fixture, err) != 0) {
        return -1;
    }
    client = open_client(fixture, &provider, err);
    int rc = client == NULL ? -1 : create_all(fixture, client, err);

    qe_aws_client_destroy(client);
    qe_aws_provider_release(provider);
    if (rc == 0) { /* there is none of this name */
        const char *url = fixture->urls[QE_CONTRACT_WORK];
        const size_t bytes = strlen(url) - strlen("work");
        char absent[512];

        (void)snprintf(absent, sizeof absent, "%.*sabsent", (int)bytes, url);
        fixture->urls[QE_CONTRACT_ABSENT] = qe_strdup(absent);
    }
    return rc;
}

void sqs_fixture_teardown(void *context)
{
    struct sqs_fixture *fixture = context;
    struct qe_err err = {0};
    struct qe_aws_provider *provider = NULL;
    struct qe_aws_client *client = open_client(fixture, &provider, &err);

    for (size_t i = 0; i < QE_CONTRACT_QUEUE_COUNT; i++) {
        if (client != NULL && fixture->urls[i] != NULL && i != QE_CONTRACT_ABSENT) {
            char body[600];

            (void)snprintf(body, sizeof body, "{\"QueueUrl\":\"%s\"}", fixture->urls[i]);
            qe_json_destroy(ask(client, "AmazonSQS.DeleteQueue", body, &err));
        }
        qe_free(fixture->urls[i]);
        fixture->urls[i] = NULL;
    }
    qe_aws_client_destroy(client);
    qe_aws_provider_release(provider);
    qe_section_deinit(&qe_sqs_section, &fixture->settings);
}

const void *sqs_fixture_settings(void *context)
{
    return &((struct sqs_fixture *)context)->settings;
}

int sqs_fixture_queue(void *context, enum qe_contract_queue which, struct qe_queue *out,
                      struct qe_err *err)
{
    struct sqs_fixture *fixture = context;
    const char *url = fixture->urls[which];
    const char *name = strrchr(url, '/') + 1;

    if (qe_queue_init(out, NULL, name,
                      which == QE_CONTRACT_ORDERED ? QE_KIND_FIFO : QE_KIND_STANDARD, err) != 0) {
        return -1;
    }
    qe_free(out->address);
    out->address = qe_strdup(url);
    return out->address == NULL ? qe_err_set(err, QE_ERR_NOMEM, "%s", name) : 0;
}

struct qe_contract_fixture sqs_fixture_contract(struct sqs_fixture *fixture, const char *name)
{
    return (struct qe_contract_fixture){
        .name = name,
        .driver = &qe_driver_sqs,
        .context = fixture,
        .brief_visibility_ms = SQS_FIXTURE_BRIEF_MS,
        .work_visibility_ms = SQS_FIXTURE_WORK_MS,
        .wake_ms = SQS_FIXTURE_WAKE_MS,
        .counts_exactly = false,
        .takes_text_only = true,
        .sent_time_restarts = true,
        .setup = sqs_fixture_setup,
        .teardown = sqs_fixture_teardown,
        .settings = sqs_fixture_settings,
        .queue = sqs_fixture_queue,
    };
}
