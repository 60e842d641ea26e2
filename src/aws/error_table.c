#include <stddef.h>
#include <string.h>

#include "aws/error_internal.h"

/* Both spellings of what SQS and CloudWatch name, the front layer's own, and the SDKs' lists of
 * throttling, transient, expired and skewed. Order plays no part. */

#define HINT_KMS_DENIED                                                                            \
    "these credentials may not use the queue's KMS key (kms:Decrypt to receive, also "             \
    "kms:GenerateDataKey to send)"
#define HINT_KMS_STATE "the queue's KMS key is disabled, being deleted, or cannot be used"
#define HINT_KMS_GONE "the queue's KMS key does not exist"
#define HINT_OVER "too many messages are in flight: settle some first"
#define HINT_SECURE "the endpoint wants https and Signature Version 4"
#define HINT_ADDRESS "this queue URL belongs to another region or endpoint"
#define HINT_SIGNATURE "the secret access key is wrong, or this machine's clock is"
#define HINT_UNKNOWN_KEY "this access key does not exist, is inactive, or lacks its session token"

#define AUTH QE_ERR_AUTH, QE_AWS_RETRY_NO, 0
#define AUTH_RENEW QE_ERR_AUTH, QE_AWS_RETRY_NO, QE_AWS_MAY_BE_CREDENTIALS
#define AUTH_SKEW QE_ERR_AUTH, QE_AWS_RETRY_NO, QE_AWS_MAY_BE_SKEW
#define GONE QE_ERR_NOT_FOUND, QE_AWS_RETRY_NO, 0
#define INVALID QE_ERR_INVALID, QE_AWS_RETRY_NO, 0
#define LIMIT QE_ERR_LIMIT, QE_AWS_RETRY_NO, 0
#define SLOWER QE_ERR_THROTTLED, QE_AWS_RETRY_THROTTLED, 0
#define TROUBLE QE_ERR_NETWORK, QE_AWS_RETRY_TRANSIENT, 0
#define LATE QE_ERR_TIMEOUT, QE_AWS_RETRY_TRANSIENT, 0
#define UNSUPPORTED QE_ERR_UNSUPPORTED, QE_AWS_RETRY_NO, 0

#define LEGACY "AWS.SimpleQueueService."

static const struct qe_aws_error_row s_rows[] = {
    /* --- queues and messages --- */
    {"QueueDoesNotExist", GONE, NULL},
    {LEGACY "NonExistentQueue", GONE, NULL},
    {"ResourceNotFoundException", GONE, NULL},
    {"ResourceNotFound", GONE, NULL},
    {"ReceiptHandleIsInvalid", GONE, NULL},
    {"MessageNotInflight", GONE, NULL},
    {LEGACY "MessageNotInflight", GONE, NULL},
    {"QueueNameExists", INVALID, NULL},
    {"QueueAlreadyExists", INVALID, NULL},
    {"QueueDeletedRecently", LIMIT, NULL},
    {LEGACY "QueueDeletedRecently", LIMIT, NULL},
    {"PurgeQueueInProgress", LIMIT, NULL},
    {LEGACY "PurgeQueueInProgress", LIMIT, NULL},
    {"OverLimit", LIMIT, HINT_OVER},
    {"InvalidAttributeName", INVALID, NULL},
    {"InvalidAttributeValue", INVALID, NULL},
    {"InvalidMessageContents", INVALID, NULL},
    {"InvalidIdFormat", INVALID, NULL},
    {"InvalidAddress", INVALID, HINT_ADDRESS},
    {"InvalidSecurity", INVALID, HINT_SECURE},
    {"UnsupportedOperation", UNSUPPORTED, NULL},
    {LEGACY "UnsupportedOperation", UNSUPPORTED, NULL},
    {"EmptyBatchRequest", INVALID, NULL},
    {LEGACY "EmptyBatchRequest", INVALID, NULL},
    {"TooManyEntriesInBatchRequest", INVALID, NULL},
    {LEGACY "TooManyEntriesInBatchRequest", INVALID, NULL},
    {"BatchEntryIdsNotDistinct", INVALID, NULL},
    {LEGACY "BatchEntryIdsNotDistinct", INVALID, NULL},
    {"InvalidBatchEntryId", INVALID, NULL},
    {LEGACY "InvalidBatchEntryId", INVALID, NULL},
    {"BatchRequestTooLong", LIMIT, NULL},
    {LEGACY "BatchRequestTooLong", LIMIT, NULL},

    /* --- the queue's key: none of these says that the queue is gone --- */
    {"KmsAccessDenied", AUTH, HINT_KMS_DENIED},
    {"KMS.AccessDeniedException", AUTH, HINT_KMS_DENIED},
    {"KmsOptInRequired", AUTH, NULL},
    {"KMS.OptInRequired", AUTH, NULL},
    {"KmsDisabled", INVALID, HINT_KMS_STATE},
    {"KMS.DisabledException", INVALID, HINT_KMS_STATE},
    {"KmsInvalidState", INVALID, HINT_KMS_STATE},
    {"KMS.InvalidStateException", INVALID, HINT_KMS_STATE},
    {"KmsInvalidKeyUsage", INVALID, HINT_KMS_STATE},
    {"KMS.InvalidKeyUsageException", INVALID, HINT_KMS_STATE},
    {"KmsNotFound", INVALID, HINT_KMS_GONE},
    {"KMS.NotFoundException", INVALID, HINT_KMS_GONE},
    {"KmsThrottled", SLOWER, NULL},
    {"KMS.ThrottlingException", SLOWER, NULL},

    /* --- who asks --- */
    {"AccessDeniedException", AUTH_SKEW, NULL},
    {"AccessDenied", AUTH_SKEW, NULL},
    {"UnauthorizedOperation", AUTH, NULL},
    {"NotAuthorized", AUTH, NULL},
    {"OptInRequired", AUTH, NULL},
    {"MissingAuthenticationTokenException", AUTH, NULL},
    {"MissingAuthenticationToken", AUTH, NULL},
    {"IncompleteSignatureException", AUTH, NULL},
    {"IncompleteSignature", AUTH, NULL},
    {"InvalidSignatureException", AUTH_SKEW, HINT_SIGNATURE},
    {"SignatureDoesNotMatch", AUTH_SKEW, HINT_SIGNATURE},
    {"RequestTimeTooSkewed", AUTH_SKEW, HINT_SIGNATURE},
    {"RequestInTheFuture", AUTH_SKEW, HINT_SIGNATURE},
    {"RequestExpired", AUTH_SKEW, HINT_SIGNATURE},
    {"AuthFailure", AUTH_SKEW, NULL},
    {"UnrecognizedClientException", AUTH_RENEW, HINT_UNKNOWN_KEY},
    {"InvalidClientTokenId", AUTH_RENEW, HINT_UNKNOWN_KEY},
    {"InvalidAccessKeyId", AUTH_RENEW, HINT_UNKNOWN_KEY},
    {"InvalidToken", AUTH_RENEW, NULL},
    {"ExpiredTokenException", AUTH_RENEW, NULL},
    {"ExpiredToken", AUTH_RENEW, NULL},

    /* --- what is asked --- */
    {"InvalidParameterValueException", INVALID, NULL},
    {"InvalidParameterValue", INVALID, NULL},
    {"InvalidParameterCombinationException", INVALID, NULL},
    {"InvalidParameterCombination", INVALID, NULL},
    {"MissingRequiredParameterException", INVALID, NULL},
    {"MissingParameter", INVALID, NULL},
    {"SerializationException", INVALID, NULL},
    {"MalformedInput", INVALID, NULL},
    {"ValidationException", INVALID, NULL},
    {"ValidationError", INVALID, NULL},
    {"InvalidNextToken", INVALID, NULL},
    {"UnknownOperationException", UNSUPPORTED, NULL},
    {"InvalidAction", UNSUPPORTED, NULL},
    {"LimitExceeded", LIMIT, NULL},
    {"LimitExceededFault", LIMIT, NULL},

    /* --- slower --- */
    {"RequestThrottled", SLOWER, NULL},
    {"RequestThrottledException", SLOWER, NULL},
    {"Throttling", SLOWER, NULL},
    {"ThrottlingException", SLOWER, NULL},
    {"ThrottledException", SLOWER, NULL},
    {"TooManyRequestsException", SLOWER, NULL},
    {"ProvisionedThroughputExceededException", SLOWER, NULL},
    {"TransactionInProgressException", SLOWER, NULL},
    {"RequestLimitExceeded", SLOWER, NULL},
    {"BandwidthLimitExceeded", SLOWER, NULL},
    {"LimitExceededException", SLOWER, NULL},
    {"SlowDown", SLOWER, NULL},
    {"PriorRequestNotComplete", SLOWER, NULL},
    {"EC2ThrottledException", SLOWER, NULL},

    /* --- their trouble --- */
    {"RequestTimeout", LATE, NULL},
    {"RequestTimeoutException", LATE, NULL},
    {"InternalFailure", TROUBLE, NULL},
    {"InternalError", TROUBLE, NULL},
    {"InternalServiceError", TROUBLE, NULL},
    {"InternalServiceFault", TROUBLE, NULL},
    {"InternalServerError", TROUBLE, NULL},
    {"ServiceUnavailable", TROUBLE, NULL},
    {"ServiceUnavailableException", TROUBLE, NULL},
};

const struct qe_aws_error_row *qe_aws_error_find(const char *name)
{
    /* Only failures are looked up: a walk is cheap enough. */
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        if (strcmp(s_rows[i].name, name) == 0) {
            return &s_rows[i];
        }
    }
    return NULL;
}
