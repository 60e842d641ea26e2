/* What our consumers are configured with, as links of their queues. */
#include <stdio.h>

#include "app/drivers.h"
#include "app/links.h"
#include "support/check.h"

#define SOURCES                                                                                    \
    "sources:\n"                                                                                   \
    "  - {name: local, type: embedded, path: ':memory:', queues: [{name: a}, {name: b}]}\n"        \
    "  - {name: rabbit, type: rabbitmq, management_url: 'http://127.0.0.1:1'}\n"                   \
    "consumers:\n"

static struct qe_config *load(const char *text)
{
    size_t types_count = 0;
    const struct qe_source_type *types = qe_drivers_types(&types_count);
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, 4096);
    struct qe_config *config =
        qe_config_load_text("test.yml", text, strlen(text), types, types_count, &errors);

    if (config == NULL) {
        fail_msg("%s", qe_strbuf_text(&errors));
    }
    qe_strbuf_deinit(&errors);
    return config;
}

static struct qe_queue *add(struct qe_queue_list *list, const char *vhost, const char *name)
{
    struct qe_err err = {0};
    struct qe_queue *queue = qe_queue_list_add(list, &err);

    assert_non_null(queue);
    assert_ok(qe_queue_init(queue, vhost, name, QE_KIND_EMBEDDED, &err), err);
    return queue;
}

static void a_consumers_own_dead_letter_queue_is_a_link_of_its_queue(void **state)
{
    (void)state;
    struct qe_config *config = load(
        SOURCES "  - {source: local, queue: a, handler: {type: discard}, dead_letter: {queue: x}}\n"
                "  - {source: local, queue: b, handler: {type: discard}}\n");
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    (void)add(&list, "", "b");
    assert_ok(qe_queue_add_link(add(&list, "", "a"), "", "brokers", &err), err);
    for (int i = 0; i < 2; i++) { /* once, however often it is asked for */
        assert_ok(qe_links_add(config, "local", &list, &err), err);
        assert_ok(qe_links_add(config, "rabbit", &list, &err), err);
        assert_int_equal(list.items[0].links_count, 0);
        assert_int_equal(list.items[1].links_count, 2);
    }
    assert_false(list.items[1].links[0].by_consumer);
    assert_string_equal(list.items[1].links[1].queue, "x");
    assert_string_equal(list.items[1].links[1].vhost, "");
    assert_true(list.items[1].links[1].by_consumer);
    qe_queue_list_deinit(&list);
    qe_config_destroy(config);
}

static void what_the_broker_says_itself_is_said_once(void **state)
{
    (void)state;
    struct qe_config *config =
        load(SOURCES
             "  - {source: local, queue: a, handler: {type: discard}, dead_letter: {queue: x}}\n");
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    assert_ok(qe_queue_add_link(add(&list, "", "a"), "", "x", &err), err);
    assert_ok(qe_links_add(config, "local", &list, &err), err);
    assert_int_equal(list.items[0].links_count, 1);
    assert_false(list.items[0].links[0].by_consumer);
    qe_queue_list_deinit(&list);
    qe_config_destroy(config);
}

static void a_link_stays_in_its_vhost(void **state)
{
    (void)state;
    struct qe_config *config = load(
        SOURCES
        "  - {source: rabbit, queue: a, handler: {type: discard}, dead_letter: {queue: x}}\n"
        "  - {source: rabbit, vhost: v, queue: a, handler: {type: discard}, dead_letter: {queue: "
        "y}}\n");
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    (void)add(&list, "/", "a");
    (void)add(&list, "v", "a");
    (void)add(&list, "w", "a");
    assert_ok(qe_links_add(config, "rabbit", &list, &err), err);
    assert_int_equal(list.items[0].links_count, 1);
    assert_string_equal(list.items[0].links[0].queue, "x");
    assert_string_equal(list.items[0].links[0].vhost, "/");
    assert_int_equal(list.items[1].links_count, 1);
    assert_string_equal(list.items[1].links[0].queue, "y");
    assert_string_equal(list.items[1].links[0].vhost, "v");
    assert_int_equal(list.items[2].links_count, 0);
    qe_queue_list_deinit(&list);
    qe_config_destroy(config);
}

static void what_a_source_says_to_be_a_dead_letter_queue_is_marked_as_one(void **state)
{
    (void)state;
    struct qe_config *config =
        load("sources:\n"
             "  - {name: local, type: embedded, path: ':memory:', queues: [{name: a}], "
             "dead_letter_queues: ['.*-dlq', 'x']}\n"
             "  - {name: other, type: embedded, path: ':memory:', queues: [{name: a}]}\n");
    static const struct {
        const char *name;
        bool is_marked;
    } rows[] = {{"a-dlq", true}, {"x", true}, {"a", false}, {"xy", false}, {"a-dlq-not", false}};
    struct qe_queue_list list = {0};
    struct qe_err err = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)add(&list, "", rows[i].name);
    }
    assert_ok(qe_links_add(config, "other", &list, &err), err);
    for (size_t i = 0; i < list.count; i++) {
        assert_false(list.items[i].is_dead_letter_elsewhere);
    }
    assert_ok(qe_links_add(config, "local", &list, &err), err);
    for (size_t i = 0; i < list.count; i++) {
        print_message("%s\n", rows[i].name);
        assert_int_equal(list.items[i].is_dead_letter_elsewhere, rows[i].is_marked);
    }
    qe_queue_list_deinit(&list);
    qe_config_destroy(config);
}

static void a_reload_sees_which_links_changed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "  - {source: local, queue: a, handler: {type: discard}}\n",
        "  - {source: local, queue: a, handler: {type: discard}, dead_letter: {queue: x}}\n",
        ("  - {source: local, queue: a, workers: 9, handler: {type: discard}, dead_letter: {queue: "
         "x}}\n"),
        "  - {source: local, queue: a, handler: {type: discard}, dead_letter: {queue: y}}\n",
        "  - {source: local, queue: b, handler: {type: discard}, dead_letter: {queue: x}}\n",
    };
    static const int links[] = {0, 1, 1, 2, 3};

    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++) {
            char a[1024];
            char b[1024];

            (void)snprintf(a, sizeof a, SOURCES "%s", texts[i]);
            (void)snprintf(b, sizeof b, SOURCES "%s", texts[j]);
            struct qe_config *one = load(a);
            struct qe_config *other = load(b);

            print_message("%zu %zu\n", i, j);
            assert_int_equal(qe_links_equal(one, other, "local"), links[i] == links[j]);
            assert_true(qe_links_equal(one, other, "rabbit"));
            qe_config_destroy(one);
            qe_config_destroy(other);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_consumers_own_dead_letter_queue_is_a_link_of_its_queue),
        cmocka_unit_test(what_the_broker_says_itself_is_said_once),
        cmocka_unit_test(a_link_stays_in_its_vhost),
        cmocka_unit_test(what_a_source_says_to_be_a_dead_letter_queue_is_marked_as_one),
        cmocka_unit_test(a_reload_sees_which_links_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
