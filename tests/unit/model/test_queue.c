#include <stdio.h>

#include "unit/model/fixture.h"
#include "util/mem.h"

static void a_new_queue_has_text_everywhere(void **state)
{
    (void)state;
    struct qe_queue queue = {0};
    struct qe_err err = {0};

    assert_ok(qe_queue_init(&queue, NULL, "orders", QE_KIND_FIFO, &err), err);
    assert_string_equal(queue.name, "orders");
    assert_string_equal(queue.vhost, "");
    assert_string_equal(queue.address, "");
    assert_string_equal(queue.arn, "");
    assert_string_equal(queue.region, "");
    assert_string_equal(queue.account_id, "");
    assert_int_equal(queue.kind, QE_KIND_FIFO);
    qe_queue_deinit(&queue);
    qe_queue_deinit(&queue);
}

static void links_have_a_limit(void **state)
{
    (void)state;
    struct qe_queue queue = {0};
    struct qe_err err = {0};

    assert_ok(qe_queue_init(&queue, NULL, "orders", QE_KIND_FIFO, &err), err);
    for (int i = 0; i < QE_LINKS_MAX; i++) {
        assert_ok(qe_queue_add_link(&queue, "", "dlq", &err), err);
    }
    assert_int_equal(qe_queue_add_link(&queue, "", "dlq", &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_int_equal(queue.links_count, QE_LINKS_MAX);
    qe_queue_deinit(&queue);
}

static void tags_become_labels_in_order_and_the_first_of_a_name_stays(void **state)
{
    (void)state;
    static const char *const tags[][2] = {
        {"team", "red"},        {"Team", "blue"},  {"cost centre/1", "7"},
        {"cost-centre-1", "8"}, {"\xc3\xa4", "x"}, {"aws:cloudformation", ""},
        {"", "empty"},          {"team", "green"},
    };
    static const char *const labels[][2] = {
        {"tag_", "empty"},
        {"tag_Team", "blue"},
        {"tag___", "x"},
        {"tag_aws_cloudformation", ""},
        {"tag_cost_centre_1", "7"},
        {"tag_team", "red"},
    };
    struct qe_queue queue = {0};
    struct qe_queue copy = {0};
    struct qe_err err = {0};

    assert_ok(qe_queue_init(&queue, NULL, "orders", QE_KIND_FIFO, &err), err);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        assert_ok(qe_queue_add_tag(&queue, tags[i][0], tags[i][1], &err), err);
    }
    assert_ok(qe_queue_copy(&copy, &queue, &err), err);
    assert_int_equal(copy.labels_count, sizeof labels / sizeof labels[0]);
    for (size_t i = 0; i < copy.labels_count; i++) {
        assert_string_equal(copy.labels[i].name, labels[i][0]);
        assert_string_equal(copy.labels[i].value, labels[i][1]);
        assert_ptr_not_equal(copy.labels[i].value, queue.labels[i].value);
    }
    qe_queue_deinit(&copy);
    qe_queue_deinit(&queue);
}

static void labels_have_a_limit(void **state)
{
    (void)state;
    struct qe_queue queue = {0};
    struct qe_err err = {0};
    char key[16];

    assert_ok(qe_queue_init(&queue, NULL, "orders", QE_KIND_FIFO, &err), err);
    for (int i = 0; i < QE_QUEUE_LABELS_MAX; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        assert_ok(qe_queue_add_tag(&queue, key, "x", &err), err);
    }
    assert_int_equal(qe_queue_add_tag(&queue, "one more", "x", &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_ok(qe_queue_add_tag(&queue, "key0", "ignored", &err), err);
    assert_int_equal(queue.labels_count, QE_QUEUE_LABELS_MAX);
    qe_queue_deinit(&queue);
}

static void a_set_is_sorted_without_duplicates_and_finds(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "a", "v/a", "b", "ab", "v/0", "b", NULL};
    struct qe_queue_set *set = fixture_set(names);

    assert_int_equal(set->count, 5);
    for (size_t i = 1; i < set->count; i++) {
        assert_true(qe_queue_compare(&set->items[i - 1], &set->items[i]) < 0);
    }
    assert_int_equal(qe_queue_set_find(set, NULL, "a"), 0);
    assert_int_equal(qe_queue_set_find(set, "", "ab"), 1);
    assert_int_equal(qe_queue_set_find(set, "v", "a"), 4);
    assert_true(qe_queue_set_find(set, "v", "b") == SIZE_MAX);
    assert_true(qe_queue_set_find(set, NULL, "c") == SIZE_MAX);
    qe_queue_set_release(set);
}

static void an_empty_set_is_a_set(void **state)
{
    (void)state;
    struct qe_queue_list list = {0};
    struct qe_queue_set *set = fixture_take(&list);

    assert_int_equal(set->count, 0);
    assert_true(qe_queue_set_find(set, NULL, "a") == SIZE_MAX);
    qe_queue_set_release(set);
    qe_queue_set_release(NULL);
}

static void links_are_resolved_in_both_directions(void **state)
{
    (void)state;
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    (void)fixture_add(&list, "dlq");
    (void)fixture_add(&list, "alone");
    struct qe_queue *orders = fixture_add(&list, "orders");

    assert_ok(qe_queue_add_link(orders, "", "elsewhere", &err), err);
    assert_ok(qe_queue_add_link(orders, NULL, "dlq", &err), err);
    assert_ok(qe_queue_add_link(fixture_add(&list, "payments"), "", "dlq", &err), err);
    assert_ok(qe_queue_add_link(fixture_add(&list, "a"), "", "orders", &err), err);
    struct qe_queue_set *set = fixture_take(&list);
    size_t dlq = qe_queue_set_find(set, NULL, "dlq");
    size_t orders_at = qe_queue_set_find(set, NULL, "orders");
    size_t payments = qe_queue_set_find(set, NULL, "payments");

    assert_null(list.items); /* taken */
    assert_true(set->link_targets[orders_at][0] == SIZE_MAX);
    assert_int_equal(set->link_targets[orders_at][1], dlq);
    assert_true(set->is_dead_letter_queue[dlq]);
    assert_true(set->is_dead_letter_queue[orders_at]);
    assert_false(set->is_dead_letter_queue[payments]);
    assert_int_equal(set->link_source_starts[dlq + 1] - set->link_source_starts[dlq], 2);
    assert_int_equal(set->link_sources[set->link_source_starts[dlq]], orders_at);
    assert_int_equal(set->link_sources[set->link_source_starts[dlq] + 1], payments);
    assert_int_equal(set->link_source_starts[orders_at + 1] - set->link_source_starts[orders_at],
                     1);
    assert_int_equal(set->link_source_starts[set->count], 3);
    qe_queue_set_release(set);
}

static void a_copy_for_a_driver_has_the_brokers_links_only(void **state)
{
    (void)state;
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    struct qe_queue *orders = fixture_add(&list, "orders");
    struct qe_queue copy = {0};

    assert_ok(qe_queue_add_consumer_link(orders, "", "ours", &err), err);
    assert_ok(qe_queue_add_link(orders, "", "brokers", &err), err);
    assert_ok(qe_queue_copy(&copy, orders, &err), err);
    assert_int_equal(copy.links_count, 2);
    assert_true(copy.links[0].by_consumer);
    qe_queue_drop_consumer_links(&copy);
    assert_int_equal(copy.links_count, 1);
    assert_string_equal(copy.links[0].queue, "brokers");
    qe_queue_deinit(&copy);
    qe_queue_list_deinit(&list);
}

/* Links as "from>to"; a name in capitals returns what it holds by time. `wanted` are the
 * dead-letter queues, and behind a blank the delay queues. */
struct loop {
    const char *links[6];
    const char *wanted;
};

static void kinds_of(const struct loop *loop, char out[32])
{
    static const char names[] = "aAbBcCdD";
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    size_t length = 0;

    for (size_t i = 0; names[i] != '\0'; i++) {
        const char name[] = {names[i], '\0'};
        struct qe_queue *queue = fixture_add(&list, name);

        queue->returns_by_time = names[i] >= 'A' && names[i] <= 'Z';
        for (size_t link = 0; link < 6 && loop->links[link] != NULL; link++) {
            if (loop->links[link][0] == names[i]) {
                assert_ok(qe_queue_add_link(queue, "", loop->links[link] + 2, &err), err);
            }
        }
    }
    struct qe_queue_set *set = fixture_take(&list);

    for (size_t i = 0; i < set->count; i++) {
        if (set->is_dead_letter_queue[i]) {
            out[length++] = set->items[i].name[0];
        }
    }
    out[length++] = ' ';
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].is_delay_queue) {
            out[length++] = set->items[i].name[0];
        }
    }
    out[length] = '\0';
    qe_queue_set_release(set);
}

static void a_queue_and_its_retry_queue_are_no_dead_letter_queues(void **state)
{
    (void)state;
    static const struct loop loops[] = {
        {{"a>A", "A>a"}, " A"},                /* a rejects into A, which sends back by time */
        {{"a>A", "A>a", "a>b"}, "b A"},        /* and has a place for what is given up */
        {{"a>A", "A>a", "b>a"}, "a A"},        /* a takes the dead letters of b as well */
        {{"a>A", "a>B", "A>a", "B>a"}, " AB"}, /* a short and a long wait */
        {{"a>A", "A>b", "b>a"}, "Aab "},       /* through b, whose messages wait for somebody */
        {{"A>a"}, "a "},                       /* expired, and kept */
        {{"A>b", "b>c"}, "bc "},               /* a dead-letter queue may have one, too */
        {{"a>b", "b>a"}, "ab "},               /* goes on only when somebody rejects it */
        {{"A>A"}, " A"},                       /* its own */
        {{"a>b", "b>c", "c>b", "a>A"}, "Abc "} /* a loop elsewhere is another matter */
    };

    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        char found[32];

        kinds_of(&loops[i], found);
        if (strcmp(found, loops[i].wanted) != 0) {
            fail_msg("case %zu: '%s', not '%s'", i, found, loops[i].wanted);
        }
    }
}

static int s_annex_destroyed;

static void destroy_annex(void *annex)
{
    assert_ptr_equal(annex, &s_annex_destroyed);
    s_annex_destroyed++;
}

static void the_last_release_takes_the_annex_along(void **state)
{
    (void)state;
    static const char *const names[] = {"a", NULL};
    struct qe_queue_set *set = fixture_set(names);

    s_annex_destroyed = 0;
    set->annex = &s_annex_destroyed;
    set->annex_destroy = destroy_annex;
    assert_ptr_equal(qe_queue_set_acquire(set), set);
    qe_queue_set_release(set);
    assert_int_equal(s_annex_destroyed, 0);
    qe_queue_set_release(set);
    assert_int_equal(s_annex_destroyed, 1);
}

/* Changes one fact of the second of two equal sets. */
static void change(struct qe_queue *queue, int fact)
{
    struct qe_err err = {0};
    char **facts[] = {&queue->name, &queue->vhost,  &queue->address,
                      &queue->arn,  &queue->region, &queue->account_id};

    if (fact < 6) {
        char **text = facts[fact];

        qe_free(*text);
        *text = qe_strdup("changed");
    } else if (fact == 6) {
        queue->kind = QE_KIND_STREAM;
    } else if (fact == 7) {
        queue->retention_from_first_send = true;
    } else if (fact == 8) {
        queue->dead_letter_known = true;
    } else if (fact == 9) {
        assert_ok(qe_queue_add_link(queue, "", "dlq", &err), err);
    } else if (fact == 15) {
        assert_ok(qe_queue_add_consumer_link(queue, "", "dlq", &err), err);
    } else if (fact == 12) {
        queue->returns_by_time = true;
    } else if (fact == 14) {
        queue->is_delay_queue = true;
    } else if (fact == 13) {
        queue->is_dead_letter_elsewhere = true;
    } else if (fact == 16) {
        queue->delivery_known = true;
    } else if (fact == 17) {
        queue->is_single_active = true;
    } else if (fact == 18) {
        queue->may_refuse = true;
    } else if (fact == 19) {
        queue->deliveries_most = 3;
    } else {
        assert_ok(qe_queue_add_tag(queue, "team", fact == 10 ? "red" : "blue", &err), err);
    }
}

static void copy_all(const struct qe_queue_list *from, struct qe_queue_list *to)
{
    struct qe_err err = {0};

    for (size_t i = 0; i < from->count; i++) {
        struct qe_queue *copy = qe_queue_list_add(to, &err);

        assert_non_null(copy);
        assert_ok(qe_queue_copy(copy, &from->items[i], &err), err);
    }
}

/* Of three: the first two only where no fact differs, and the copy in any case. */
static void expect_equal(struct qe_queue_set *sets[3], int fact)
{
    if (qe_queue_set_equal(sets[0], sets[1]) != (fact < 0) ||
        !qe_queue_set_equal(sets[1], sets[2])) {
        fail_msg("fact %d", fact);
    }
    for (size_t i = 0; i < 3; i++) {
        qe_queue_set_release(sets[i]);
    }
}

static void sets_are_equal_only_when_every_fact_is(void **state)
{
    (void)state;
    for (int fact = -1; fact <= 19; fact++) {
        struct qe_queue_list lists[3] = {{0}};
        struct qe_queue_set *sets[3];

        for (size_t i = 0; i < 2; i++) {
            (void)fixture_add(&lists[i], i == 0 ? "a" : "b"); /* listed in another order */
            (void)fixture_add(&lists[i], i == 0 ? "b" : "a");
            if (i == 1 && fact >= 0) {
                change(&lists[i].items[1], fact);
            }
        }
        if (fact == 11) { /* a label of the same name, with another value */
            change(&lists[0].items[0], 10);
        } else if (fact == 15) { /* the same link, of the broker's */
            change(&lists[0].items[0], 9);
        }
        copy_all(&lists[1], &lists[2]);
        for (size_t i = 0; i < 3; i++) {
            sets[i] = fixture_take(&lists[i]);
        }
        expect_equal(sets, fact);
    }
}

static int build(void *context, struct qe_err *err)
{
    struct qe_queue_list list = {0};
    struct qe_queue copy = {0};
    int rc = 0;

    (void)context;
    for (int i = 0; i < 10 && rc == 0; i++) {
        struct qe_queue *queue = qe_queue_list_add(&list, err);
        char name[2] = {(char)('a' + i), '\0'};

        rc = queue == NULL ? -1 : qe_queue_init(queue, "v", name, QE_KIND_QUORUM, err);
        if (rc == 0) {
            rc = qe_queue_add_link(queue, "v", "c", err);
        }
        if (rc == 0) {
            rc = qe_queue_add_tag(queue, "team", "red", err);
        }
    }
    if (rc == 0) {
        rc = qe_queue_copy(&copy, &list.items[0], err);
    }
    if (rc == 0) {
        assert_int_equal(qe_queue_compare(&copy, &list.items[0]), 0);
        assert_int_equal(copy.links_count, 1);
        assert_int_equal(copy.labels_count, 1);
        struct qe_queue_set *set = qe_queue_set_new_take(&list, err);

        assert_int_equal(list.count, 0); /* also on failure */
        rc = set == NULL ? -1 : 0;
        qe_queue_set_release(set);
    }
    qe_queue_deinit(&copy);
    qe_queue_list_deinit(&list);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(qe_queue_kind_name(QE_KIND_EMBEDDED), "embedded");
    assert_string_equal(qe_queue_kind_name(QE_KIND_STREAM), "stream");
    assert_string_equal(qe_queue_kind_name(QE_KIND_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_queue_has_text_everywhere),
        cmocka_unit_test(links_have_a_limit),
        cmocka_unit_test(tags_become_labels_in_order_and_the_first_of_a_name_stays),
        cmocka_unit_test(labels_have_a_limit),
        cmocka_unit_test(a_set_is_sorted_without_duplicates_and_finds),
        cmocka_unit_test(an_empty_set_is_a_set),
        cmocka_unit_test(links_are_resolved_in_both_directions),
        cmocka_unit_test(a_copy_for_a_driver_has_the_brokers_links_only),
        cmocka_unit_test(a_queue_and_its_retry_queue_are_no_dead_letter_queues),
        cmocka_unit_test(the_last_release_takes_the_annex_along),
        cmocka_unit_test(sets_are_equal_only_when_every_fact_is),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
        cmocka_unit_test(kinds_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
