/* What list() finds, what it calls it, and where it says that messages go in the end. */
#include "unit/backend/sqs_fake.h"

#define ARN(account, name) "arn:aws:sqs:" REGION ":" account ":" name
#define URL(account, name) "https://sqs." REGION ".amazonaws.com/" account "/" name

static void assert_link(const struct rig *rig, const char *from, const char *to, bool is_shown)
{
    const struct qe_queue *queue = queue_here(rig, from);

    assert_int_equal(queue->links_count, 1);
    assert_string_equal(queue->links[0].queue, to);
    assert_int_equal(queue_named(rig, to) != NULL, is_shown);
}

static void every_page_is_read(void **state)
{
    static char names[25][8];
    struct rig rig;

    (void)state;
    rig_init(&rig);
    s_fake.page_size = 4;
    for (size_t i = 0; i < 25; i++) {
        (void)snprintf(names[i], sizeof names[i], "q%zu", i);
        (void)add_queue(names[i]);
    }
    poll_once(&rig);
    assert_int_equal(rig.set->count, 25);
    assert_int_equal(s_fake.calls[QE_SQS_LIST_QUEUES], 7);
    assert_non_null(strstr(s_fake.last_list_body, "\"MaxResults\":1000"));
    assert_non_null(strstr(s_fake.last_list_body, "\"NextToken\":\"24\""));
    rig_deinit(&rig);
}

static void the_first_list_knows_links_kinds_and_arns(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_queue("orders")->dead_letter_arn = ARN(OWN, "orders-dlq");
    (void)add_queue("orders-dlq");
    (void)add_queue("audit.fifo");
    poll_once(&rig);
    assert_false(rig.batch.relist);
    assert_link(&rig, "orders", "orders-dlq", true);
    const struct qe_queue *orders = queue_here(&rig, "orders");
    assert_int_equal(orders->kind, QE_KIND_STANDARD);
    assert_true(orders->retention_from_first_send);
    assert_true(orders->dead_letter_known);
    assert_string_equal(orders->arn, ARN(OWN, "orders"));
    assert_string_equal(orders->region, REGION);
    assert_string_equal(orders->account_id, OWN);
    assert_string_equal(orders->address, URL(OWN, "orders"));
    assert_int_equal(queue_here(&rig, "audit.fifo")->kind, QE_KIND_FIFO);
    assert_false(queue_here(&rig, "audit.fifo")->retention_from_first_send);
    assert_int_equal(queue_here(&rig, "orders-dlq")->links_count, 0);
    /* what list() read is what the same poll samples: nothing is asked twice */
    assert_int_equal(s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES], 3);
    rig_deinit(&rig);
}

static void a_prefix_does_not_hide_dead_letter_queues(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.queue_name_prefix = qe_strdup("orders");
    add_queue("orders")->dead_letter_arn = ARN(OWN, "dead");
    add_queue("dead")->dead_letter_arn = ARN(OWN, "deader");
    (void)add_queue("deader");
    (void)add_queue("other");
    poll_once(&rig);
    assert_int_equal(rig.set->count, 3);
    assert_non_null(strstr(s_fake.last_list_body, "\"QueueNamePrefix\":\"orders\""));
    assert_link(&rig, "orders", "dead", true);
    assert_link(&rig, "dead", "deader", true);
    assert_null(queue_named(&rig, "other"));
    assert_double_equal(field(&rig, "deader", QE_FIELD_READY_MESSAGES), 0);
    rig_deinit(&rig);
}

static void names_are_found_and_nothing_else_is_listed(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    add_text(&rig.settings.queue_names, "orders");
    add_text(&rig.settings.queue_names, "missing");
    (void)add_queue("orders");
    (void)add_queue("other");
    poll_once(&rig);
    assert_int_equal(s_fake.calls[QE_SQS_LIST_QUEUES], 0);
    assert_int_equal(rig.set->count, 2);
    assert_string_equal(queue_here(&rig, "orders")->address, URL(OWN, "orders"));
    /* one that is configured and not there is a finding, not silence */
    assert_int_equal(entry_of(&rig, "missing")->error, QE_ERR_NOT_FOUND);
    const size_t urls_asked = s_fake.calls[QE_SQS_GET_QUEUE_URL];

    (void)add_queue("missing");
    pass_ms(30000);
    poll_once(&rig);
    assert_int_equal(entry_of(&rig, "missing")->error, QE_OK);
    assert_int_equal(s_fake.calls[QE_SQS_GET_QUEUE_URL], urls_asked + 1);
    assert_true(rig.batch.relist); /* its address is known now */
    pass_ms(30000);
    poll_once(&rig);
    assert_string_equal(queue_here(&rig, "missing")->address, URL(OWN, "missing"));
    assert_int_equal(s_fake.calls[QE_SQS_GET_QUEUE_URL], urls_asked + 1);
    rig_deinit(&rig);
}

static void a_prefix_beside_names_lists_too(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.queue_name_prefix = qe_strdup("");
    add_text(&rig.settings.queue_names, "orders");
    add_text(&rig.settings.queue_urls, URL(OTHER, "foreign"));
    (void)add_queue("orders");
    (void)add_queue("other");
    add_queue("foreign")->account = OTHER;
    poll_once(&rig);
    assert_int_equal(rig.set->count, 3); /* "orders" is listed and named, and there once */
    assert_int_equal(entry_of(&rig, "foreign")->error, QE_OK);
    pass_ms(30000);
    rig.batch.relist = true;
    poll_once(&rig);
    assert_int_equal(rig.set->count, 3);
    rig_deinit(&rig);
}

static void queues_of_two_accounts_are_told_apart(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.queue_name_prefix = qe_strdup("");
    add_text(&rig.settings.queue_urls, URL(OTHER, "orders"));
    (void)add_queue("orders");
    (void)add_queue("orders-dlq");
    add_queue("orders")->account = OTHER;
    s_fake.queues[2].ready = 7;
    s_fake.queues[2].dead_letter_arn = ARN(OTHER, "orders-dlq");
    add_queue("orders-dlq")->account = OTHER;
    poll_once(&rig);
    assert_double_equal(field(&rig, "orders", QE_FIELD_READY_MESSAGES), 0);
    assert_double_equal(field(&rig, OTHER "/orders", QE_FIELD_READY_MESSAGES), 7);
    /* its dead-letter queue is the other account's, not the own one of the same name */
    assert_link(&rig, OTHER "/orders", OTHER "/orders-dlq", true);
    assert_string_equal(queue_here(&rig, OTHER "/orders-dlq")->account_id, OTHER);
    rig_deinit(&rig);
}

static void what_cannot_be_reached_is_said_not_guessed(void **state)
{
    static const struct {
        const char *why;
        const char *arn;
        const char *link;
    } rows[] = {
        {"another account, and a queue of that name here", ARN(OTHER, "dead"), OTHER "/dead"},
        {"another account", ARN(OTHER, "deader"), OTHER "/deader"},
        {"another region", "arn:aws:sqs:us-east-1:" OWN ":dead", "us-east-1/" OWN "/dead"},
        {"not there", ARN(OWN, "gone"), "gone"},
        {"not allowed", ARN(OWN, "denied"), "denied"},
        {"no ARN of a queue", "arn:aws:sns:" REGION ":" OWN ":topic",
         "arn:aws:sns:" REGION ":" OWN ":topic"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;

        rig_init(&rig);
        rig.settings.queue_name_prefix = qe_strdup("");
        add_queue("orders")->dead_letter_arn = rows[i].arn;
        (void)add_queue("dead");
        struct fake_queue *denied = add_queue("denied");
        denied->is_hidden = true;
        denied->refusal = QE_ERR_AUTH;
        denied->refusal_code = "AccessDenied";
        poll_once(&rig);
        print_message("%s: %s\n", rows[i].why, queue_here(&rig, "orders")->links[0].queue);
        assert_link(&rig, "orders", rows[i].link, false);
        assert_int_equal(rig.set->count, 2);
        rig_deinit(&rig);
    }
}

static void a_queue_that_is_listed_but_gone_is_not_shown_again(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    (void)add_queue("orders");
    struct fake_queue *old = add_queue("old");
    poll_once(&rig);
    assert_int_equal(rig.set->count, 2);
    old->is_gone = true; /* and the service lists it for a while yet */
    pass_ms(30000);
    poll_once(&rig);
    assert_int_equal(entry_of(&rig, "old")->error, QE_ERR_NOT_FOUND);
    assert_int_equal(entry_of(&rig, "orders")->error, QE_OK);
    rig.batch.relist = true; /* the poller lists again when more queues are missing */
    pass_ms(30000);
    poll_once(&rig);
    assert_null(queue_named(&rig, "old"));
    assert_int_equal(rig.batch.failed_count, 0);
    old->is_gone = false;
    rig.batch.relist = true;
    pass_ms(30000);
    poll_once(&rig);
    assert_non_null(queue_named(&rig, "old"));
    rig_deinit(&rig);
}

static void a_link_that_is_learnt_later_is_listed_by_the_next_poll(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    struct fake_queue *orders = add_queue("orders");
    add_queue("late-dlq")->is_hidden = true;
    poll_once(&rig);
    assert_int_equal(rig.set->count, 1);
    orders->dead_letter_arn = ARN(OWN, "late-dlq");
    pass_ms(30000);
    poll_once(&rig);
    assert_true(rig.batch.relist);
    pass_ms(30000);
    poll_once(&rig);
    assert_link(&rig, "orders", "late-dlq", true);
    assert_false(rig.batch.relist);
    rig_deinit(&rig);
}

/* 1 300 queues: list() reads the first 500 of them, the poll the rest, and says so. */
static void a_large_account_is_listed_at_once_and_learnt_by_the_first_poll(void **state)
{
    static char names[1300][8];
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (size_t i = 0; i < 1300; i++) {
        (void)snprintf(names[i], sizeof names[i], "q%zu", i);
        (void)add_queue(names[i]);
    }
    poll_once(&rig);
    assert_int_equal(rig.set->count, 1300);
    assert_int_equal(s_fake.calls[QE_SQS_GET_QUEUE_ATTRIBUTES], 1300);
    assert_true(rig.batch.relist);
    assert_int_equal(s_fake.in_flight_most, 16);
    pass_ms(30000);
    poll_once(&rig);
    assert_false(rig.batch.relist);
    rig_deinit(&rig);
}

static void one_queue_with_two_addresses_is_shown_once(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.queue_name_prefix = qe_strdup("");
    add_text(&rig.settings.queue_urls, "https://" REGION ".queue.amazonaws.com/" OWN "/orders");
    (void)add_queue("orders");
    poll_once(&rig);
    assert_int_equal(rig.set->count, 1);
    assert_string_equal(rig.set->items[0].address, URL(OWN, "orders"));
    rig_deinit(&rig);
}

static void a_server_that_never_ends_its_pages_is_stopped(void **state)
{
    struct qe_err err = {0};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    s_fake.has_endless_pages = true;
    (void)add_queue("orders");
    begin_round(&rig);
    assert_int_equal(list(&rig, &err), -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    assert_true(s_fake.calls[QE_SQS_LIST_QUEUES] < 5);
    rig_deinit(&rig);
}

static void a_failed_list_leaves_the_queues_as_they_were(void **state)
{
    struct qe_err err = {0};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    (void)add_queue("orders");
    poll_once(&rig);
    s_fake.everything = QE_ERR_NETWORK;
    begin_round(&rig);
    assert_int_equal(list(&rig, &err), -1);
    assert_int_equal(err.code, QE_ERR_NETWORK);
    s_fake.everything = QE_OK;
    pass_ms(30000);
    poll_once(&rig);
    assert_int_equal(entry_of(&rig, "orders")->error, QE_OK);
    rig_deinit(&rig);
}

static void an_interrupt_ends_the_list(void **state)
{
    struct qe_err err = {0};
    struct rig rig;

    (void)state;
    for (size_t after = 0; after < 4; after++) {
        rig_init(&rig);
        for (size_t i = 0; i < 40; i++) {
            static char names[40][8];

            (void)snprintf(names[i], sizeof names[i], "q%zu", i);
            (void)add_queue(names[i]);
        }
        s_fake.page_size = 30;
        atomic_store(&rig.sqs.interrupted, after == 0);
        s_fake.interrupt_after = after;
        begin_round(&rig);
        assert_int_equal(list(&rig, &err), -1);
        assert_int_equal(err.code, QE_ERR_CANCELLED);
        assert_int_equal(s_fake.in_flight_count, 0);
        assert_ok(list(&rig, &err), err); /* one interrupt, one call */
        rig_deinit(&rig);
    }
}

static int list_and_sample(void *context, struct qe_err *err)
{
    struct rig *rig = context;
    struct qe_err why = {0};

    qe_sqs_watch_destroy(rig->sqs.watch);
    rig->sqs.watch = NULL;
    begin_round(rig);
    s_fake.in_flight_count = 0;
    if (list(rig, &why) != 0 || sample(rig, &why) != 0) {
        *err = why;
        return -1;
    }
    return 0;
}

static void memory_may_end_anywhere(void **state)
{
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig.settings.queue_name_prefix = qe_strdup("o");
    add_text(&rig.settings.queue_names, "orders");
    add_text(&rig.settings.queue_urls, URL(OTHER, "orders"));
    add_queue("orders")->dead_letter_arn = ARN(OWN, "dead");
    s_fake.queues[0].ready = 1;
    s_fake.queues[0].age = 5;
    (void)add_queue("dead");
    add_queue("orders")->account = OTHER;
    s_fake.queues[2].dead_letter_arn = ARN(OWN, "dead");
    s_fake.unknown_attribute = "FifoQueue";
    s_fake.page_size = 2;
    qe_check_torture(list_and_sample, &rig);
    assert_int_equal(rig.set->count, 3);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_is_read),
        cmocka_unit_test(the_first_list_knows_links_kinds_and_arns),
        cmocka_unit_test(a_prefix_does_not_hide_dead_letter_queues),
        cmocka_unit_test(names_are_found_and_nothing_else_is_listed),
        cmocka_unit_test(a_prefix_beside_names_lists_too),
        cmocka_unit_test(queues_of_two_accounts_are_told_apart),
        cmocka_unit_test(what_cannot_be_reached_is_said_not_guessed),
        cmocka_unit_test(a_queue_that_is_listed_but_gone_is_not_shown_again),
        cmocka_unit_test(a_link_that_is_learnt_later_is_listed_by_the_next_poll),
        cmocka_unit_test(a_large_account_is_listed_at_once_and_learnt_by_the_first_poll),
        cmocka_unit_test(one_queue_with_two_addresses_is_shown_once),
        cmocka_unit_test(a_server_that_never_ends_its_pages_is_stopped),
        cmocka_unit_test(a_failed_list_leaves_the_queues_as_they_were),
        cmocka_unit_test(an_interrupt_ends_the_list),
        cmocka_unit_test(memory_may_end_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
