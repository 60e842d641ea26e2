#include "aws/retry.h"
#include "support/check.h"

#define NOW INT64_C(1000000)
#define FAR (NOW + 3600000)
#define HALF 0.5

static struct qe_aws_retry_question ask(enum qe_aws_retry why, unsigned attempts)
{
    return (struct qe_aws_retry_question){.why = why,
                                          .attempts = attempts,
                                          .max_attempts = 50,
                                          .retry_after_ms = -1,
                                          .now_mono_ms = NOW,
                                          .deadline_mono_ms = FAR,
                                          .chance = HALF};
}

static void pauses_double_from_their_base_up_to_20_s_with_full_jitter(void **state)
{
    (void)state;
    static const struct {
        enum qe_aws_retry why;
        unsigned attempts;
        double chance;
        int64_t pause_ms;
    } rows[] = {
        {QE_AWS_RETRY_TRANSIENT, 1, HALF, 25},       {QE_AWS_RETRY_TRANSIENT, 2, HALF, 50},
        {QE_AWS_RETRY_TRANSIENT, 3, HALF, 100},      {QE_AWS_RETRY_TRANSIENT, 9, HALF, 6400},
        {QE_AWS_RETRY_TRANSIENT, 10, HALF, 10000},   {QE_AWS_RETRY_TRANSIENT, 49, HALF, 10000},
        {QE_AWS_RETRY_THROTTLED, 1, HALF, 500},      {QE_AWS_RETRY_THROTTLED, 2, HALF, 1000},
        {QE_AWS_RETRY_THROTTLED, 5, HALF, 8000},     {QE_AWS_RETRY_THROTTLED, 6, HALF, 10000},
        {QE_AWS_RETRY_TRANSIENT, 1, 0, 0},           {QE_AWS_RETRY_TRANSIENT, 1, 0.9999, 49},
        {QE_AWS_RETRY_THROTTLED, 40, 0.9999, 19998},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_aws_retry_question question = ask(rows[i].why, rows[i].attempts);
        struct qe_aws_quota quota;

        question.chance = rows[i].chance;
        qe_aws_quota_init(&quota);
        const struct qe_aws_retry_verdict verdict = qe_aws_retry_decide(&quota, &question);
        assert_int_equal(verdict.answer, QE_AWS_TRY_AGAIN);
        assert_int_equal(verdict.pause_ms, rows[i].pause_ms);
    }
}

static void what_the_service_asks_for_counts_up_to_five_seconds_more(void **state)
{
    (void)state;
    static const struct {
        int64_t retry_after_ms;
        int64_t pause_ms;
    } rows[] = {{-1, 500},    {0, 500},     {499, 500},     {501, 501},
                {5500, 5500}, {5501, 5500}, {3600000, 5500}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_aws_retry_question question = ask(QE_AWS_RETRY_THROTTLED, 1);
        struct qe_aws_quota quota;

        question.retry_after_ms = rows[i].retry_after_ms;
        qe_aws_quota_init(&quota);
        assert_int_equal(qe_aws_retry_decide(&quota, &question).pause_ms, rows[i].pause_ms);
    }
}

static void nothing_is_tried_again_for_ever_or_past_the_deadline(void **state)
{
    (void)state;
    struct qe_aws_retry_question question = ask(QE_AWS_RETRY_TRANSIENT, 3);
    struct qe_aws_quota quota;

    qe_aws_quota_init(&quota);
    question.max_attempts = 3;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_GIVE_UP);
    question.attempts = 2;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_TRY_AGAIN);

    question.deadline_mono_ms = NOW + 50; /* the pause would end there: nothing is left to ask in */
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_GIVE_UP);
    question.deadline_mono_ms = NOW + 51;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_TRY_AGAIN);
    question.deadline_mono_ms = NOW - 1;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_GIVE_UP);
    question.is_long_poll = true; /* not even for one */
    quota.tokens = 0;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_GIVE_UP);

    question = ask(QE_AWS_RETRY_NO, 1);
    question.is_long_poll = true;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_GIVE_UP);
}

static void a_refusal_to_retry_takes_no_token(void **state)
{
    (void)state;
    struct qe_aws_retry_question question = ask(QE_AWS_RETRY_TRANSIENT, 1);
    struct qe_aws_quota quota;

    qe_aws_quota_init(&quota);
    question.max_attempts = 1;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).paid, 0);
    assert_int_equal(quota.tokens, QE_AWS_QUOTA_TOKENS);
}

/* 500 / 14 and 500 / 5. */
static void the_bucket_ends_retries_when_everything_fails(void **state)
{
    (void)state;
    static const struct {
        enum qe_aws_retry why;
        unsigned retries;
        unsigned left;
    } rows[] = {{QE_AWS_RETRY_TRANSIENT, 35, 10}, {QE_AWS_RETRY_THROTTLED, 100, 0}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct qe_aws_retry_question question = ask(rows[i].why, 1);
        struct qe_aws_quota quota;
        unsigned retries = 0;

        qe_aws_quota_init(&quota);
        while (qe_aws_retry_decide(&quota, &question).answer == QE_AWS_TRY_AGAIN) {
            retries++;
            assert_true(retries <= QE_AWS_QUOTA_TOKENS);
        }
        assert_int_equal(retries, rows[i].retries);
        assert_int_equal(quota.tokens, rows[i].left);
    }
}

static void success_gives_back_what_its_retry_cost_or_one(void **state)
{
    (void)state;
    struct qe_aws_quota quota = {.tokens = 100};

    qe_aws_quota_give_back(&quota, 14);
    assert_int_equal(quota.tokens, 114);
    qe_aws_quota_give_back(&quota, 0);
    assert_int_equal(quota.tokens, 115);
    quota.tokens = QE_AWS_QUOTA_TOKENS - 3;
    qe_aws_quota_give_back(&quota, 14);
    assert_int_equal(quota.tokens, QE_AWS_QUOTA_TOKENS);
    qe_aws_quota_give_back(&quota, 0);
    assert_int_equal(quota.tokens, QE_AWS_QUOTA_TOKENS);
}

static void a_long_poll_pauses_even_when_the_bucket_is_empty(void **state)
{
    (void)state;
    struct qe_aws_retry_question question = ask(QE_AWS_RETRY_THROTTLED, 1);
    struct qe_aws_quota quota = {.tokens = 4};

    struct qe_aws_retry_verdict verdict = qe_aws_retry_decide(&quota, &question);
    assert_int_equal(verdict.answer, QE_AWS_GIVE_UP);
    assert_int_equal(verdict.pause_ms, 0);

    question.is_long_poll = true;
    verdict = qe_aws_retry_decide(&quota, &question);
    assert_int_equal(verdict.answer, QE_AWS_PAUSE_AND_GIVE_UP);
    assert_int_equal(verdict.pause_ms, 500);
    assert_int_equal(verdict.paid, 0);
    assert_int_equal(quota.tokens, 4);

    quota.tokens = 5;
    assert_int_equal(qe_aws_retry_decide(&quota, &question).answer, QE_AWS_TRY_AGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double_from_their_base_up_to_20_s_with_full_jitter),
        cmocka_unit_test(what_the_service_asks_for_counts_up_to_five_seconds_more),
        cmocka_unit_test(nothing_is_tried_again_for_ever_or_past_the_deadline),
        cmocka_unit_test(a_refusal_to_retry_takes_no_token),
        cmocka_unit_test(the_bucket_ends_retries_when_everything_fails),
        cmocka_unit_test(success_gives_back_what_its_retry_cost_or_one),
        cmocka_unit_test(a_long_poll_pauses_even_when_the_bucket_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
