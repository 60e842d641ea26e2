#include "aws/retry.h"

#define PAUSE_TRANSIENT_MS 50
#define PAUSE_THROTTLED_MS 1000
#define PAUSE_MAX_MS 20000
#define RETRY_AFTER_EXTRA_MS 5000 /* how much longer than our own pause the service may ask for */
#define COST_TRANSIENT 14
#define COST_THROTTLED 5
#define GIVEN_BY_SUCCESS 1

void qe_aws_quota_init(struct qe_aws_quota *quota)
{
    quota->tokens = QE_AWS_QUOTA_TOKENS;
}

void qe_aws_quota_give_back(struct qe_aws_quota *quota, unsigned paid)
{
    const unsigned given = paid == 0 ? GIVEN_BY_SUCCESS : paid;
    const unsigned room = QE_AWS_QUOTA_TOKENS - quota->tokens;

    quota->tokens += given < room ? given : room;
}

static int64_t pause_of(const struct qe_aws_retry_question *question)
{
    int64_t most_ms =
        question->why == QE_AWS_RETRY_THROTTLED ? PAUSE_THROTTLED_MS : PAUSE_TRANSIENT_MS;

    for (unsigned i = 1; i < question->attempts && most_ms < PAUSE_MAX_MS; i++) {
        most_ms *= 2;
    }
    most_ms = most_ms < PAUSE_MAX_MS ? most_ms : PAUSE_MAX_MS;
    const int64_t own_ms = (int64_t)(question->chance * (double)most_ms);

    if (question->retry_after_ms <= own_ms) {
        return own_ms;
    }
    return question->retry_after_ms < own_ms + RETRY_AFTER_EXTRA_MS ? question->retry_after_ms
                                                                    : own_ms + RETRY_AFTER_EXTRA_MS;
}

struct qe_aws_retry_verdict qe_aws_retry_decide(struct qe_aws_quota *quota,
                                                const struct qe_aws_retry_question *question)
{
    const unsigned cost = question->why == QE_AWS_RETRY_THROTTLED ? COST_THROTTLED : COST_TRANSIENT;
    const int64_t pause_ms = pause_of(question);
    struct qe_aws_retry_verdict verdict = {.answer = QE_AWS_GIVE_UP};

    if (question->why == QE_AWS_RETRY_NO || question->attempts >= question->max_attempts ||
        pause_ms >= question->deadline_mono_ms - question->now_mono_ms) {
        return verdict;
    }
    if (quota->tokens >= cost) {
        quota->tokens -= cost;
        verdict = (struct qe_aws_retry_verdict){
            .answer = QE_AWS_TRY_AGAIN, .pause_ms = pause_ms, .paid = cost};
    } else if (question->is_long_poll) {
        verdict.answer = QE_AWS_PAUSE_AND_GIVE_UP;
        verdict.pause_ms = pause_ms;
    }
    return verdict;
}
