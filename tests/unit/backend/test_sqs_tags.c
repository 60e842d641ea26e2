/* Tags: asked slowly by a thread of their own, shown by list(). */
#include "unit/backend/sqs_fake.h"

static void rig_init_tags(struct rig *rig)
{
    rig_init(rig);
    add_text(&rig->settings.tags, "team");
    add_text(&rig->settings.tags, "cost-center");
}

static size_t questions(void)
{
    pthread_mutex_lock(&s_fake_lock);
    const size_t count = s_fake.calls[QE_SQS_LIST_QUEUE_TAGS];
    pthread_mutex_unlock(&s_fake_lock);
    return count;
}

/* Takes over what the thread finds until it has asked `count` questions in all. */
static bool exchange_until(struct rig *rig, size_t count)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    bool changed = false;

    for (int i = 0; i < 5000 && questions() < count; i++) {
        changed =
            qe_sqs_tags_exchange(&rig->sqs, rig->sqs.watch->records, rig->set->count) || changed;
        (void)nanosleep(&moment, NULL);
    }
    for (int i = 0; i < 20; i++) {
        (void)nanosleep(&moment, NULL);
        changed =
            qe_sqs_tags_exchange(&rig->sqs, rig->sqs.watch->records, rig->set->count) || changed;
    }
    assert_int_equal(questions(), count);
    return changed;
}

static void relist(struct rig *rig)
{
    struct qe_err err = {0};

    begin_round(rig);
    assert_ok(list(rig, &err), err);
}

static void allowed_tags_are_listed(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_tags(&rig);
    add_queue("orders")->tags = "{\"team\":\"shop\",\"cost-center\":\"42\",\"secret\":\"x\"}";
    add_queue("plain")->tags = "{}";
    add_queue("odd")->tags = "{\"team\":5}";
    poll_once(&rig);
    assert_int_equal(queue_here(&rig, "orders")->labels_count, 0);
    assert_true(exchange_until(&rig, 3));
    relist(&rig);
    const struct qe_queue *orders = queue_here(&rig, "orders");
    assert_int_equal(orders->labels_count, 2);
    assert_string_equal(orders->labels[0].name, "tag_cost_center");
    assert_string_equal(orders->labels[0].value, "42");
    assert_string_equal(orders->labels[1].value, "shop");
    assert_int_equal(queue_here(&rig, "plain")->labels_count, 0);
    assert_int_equal(queue_here(&rig, "odd")->labels_count, 0);
    rig_deinit(&rig);
}

static void four_a_second_are_asked(void **state)
{
    static char names[40][24];
    struct rig rig;

    (void)state;
    rig_init_tags(&rig);
    for (size_t i = 0; i < 40; i++) {
        (void)snprintf(names[i], sizeof names[i], "q%zu", i);
        add_queue(names[i])->tags = "{\"team\":\"a\"}";
    }
    poll_once(&rig);
    const int64_t begin_ms = START_MONO_MS;
    assert_true(exchange_until(&rig, 40));
    assert_true(qe_clock_mono_ms() - begin_ms >= INT64_C(39) * 250);
    rig_deinit(&rig);
}

static void they_are_asked_again_after_their_interval(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_tags(&rig);
    add_queue("orders")->tags = "{\"team\":\"shop\"}";
    poll_once(&rig);
    assert_true(exchange_until(&rig, 1));
    assert_false(exchange_until(&rig, 1)); /* nobody asks before it is time */
    pass_ms(rig.settings.tags_interval_ms);
    assert_false(exchange_until(&rig, 2)); /* the same: nothing to tell */
    s_fake.queues[0].tags = "{\"team\":\"ship\"}";
    pass_ms(rig.settings.tags_interval_ms);
    assert_true(exchange_until(&rig, 3));
    relist(&rig);
    assert_string_equal(queue_here(&rig, "orders")->labels[0].value, "ship");
    rig_deinit(&rig);
}

static void refusals_in_a_row_end_the_round(void **state)
{
    static char names[100][24];
    struct rig rig;

    (void)state;
    rig_init_tags(&rig);
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof names[i], "q%zu", i);
        (void)add_queue(names[i]); /* none may be asked */
    }
    poll_once(&rig);
    assert_false(exchange_until(&rig, 16));
    assert_int_equal(entry_of(&rig, "q0")->error, QE_OK);
    rig_deinit(&rig);
}

static void foreign_queues_have_none(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_tags(&rig);
    rig.settings.queue_name_prefix = qe_strdup("");
    add_text(&rig.settings.queue_urls, "https://sqs." REGION ".amazonaws.com/" OTHER "/orders");
    add_queue("mine")->tags = "{}";
    add_queue("orders")->account = OTHER;
    s_fake.queues[1].tags = "{\"team\":\"theirs\"}";
    poll_once(&rig);
    assert_false(exchange_until(&rig, 1));
    rig_deinit(&rig);
}

static void without_tags_in_the_settings_nobody_asks(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("orders")->tags = "{\"team\":\"shop\"}";
    poll_once(&rig);
    assert_null(rig.sqs.watch->tagger);
    assert_false(exchange_until(&rig, 0));
    rig_deinit(&rig);
}

static void a_handle_ends_in_the_middle_of_a_round(void **state)
{
    static char names[200][24];

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct rig rig;

        rig_init_tags(&rig);
        for (size_t n = 0; n < 200; n++) {
            (void)snprintf(names[n], sizeof names[n], "q%zu", n);
            add_queue(names[n])->tags = "{\"team\":\"a\"}";
        }
        poll_once(&rig);
        (void)qe_sqs_tags_exchange(&rig.sqs, rig.sqs.watch->records, rig.set->count);
        rig_deinit(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allowed_tags_are_listed),
        cmocka_unit_test(four_a_second_are_asked),
        cmocka_unit_test(they_are_asked_again_after_their_interval),
        cmocka_unit_test(refusals_in_a_row_end_the_round),
        cmocka_unit_test(foreign_queues_have_none),
        cmocka_unit_test(without_tags_in_the_settings_nobody_asks),
        cmocka_unit_test(a_handle_ends_in_the_middle_of_a_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
