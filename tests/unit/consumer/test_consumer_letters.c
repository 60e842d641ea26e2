/* What goes with a dead letter, the consumer's own dead-letter queue, and replies. */
#include "unit/consumer/rig.h"

static void dead_letter_tells_first_and_last_error_and_when_it_was_first_seen(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_message letter;

    (void)state;
    rig->options.max_receives = 3;
    rig->gate.retry_delay_ms = 0;
    qe_fake_send(rig->fake, "retry", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    letter = qe_fake_message(rig->fake, 0);
    assert_string_equal(letter.dead_reason, "max_receives: try 3");
    assert_string_equal(letter.first_error, "handler_error: try 1");
    assert_string_equal(letter.last_error, "handler_error: try 3");
    assert_int_equal(strlen(letter.first_seen), strlen("2026-11-22T19:58:15.123Z"));
    rig_destroy(rig);
}

static void release_that_the_driver_dead_letters_is_a_dead_letter_with_its_errors(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_message letter;

    (void)state;
    rig->fake->delivery_limit = 2;
    rig->gate.retry_delay_ms = 0;
    qe_fake_send(rig->fake, "retry", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    letter = qe_fake_message(rig->fake, 0);
    assert_string_equal(letter.dead_reason, "delivery_limit");
    assert_string_equal(letter.first_error, "handler_error: try 1");
    assert_string_equal(letter.last_error, "handler_error: try 3");
    assert_int_equal(strlen(letter.first_seen), strlen("2026-11-22T19:58:15.123Z"));
    assert_int_equal(qe_counter_get(&rig->stats->released), 2);
    rig_destroy(rig);
}

/* Its own backoff would hold the others of its group for a minute. */
static void release_that_the_driver_dead_letters_holds_nothing(void **state)
{
    const struct qe_fake_message like = {.customer = "a", .receives = 1};
    struct rig *rig = rig_new(1);

    (void)state;
    rig->options.order_by = "customer";
    rig->fake->delivery_limit = 1;
    rig->gate.retry_delay_ms = 60000;
    qe_fake_send_like(rig->fake, "retry", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    qe_fake_send_like(rig->fake, "next", &like);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void first_error_that_others_had_is_unknown_and_absent(void **state)
{
    const struct qe_fake_message seen_before = {.receives = 1};
    struct rig *rig = rig_new(1);
    struct qe_fake_message letter;

    (void)state;
    rig->options.max_receives = 3;
    rig->gate.retry_delay_ms = 0;
    qe_fake_send_like(rig->fake, "retry", &seen_before);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    letter = qe_fake_message(rig->fake, 0);
    assert_string_equal(letter.first_error, "");
    assert_string_equal(letter.first_seen, "");
    assert_string_equal(letter.last_error, "handler_error: try 3");
    rig_destroy(rig);
}

static void poison_on_its_first_transient_error_is_retried_and_not_dead_lettered(void **state)
{
    struct rig *rig = rig_new(1);
    struct qe_fake_event event;

    (void)state;
    rig->options.max_receives = 2;
    rig->gate.retry_delay_ms = 0;
    qe_fake_send(rig->fake, "once", NULL); /* fails once, as anything may */
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_int_equal(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]), 0);
    rig_destroy(rig);
}

/* Its handler may have ended the whole process each time, so that nobody knows an outcome. */
static void message_that_came_too_often_is_dead_lettered_and_not_handled(void **state)
{
    const struct qe_fake_message too_often = {.receives = 6};
    const struct qe_fake_message as_often_as_may_be = {.receives = 5};
    struct rig *rig = rig_new(1);
    struct qe_fake_message letter;

    (void)state;
    rig->options.max_receives = 3;
    qe_fake_send_like(rig->fake, "fatal", &too_often);
    qe_fake_send_like(rig->fake, "quick", &as_often_as_may_be);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    letter = qe_fake_message(rig->fake, 0);
    assert_string_equal(letter.dead_reason, "max_receives: try 7 was not handled");
    assert_string_equal(letter.last_error, "");
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    rig_destroy(rig);
}

/* Twice the limit is for those that a restart has made it forget. */
static void what_was_given_back_unhandled_is_not_too_often(void **state)
{
    const struct qe_fake_message like = {.receives = 2};
    struct rig *rig = rig_new(1);
    struct qe_driver driver = qe_driver_fake;

    (void)state;
    driver.caps &= ~(unsigned)QE_CAP_UNRECEIVE;
    rig->options.driver = &driver;
    rig->fake->counts_all = true;
    rig->options.max_receives = 2;
    atomic_store(&rig->gate.troubles, 2);
    qe_fake_send_like(rig->fake, "quick", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 5);
    rig_destroy(rig);
}

static void message_that_came_too_often_and_cannot_be_moved_is_handled(void **state)
{
    const struct qe_fake_message like = {.receives = 9};
    struct rig *rig = rig_new(1);

    (void)state;
    rig->fake->has_dead_letter_queue = false;
    rig->options.max_receives = 3;
    rig->options.retry_max_ms = 1;
    qe_fake_send_like(rig->fake, "quick", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_int_equal(qe_counter_get(&rig->stats->released), 1);
    assert_int_equal(qe_fake_message(rig->fake, 0).receives, 11);
    rig_destroy(rig);
}

/* --- a dead-letter queue of its own --- */

static struct rig *rig_with_letters(void)
{
    struct rig *rig = rig_new(1);

    rig->options.driver = &qe_driver_fake_poor; /* whose broker has no such thing */
    rig->options.dead_letter_queue = "my-dlq";
    return rig;
}

static void dead_letter_is_sent_before_it_is_deleted(void **state)
{
    struct rig *rig = rig_with_letters();
    struct qe_fake_sent sent = {0};
    struct qe_fake_event event;

    (void)state;
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_string_equal(sent.queue, "my-dlq");
    assert_string_equal(sent.body, "reject");
    assert_string_equal(sent.reason, "permanent: told so");
    assert_string_equal(sent.source, "orders");
    assert_string_equal(sent.first_error, "permanent: told so");
    assert_int_equal(sent.gone, 0); /* still there when it was sent */
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_ACK);
    assert_true(qe_fake_message(rig->fake, 0).gone);
    rig_destroy(rig);
}

static void letter_of_a_message_that_came_too_often_goes_to_the_own_queue(void **state)
{
    const struct qe_fake_message like = {.receives = 6};
    struct rig *rig = rig_with_letters();
    struct qe_fake_sent sent = {0};

    (void)state;
    rig->options.max_receives = 3;
    qe_fake_send_like(rig->fake, "fatal", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_MAX_RECEIVES]) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_string_equal(sent.queue, "my-dlq");
    assert_string_equal(sent.reason, "max_receives: try 7 was not handled");
    assert_int_equal(atomic_load(&rig->gate.started), 0);
    rig_destroy(rig);
}

static char s_letter_id[32];

static int note_id(void *self, const struct qe_queue *to, struct qe_outgoing *messages,
                   size_t count, int64_t deadline_mono_ms, struct qe_err *err)
{
    (void)snprintf(s_letter_id, sizeof s_letter_id, "%s", messages[0].message_id);
    return qe_driver_fake_poor.send(self, to, messages, count, deadline_mono_ms, err);
}

static void letter_is_to_keep_the_id_of_its_message(void **state)
{
    struct rig *rig = rig_with_letters();
    struct qe_driver noting = qe_driver_fake_poor;

    (void)state;
    noting.send = note_id;
    rig->options.driver = &noting;
    qe_fake_send(rig->fake, "reject-7", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 1);
    rig_destroy(rig);
    assert_string_equal(s_letter_id, "reject-7");
}

static void letter_that_cannot_be_sent_leaves_its_message_where_it_is(void **state)
{
    struct rig *rig = rig_with_letters();
    struct qe_fake_sent sent;

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_SEND, 2, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->settle_failures) >= 1);
    assert_false(qe_fake_message(rig->fake, 0).gone);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_false(qe_fake_sent(rig->fake, 1, &sent));
    rig_destroy(rig);
}

static void letter_that_was_sent_is_not_sent_again_when_the_delete_fails(void **state)
{
    struct rig *rig = rig_with_letters();
    struct qe_fake_sent sent;

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_SETTLE, 2, QE_ERR_NETWORK);
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_false(qe_fake_sent(rig->fake, 1, &sent));
    rig_destroy(rig);
}

static void without_the_dead_letter_queue_nothing_is_deleted(void **state)
{
    struct rig *rig = rig_with_letters();
    struct qe_fake_event event;

    (void)state;
    rig->fake->missing_queue = "my-dlq";
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1);
    assert_true(qe_fake_event(rig->fake, QE_FAKE_SETTLE, 0, 0, &event));
    assert_int_equal(event.verb, QE_SETTLE_RELEASE);
    assert_int_equal(event.delay_ms, rig->options.retry_max_ms);
    rig_destroy(rig);
}

static void queue_that_takes_few_attributes_gets_the_reason_at_least(void **state)
{
    const struct qe_fake_message like = {.customer = "a"};
    struct rig *rig = rig_with_letters();
    struct qe_fake_sent sent;

    (void)state;
    rig->fake->attributes_max = 2;
    qe_fake_send_like(rig->fake, "reject", &like);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->dead_lettered[QE_FAIL_PERMANENT]) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_int_equal(sent.attributes_count, 2);
    assert_string_equal(sent.reason, "permanent: told so");
    rig_destroy(rig);
}

/* --- replies --- */

static struct rig *rig_with_reply(const char *correlation_id)
{
    const struct qe_fake_message like = {.reply_to = "answers", .correlation_id = correlation_id};
    struct rig *rig = rig_new(1);

    rig->gate.reply = "42";
    qe_fake_send_like(rig->fake, "quick", &like);
    return rig;
}

static void reply_is_sent_with_its_correlation_id_before_the_acknowledgement(void **state)
{
    struct rig *rig = rig_with_reply("c-1");
    struct qe_fake_sent sent = {0};

    (void)state;
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_string_equal(sent.queue, "answers");
    assert_string_equal(sent.body, "42");
    assert_string_equal(sent.correlation_id, "c-1");
    assert_int_equal(sent.gone, 0);
    rig_destroy(rig);
}

static void request_without_a_correlation_id_is_answered_with_its_own(void **state)
{
    struct rig *rig = rig_with_reply(NULL);
    struct qe_fake_sent sent = {0};

    (void)state;
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_string_equal(sent.correlation_id, "quick");
    rig_destroy(rig);
}

static void reply_that_fails_is_sent_again_and_the_handler_is_not_run_again(void **state)
{
    struct rig *rig = rig_with_reply("c-1");
    struct qe_fake_sent sent;

    (void)state;
    qe_fake_fail(rig->fake, QE_FAKE_SEND, 2, QE_ERR_NETWORK);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    assert_int_equal(atomic_load(&rig->gate.started), 1);
    rig_destroy(rig);
}

static void message_whose_reply_fails_for_long_comes_again_where_no_delivery_lapses(void **state)
{
    struct rig *rig = rig_with_reply("c1");
    struct qe_fake_sent sent;

    (void)state;
    rig->fake->visibility_ms = 0;
    rig->options.retry_max_ms = 1;
    qe_fake_fail(rig->fake, QE_FAKE_SEND, 6, QE_ERR_NETWORK);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 0).gone);
    assert_int_equal(qe_counter_get(&rig->stats->redeliveries), 1);
    assert_true(qe_fake_sent(rig->fake, 0, &sent));
    rig_destroy(rig);
}

static void requester_that_is_gone_holds_nothing_up(void **state)
{
    struct rig *rig = rig_with_reply("c-1");

    (void)state;
    rig->fake->missing_queue = "answers";
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void reply_goes_only_where_the_consumer_allows_it(void **state)
{
    static const struct {
        const char *pattern;
        size_t sent;
    } rows[] = {{"answers", 1}, {"replies-.*", 0}};
    struct qe_fake_sent sent;
    struct qe_err err = {0};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct qe_regex *allowed = qe_regex_new(rows[i].pattern, &err);
        const struct qe_regex *const list[] = {allowed};
        struct rig *rig = rig_with_reply("c-1");
        uint64_t warnings = qe_log_count(QE_LOG_WARN);

        assert_non_null(allowed);
        rig->options.reply_to = list;
        rig->options.reply_to_count = 1;
        rig_start(rig);
        QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
        assert_int_equal(qe_fake_sent(rig->fake, 0, &sent), rows[i].sent == 1);
        assert_int_equal(qe_log_count(QE_LOG_WARN) - warnings, 1 - rows[i].sent);
        rig_destroy(rig);
        qe_regex_destroy(allowed);
    }
}

/* U+FFFE, U+FFFF, half a character, a control character: SQS refuses a letter that has them. */
static void reason_of_a_letter_has_only_characters_that_every_broker_takes(void **state)
{
    struct rig *rig = rig_new(1);

    (void)state;
    rig->gate.detail = "a\xef\xbf\xbe"
                       "b\xef\xbf\xbf"
                       "c\xc3"
                       "d\x01"
                       "e\xef\xbf\xbd"
                       "\xc3\xa9";
    qe_fake_send(rig->fake, "reject", NULL);
    rig_start(rig);
    QE_WAIT_FOR(qe_fake_message(rig->fake, 0).dead);
    assert_string_equal(qe_fake_message(rig->fake, 0).dead_reason,
                        "permanent: a?b?c?d?e\xef\xbf\xbd"
                        "\xc3\xa9");
    rig_destroy(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_letter_tells_first_and_last_error_and_when_it_was_first_seen),
        cmocka_unit_test(release_that_the_driver_dead_letters_is_a_dead_letter_with_its_errors),
        cmocka_unit_test(release_that_the_driver_dead_letters_holds_nothing),
        cmocka_unit_test(first_error_that_others_had_is_unknown_and_absent),
        cmocka_unit_test(poison_on_its_first_transient_error_is_retried_and_not_dead_lettered),
        cmocka_unit_test(message_that_came_too_often_is_dead_lettered_and_not_handled),
        cmocka_unit_test(what_was_given_back_unhandled_is_not_too_often),
        cmocka_unit_test(message_that_came_too_often_and_cannot_be_moved_is_handled),
        cmocka_unit_test(dead_letter_is_sent_before_it_is_deleted),
        cmocka_unit_test(letter_of_a_message_that_came_too_often_goes_to_the_own_queue),
        cmocka_unit_test(letter_is_to_keep_the_id_of_its_message),
        cmocka_unit_test(letter_that_cannot_be_sent_leaves_its_message_where_it_is),
        cmocka_unit_test(letter_that_was_sent_is_not_sent_again_when_the_delete_fails),
        cmocka_unit_test(without_the_dead_letter_queue_nothing_is_deleted),
        cmocka_unit_test(queue_that_takes_few_attributes_gets_the_reason_at_least),
        cmocka_unit_test(reply_goes_only_where_the_consumer_allows_it),
        cmocka_unit_test(reason_of_a_letter_has_only_characters_that_every_broker_takes),
        cmocka_unit_test(reply_is_sent_with_its_correlation_id_before_the_acknowledgement),
        cmocka_unit_test(request_without_a_correlation_id_is_answered_with_its_own),
        cmocka_unit_test(reply_that_fails_is_sent_again_and_the_handler_is_not_run_again),
        cmocka_unit_test(message_whose_reply_fails_for_long_comes_again_where_no_delivery_lapses),
        cmocka_unit_test(requester_that_is_gone_holds_nothing_up)};

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
