#include "consumer/verdict.h"
#include "support/check.h"

struct row {
    const char *why;
    struct qe_handled handled;
    struct qe_circumstances at;
    enum qe_settle_verb verb;
    int64_t delay_min_ms;
    int64_t delay_max_ms;
    const char *text; /* of a dead letter */
    bool denied;
};

#define RETRY_POLICY                                                                               \
    {                                                                                              \
        .initial_ms = 1000, .max_ms = 8000                                                         \
    }
#define HANDLED(kind, why_failed, delay)                                                           \
    {                                                                                              \
        .outcome = QE_OUTCOME_##kind, .reason = QE_FAIL_##why_failed, .retry_delay_ms = (delay),   \
        .detail = "d"                                                                              \
    }
#define LABELLED(kind, why_failed, word)                                                           \
    {                                                                                              \
        .outcome = QE_OUTCOME_##kind, .reason = QE_FAIL_##why_failed, .label = (word),             \
        .retry_delay_ms = -1, .detail = "d"                                                        \
    }
#define AT(received, limit, dead_letters)                                                          \
    {                                                                                              \
        .receives = (received), .max_receives = (limit), .retry = RETRY_POLICY,                    \
        .can_dead_letter = (dead_letters)                                                          \
    }

static const struct row s_rows[] = {
    {"success is acknowledged whatever the receive count", HANDLED(SUCCESS, INTERNAL, -1),
     AT(9, 5, true), QE_SETTLE_ACK, 0, 0, "", false},
    {"retry waits by receive count", HANDLED(RETRY, HANDLER_ERROR, -1), AT(2, 5, true),
     QE_SETTLE_RELEASE, 0, 2000, "", false},
    {"retry waits no longer than the maximum", HANDLED(RETRY, HANDLER_ERROR, -1), AT(50, 0, true),
     QE_SETTLE_RELEASE, 0, 8000, "", false},
    {"the handler's own wish counts", HANDLED(RETRY, HANDLER_ERROR, 12345), AT(2, 5, true),
     QE_SETTLE_RELEASE, 12345, 12345, "", false},
    {"a wish for no delay counts too", HANDLED(RETRY, HANDLER_ERROR, 0), AT(2, 5, true),
     QE_SETTLE_RELEASE, 0, 0, "", false},
    {"the last receive dead-letters", HANDLED(RETRY, TIMEOUT, -1), AT(5, 5, true),
     QE_SETTLE_DEAD_LETTER, 0, 0, "max_receives: d", false},
    {"without a limit the queue's policy decides", HANDLED(RETRY, TIMEOUT, 0), AT(500, 0, true),
     QE_SETTLE_RELEASE, 0, 0, "", false},
    {"an unknown receive count never dead-letters", HANDLED(RETRY, TIMEOUT, 0), AT(0, 1, true),
     QE_SETTLE_RELEASE, 0, 0, "", false},
    {"reject dead-letters at once", HANDLED(REJECT, PERMANENT, -1), AT(1, 5, true),
     QE_SETTLE_DEAD_LETTER, 0, 0, "permanent: d", false},
    {"the handler's own word is the reason", LABELLED(REJECT, PERMANENT, "bad_address"),
     AT(1, 5, true), QE_SETTLE_DEAD_LETTER, 0, 0, "bad_address: d", false},
    {"the last receive is the reason, and tells the handler's word",
     LABELLED(RETRY, HANDLER_ERROR, "downstream"), AT(5, 5, true), QE_SETTLE_DEAD_LETTER, 0, 0,
     "max_receives: downstream: d", false},
    {"reject without dead-lettering is never acknowledged", HANDLED(REJECT, PERMANENT, -1),
     AT(1, 5, false), QE_SETTLE_RELEASE, 8000, 8000, "", true},
    {"so is the last receive", HANDLED(RETRY, HANDLER_ERROR, -1), AT(5, 5, false),
     QE_SETTLE_RELEASE, 8000, 8000, "", true},
};

static void outcomes_become_verdicts_as_the_table_says(void **state)
{
    struct qe_random random;

    (void)state;
    qe_random_init(&random, 1);
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        const struct row *row = &s_rows[i];

        print_message("%s\n", row->why);
        for (int draw = 0; draw < 100; draw++) {
            struct qe_verdict verdict;

            qe_verdict_decide(&row->handled, &row->at, &random, &verdict);
            assert_int_equal(verdict.verb, row->verb);
            assert_in_range(verdict.delay_ms, row->delay_min_ms, row->delay_max_ms);
            assert_string_equal(verdict.text, row->text);
            assert_int_equal(verdict.denied, row->denied);
        }
    }
}

static void handling_cut_short_by_a_stop_is_released_at_once(void **state)
{
    const struct qe_handled handled = HANDLED(RETRY, HANDLER_ERROR, -1);
    struct qe_circumstances at = AT(5, 5, true);
    struct qe_random random;
    struct qe_verdict verdict;

    (void)state;
    qe_random_init(&random, 1);
    at.stopped = true;
    qe_verdict_decide(&handled, &at, &random, &verdict);
    assert_int_equal(verdict.verb, QE_SETTLE_RELEASE);
    assert_int_equal(verdict.delay_ms, 0);
}

static void message_that_came_too_often_is_refused(void **state)
{
    static const struct {
        struct qe_circumstances at;
        bool refused;
    } rows[] = {{AT(11, 5, true), true},    {AT(10, 5, true), false}, {AT(3, 1, true), true},
                {AT(1000, 0, true), false}, {AT(0, 5, true), false},  {AT(11, 5, false), false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_verdict verdict = {0};

        assert_int_equal(qe_verdict_refuse(&rows[i].at, &verdict), rows[i].refused);
        if (rows[i].refused) {
            assert_int_equal(verdict.verb, QE_SETTLE_DEAD_LETTER);
            assert_int_equal(verdict.reason, QE_FAIL_MAX_RECEIVES);
        }
    }
}

static void only_lasting_errors_mean_no_dead_letter_queue(void **state)
{
    (void)state;
    assert_true(qe_verdict_lacks_dead_letter_queue(QE_ERR_UNSUPPORTED));
    assert_true(qe_verdict_lacks_dead_letter_queue(QE_ERR_NOT_FOUND));
    assert_false(qe_verdict_lacks_dead_letter_queue(QE_ERR_NETWORK));
    assert_false(qe_verdict_lacks_dead_letter_queue(QE_ERR_IO));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_become_verdicts_as_the_table_says),
        cmocka_unit_test(handling_cut_short_by_a_stop_is_released_at_once),
        cmocka_unit_test(message_that_came_too_often_is_refused),
        cmocka_unit_test(only_lasting_errors_mean_no_dead_letter_queue)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
