#include "backend/sqs/sqs.h"

#include <math.h>

#include "backend/sqs/internal.h"
#include "util/mem.h"

static const char *const s_operations[QE_SQS_OPERATION_COUNT] = {
    [QE_SQS_LIST_QUEUES] = "ListQueues",
    [QE_SQS_GET_QUEUE_URL] = "GetQueueUrl",
    [QE_SQS_GET_QUEUE_ATTRIBUTES] = "GetQueueAttributes",
    [QE_SQS_LIST_QUEUE_TAGS] = "ListQueueTags",
    [QE_SQS_GET_METRIC_DATA] = "GetMetricData",
    [QE_SQS_SEND_MESSAGE_BATCH] = "SendMessageBatch",
    [QE_SQS_RECEIVE_MESSAGE] = "ReceiveMessage",
    [QE_SQS_DELETE_MESSAGE_BATCH] = "DeleteMessageBatch",
    [QE_SQS_CHANGE_MESSAGE_VISIBILITY_BATCH] = "ChangeMessageVisibilityBatch",
    [QE_SQS_PURGE_QUEUE] = "PurgeQueue",
    [QE_SQS_START_MESSAGE_MOVE_TASK] = "StartMessageMoveTask",
    [QE_SQS_LIST_MESSAGE_MOVE_TASKS] = "ListMessageMoveTasks",
    [QE_SQS_CANCEL_MESSAGE_MOVE_TASK] = "CancelMessageMoveTask",
};

static const char *const s_services[] = {
    [QE_SQS_BILLED_SQS] = "sqs",
    [QE_SQS_BILLED_CLOUDWATCH] = "cloudwatch",
    [QE_SQS_BILLED_COUNT] = NULL,
};

static struct qe_aws_identity identity_of(const struct qe_sqs_settings *settings)
{
    return (struct qe_aws_identity){
        .region = settings->region,
        .profile = settings->profile,
        .access_key_id = settings->access_key_id,
        .secret_access_key = settings->secret_access_key,
        .session_token = settings->session_token,
        .role_arn = settings->assume_role.arn,
        .role_external_id = settings->assume_role.external_id,
        .role_session_name = settings->assume_role.session_name,
        .role_duration_ms = settings->assume_role.duration_ms,
        .endpoint = settings->endpoint,
        .endpoint_cloudwatch = settings->cloudwatch_endpoint,
        .endpoint_sts = settings->sts_endpoint,
    };
}

/* What is known before the first request, so that the series are there from the start. */
static void announce(struct qe_api_stats *stats, const struct qe_sqs_settings *settings)
{
    if (stats == NULL) {
        return;
    }
    for (size_t i = 0; i < QE_SQS_BILLED_COUNT; i++) {
        int64_t none = 0;

        /* Another handle of this source may have stretched already. */
        (void)atomic_compare_exchange_strong(&stats->interval_stretch_permille[i], &none, 1000);
    }
    atomic_store(&stats->monthly_budget_microdollars,
                 llround(settings->cost.monthly_budget_dollars * 1e6));
    atomic_store(&stats->renews_credentials, true);
}

static void destroy(void *handle)
{
    struct qe_sqs *self = handle;

    if (self == NULL) {
        return;
    }
    qe_sqs_receive_end(self); /* gives back what nobody will handle */
    struct qe_aws_client *poll_client = atomic_load(&self->poll_client);

    if (self->client != NULL) {
        qe_aws_abort(self->client);
    }
    if (poll_client != NULL) {
        qe_aws_abort(poll_client);
    }
    qe_sqs_work_destroy(self->work);
    qe_sqs_watch_destroy(self->watch);
    qe_aws_client_destroy(poll_client);
    qe_aws_client_destroy(self->client);
    qe_aws_provider_release(self->provider);
    qe_free(self->source);
    qe_free(self);
}

static int create(const void *settings, const struct qe_deps *deps, void **out, struct qe_err *err)
{
    const struct qe_sqs_settings *own = settings;
    const struct qe_aws_identity identity = identity_of(own);
    struct qe_sqs *self = qe_calloc(1, sizeof *self);

    if (self == NULL || (self->source = qe_strdup(deps->source)) == NULL) {
        destroy(self);
        return qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory", deps->source);
    }
    self->settings = own;
    self->stats = deps->stats;
    self->provider = qe_aws_provider_acquire(&identity, NULL, err);
    if (self->provider == NULL || (self->client = qe_sqs_client_new(self, err)) == NULL) {
        destroy(self);
        return -1;
    }
    announce(deps->stats, own);
    *out = self;
    return 0;
}

static void interrupt(void *handle)
{
    struct qe_sqs *self = handle;

    atomic_store(&self->interrupted, true);
    qe_aws_client_interrupt(self->client);
    struct qe_aws_client *poll_client = atomic_load(&self->poll_client);
    if (poll_client != NULL) {
        qe_aws_client_interrupt(poll_client);
    }
}

const struct qe_driver qe_driver_sqs = {
    .name = "sqs",
    .caps = QE_CAP_LIST | QE_CAP_DEPTH | QE_CAP_OLDEST_AGE | QE_CAP_DLQ_LINK | QE_CAP_SEND |
            QE_CAP_RECEIVE | QE_CAP_EXTEND | QE_CAP_DELAY | QE_CAP_PURGE | QE_CAP_DEAD_LETTER |
            QE_CAP_ORDERED | QE_CAP_REDRIVE,
    .section = &qe_sqs_section,
    .operations = s_operations,
    .operations_count = QE_SQS_OPERATION_COUNT,
    .services = s_services,
    .create = create,
    .list = qe_sqs_list,
    .find = qe_sqs_find,
    .sample = qe_sqs_sample,
    .send = qe_sqs_send,
    .receive = qe_sqs_receive,
    .awaits = qe_sqs_awaits,
    .give_back = qe_sqs_give_back,
    .settle = qe_sqs_settle,
    .extend = qe_sqs_extend,
    .purge = qe_sqs_purge,
    .redrive_start = qe_sqs_redrive_start,
    .redrive_status = qe_sqs_redrive_status,
    .redrive_cancel = qe_sqs_redrive_cancel,
    .interrupt = interrupt,
    .destroy = destroy,
};
