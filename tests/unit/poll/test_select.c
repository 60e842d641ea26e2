#include <stdio.h>
#include <string.h>

#include "poll/select.h"
#include "support/check.h"
#include "util/clock.h"

static void add(struct qe_queue_list *list, const char *name, const char *dead_letter_queue)
{
    struct qe_err err = {0};
    struct qe_queue *queue = qe_queue_list_add(list, &err);

    assert_non_null(queue);
    assert_ok(qe_queue_init(queue, "", name, QE_KIND_EMBEDDED, &err), err);
    if (dead_letter_queue != NULL) {
        assert_ok(qe_queue_add_link(queue, "", dead_letter_queue, &err), err);
    }
}

/* "a b c": names in order, of all or of those that are marked as dead-letter queues. */
static void assert_some(const struct qe_queue_list *list, bool all, const char *names)
{
    char text[512] = "";

    for (size_t i = 0; i < list->count; i++) {
        size_t used = strlen(text);

        if (all || list->items[i].is_dead_letter_elsewhere) {
            (void)snprintf(text + used, sizeof text - used, "%s%s", used == 0 ? "" : " ",
                           list->items[i].name);
        }
    }
    assert_string_equal(text, names);
}

static void assert_names(const struct qe_queue_list *list, const char *names)
{
    assert_some(list, true, names);
}

static void assert_marked(const struct qe_queue_list *list, const char *names)
{
    assert_some(list, false, names);
}

struct row {
    const char *why;
    const char *include;
    const char *exclude;
    uint64_t max_queues;
    const char *kept;
    size_t dropped;
};

static const struct row s_rows[] = {
    {"no rules keep everything, sorted", NULL, NULL, 0, "a a-dlq b b-dlq b-dlq-dlq c", 0},
    {"include is on the whole name", "a", NULL, 0, "a a-dlq", 0},
    {"a dead-letter queue is followed to its own", "b", NULL, 0, "b b-dlq b-dlq-dlq", 0},
    {"exclude wins over include", ".*", "b.*|c", 0, "a a-dlq", 0},
    {"exclude does not take a kept queue's dead-letter queue", NULL, ".*-dlq", 0,
     "a a-dlq b b-dlq b-dlq-dlq c", 0},
    {"an unused dead-letter queue is filtered like any other", "c", NULL, 0, "c", 0},
    {"the cap drops from the end of the alphabet", NULL, NULL, 5, "a a-dlq b b-dlq b-dlq-dlq", 1},
    {"the cap passes over dead-letter queues", NULL, NULL, 4, "a a-dlq b-dlq b-dlq-dlq", 2},
    {"dead-letter queues stay even beyond the cap", NULL, NULL, 1, "a-dlq b-dlq b-dlq-dlq", 3},
    {"the cap does not count what filters took", "c", NULL, 1, "c", 0},
    {"nothing matches", "nothing", NULL, 10, "", 0},
};

static int select_marked(const struct row *row, const char *dead_letter, struct qe_queue_list *list,
                         size_t *out_dropped, struct qe_err *err)
{
    struct qe_regex *include = row->include == NULL ? NULL : qe_regex_new(row->include, err);
    struct qe_regex *exclude = row->exclude == NULL ? NULL : qe_regex_new(row->exclude, err);
    struct qe_regex *marks = dead_letter == NULL ? NULL : qe_regex_new(dead_letter, err);

    for (size_t i = 0; marks != NULL && i < list->count; i++) { /* as whoever listed them does */
        list->items[i].is_dead_letter_elsewhere = qe_regex_matches(marks, list->items[i].name);
    }
    const struct qe_select_rules rules = {.include = &include,
                                          .include_count = include == NULL ? 0 : 1,
                                          .exclude = &exclude,
                                          .exclude_count = exclude == NULL ? 0 : 1,
                                          .max_queues = row->max_queues};
    int rc = qe_select_queues(list, &rules, out_dropped, err);

    qe_regex_destroy(include);
    qe_regex_destroy(exclude);
    qe_regex_destroy(marks);
    return rc;
}

static int select_row(const struct row *row, struct qe_queue_list *list, size_t *out_dropped,
                      struct qe_err *err)
{
    return select_marked(row, NULL, list, out_dropped, err);
}

static void add_scene(struct qe_queue_list *list)
{
    add(list, "c", NULL);
    add(list, "b-dlq-dlq", NULL);
    add(list, "b", "b-dlq");
    add(list, "a-dlq", NULL);
    add(list, "b-dlq", "b-dlq-dlq");
    add(list, "a", "a-dlq");
}

static void rules_select_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_queue_list list = {0};
        struct qe_err err = {0};
        size_t dropped = 99;

        print_message("%s\n", s_rows[i].why);
        add_scene(&list);
        assert_ok(select_row(&s_rows[i], &list, &dropped, &err), err);
        assert_names(&list, s_rows[i].kept);
        assert_int_equal(dropped, s_rows[i].dropped);
        qe_queue_list_deinit(&list);
    }
}

struct marked_row {
    struct row row;
    const char *dead_letter; /* marked beforehand */
    const char *marked;
};

static const struct marked_row s_marked_rows[] = {
    {{"who watches everything needs no marks", NULL, NULL, 0, "a a-dlq b b-dlq b-dlq-dlq c", 0},
     NULL,
     ""},
    {{"dead-letter queues that are watched alone are marked", ".*-dlq", NULL, 0,
      "a-dlq b-dlq b-dlq-dlq", 0},
     NULL,
     "a-dlq b-dlq"},
    {{"the cap does not take those either", ".*-dlq", NULL, 1, "a-dlq b-dlq b-dlq-dlq", 0},
     NULL,
     "a-dlq b-dlq"},
    {{"a rule marks what is watched", NULL, "a", 0, "a-dlq b b-dlq b-dlq-dlq c", 0},
     "c|a",
     "a-dlq c"},
    {{"the cap does not take what a rule marks", NULL, NULL, 5, "a a-dlq b-dlq b-dlq-dlq c", 1},
     "c",
     "c"},
};

static void dead_letter_queues_are_marked_that_no_kept_link_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_marked_rows / sizeof s_marked_rows[0]; i++) {
        const struct marked_row *row = &s_marked_rows[i];
        struct qe_queue_list list = {0};
        struct qe_err err = {0};
        size_t dropped = 99;

        print_message("%s\n", row->row.why);
        add_scene(&list);
        assert_ok(select_marked(&row->row, row->dead_letter, &list, &dropped, &err), err);
        assert_names(&list, row->row.kept);
        assert_marked(&list, row->marked);
        assert_int_equal(dropped, row->row.dropped);
        qe_queue_list_deinit(&list);
    }
}

static void a_delay_queue_that_is_not_watched_makes_no_dead_letter_queue(void **state)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    const struct row row = {.exclude = "delay"};
    size_t dropped = 0;

    (void)state;
    add(&list, "delay", "orders");
    list.items[0].returns_by_time = true;
    add(&list, "orders", NULL);
    assert_ok(select_row(&row, &list, &dropped, &err), err);
    assert_names(&list, "orders");
    assert_marked(&list, "");
    qe_queue_list_deinit(&list);
}

static void links_in_a_circle_end(void **state)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    const struct row row = {.include = "a"};
    size_t dropped = 0;

    (void)state;
    add(&list, "b", "a");
    add(&list, "a", "b");
    add(&list, "self", "self");
    assert_ok(select_row(&row, &list, &dropped, &err), err);
    assert_names(&list, "a b");
    qe_queue_list_deinit(&list);
}

static void duplicates_count_once_and_lost_links_do_no_harm(void **state)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    const struct row row = {.max_queues = 2};
    size_t dropped = 0;

    (void)state;
    add(&list, "a", "elsewhere");
    add(&list, "b", NULL);
    add(&list, "a", "elsewhere");
    assert_ok(select_row(&row, &list, &dropped, &err), err);
    assert_names(&list, "a b");
    assert_int_equal(dropped, 0);
    qe_queue_list_deinit(&list);
}

static void empty_list_is_fine(void **state)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    const struct qe_select_rules rules = {.max_queues = 5};
    size_t dropped = 7;

    (void)state;
    assert_ok(qe_select_queues(&list, &rules, &dropped, &err), err);
    assert_int_equal(dropped, 0);
}

static void a_hundred_thousand_queues_take_no_quadratic_time(void **state)
{
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    const struct qe_select_rules rules = {.max_queues = 60000};
    size_t dropped = 0;
    char name[32];
    char link[40];

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        (void)snprintf(name, sizeof name, "q%06u", i * 7919 % 50000);
        (void)snprintf(link, sizeof link, "%s-dlq", name);
        add(&list, name, link);
        add(&list, link, NULL);
    }
    int64_t start_us = qe_clock_mono_us();
    assert_ok(qe_select_queues(&list, &rules, &dropped, &err), err);
    print_message("selected among 100000 in %lld ms\n",
                  (long long)(qe_clock_mono_us() - start_us) / 1000);
    assert_int_equal(list.count, 60000);
    assert_int_equal(dropped, 40000);
    qe_queue_list_deinit(&list);
}

static int select_once(void *context, struct qe_err *err)
{
    struct qe_queue_list *list = context;
    const struct qe_select_rules rules = {.max_queues = 5};
    size_t before = list->count;
    size_t dropped = 0;
    int rc = qe_select_queues(list, &rules, &dropped, err);

    assert_int_equal(list->count, before); /* fails whole, or drops nothing */
    return rc;
}

static void failed_allocation_leaves_the_list_whole(void **state)
{
    struct qe_queue_list list = {0};

    (void)state;
    add(&list, "b", "a");
    add(&list, "a", NULL);
    qe_check_torture(select_once, &list);
    qe_queue_list_deinit(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_select_as_the_table_says),
        cmocka_unit_test(a_delay_queue_that_is_not_watched_makes_no_dead_letter_queue),
        cmocka_unit_test(dead_letter_queues_are_marked_that_no_kept_link_names),
        cmocka_unit_test(links_in_a_circle_end),
        cmocka_unit_test(duplicates_count_once_and_lost_links_do_no_harm),
        cmocka_unit_test(empty_list_is_fine),
        cmocka_unit_test(a_hundred_thousand_queues_take_no_quadratic_time),
        cmocka_unit_test(failed_allocation_leaves_the_list_whole)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
