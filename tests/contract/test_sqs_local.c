/* The SQS driver keeps the contract on local-aws-sqs, which looks at no signature. */
#include "contract/sqs_fixture.h"

int main(void)
{
    /* Each seen with boto3 as well. */
    static const struct qe_contract_gap gaps[] = {
        {"an attribute is any UTF-8",
         "local-aws-sqs counts characters, not bytes, in the MD5 of attributes"},
        {"purge deletes everything and says how much",
         "local-aws-sqs takes up to a minute to purge"},
        {"a released message holds its group back for its delay",
         "local-aws-sqs hands out messages of a group that has one in flight"},
        {"a duplicate is none when the first is long handled",
         "local-aws-sqs forgets the deduplication id of a deleted message"},
        {"a released message is there at once or after its delay",
         "local-aws-sqs counts a receive for every change of visibility"},
        {"a message received too often goes to the dead-letter queue",
         "local-aws-sqs counts a receive for every change of visibility"},
        {NULL, NULL},
    };
    struct sqs_fixture server = {
        .url = sqs_fixture_need("QE_LOCAL_SQS_URL"),
        .region = "us-east-1",
        .access_key_id = "nobody",
        .secret_access_key = "looks",
        .has_cloudwatch = false,
    };
    struct qe_contract_fixture fixture = sqs_fixture_contract(&server, "sqs, local-aws-sqs");

    fixture.gaps = gaps;
    return qe_contract_run(&fixture);
}
