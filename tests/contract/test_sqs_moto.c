/* The SQS driver keeps the contract on moto, which verifies every signature. */
#include "contract/sqs_fixture.h"

int main(void)
{
    static const struct qe_contract_gap gaps[] = {
        {"a duplicate is none when the first is long handled",
         "moto forgets the deduplication id of a deleted message"},
        {"a duplicate is answered with the id of the first", "moto answers with a new id"},
        {"a redrive moves the messages and tells how far", "moto knows no message move tasks"},
        {"without a running redrive there is nothing to cancel",
         "moto knows no message move tasks"},
        {NULL, NULL},
    };
    struct sqs_fixture server = {
        .url = sqs_fixture_need("QE_MOTO_URL"),
        .region = sqs_fixture_need("QE_MOTO_REGION"),
        .access_key_id = sqs_fixture_need("QE_MOTO_ACCESS_KEY_ID"),
        .secret_access_key = sqs_fixture_need("QE_MOTO_SECRET_ACCESS_KEY"),
        .has_cloudwatch = true,
    };
    struct qe_contract_fixture fixture = sqs_fixture_contract(&server, "sqs, moto");

    fixture.gaps = gaps;
    return qe_contract_run(&fixture);
}
