/* The families of a source's machines, and of the way in which it is read. */
#include "unit/metrics/fixture.h"

static const struct qe_sample s_none[1];

static char *page_of(struct world *world, struct qe_cluster *cluster, const char *method)
{
    struct qe_queue_list list = {0};
    struct qe_queue_set *set = NULL;

    world_init(world);
    (void)world_add(&list, "/", "orders", QE_KIND_CLASSIC);
    set = world_set(&list);
    world_publish_of(world_open(world, "shop", "a broker"), set, s_none, cluster, method);
    qe_queue_set_release(set);
    return world_page(world, QE_FORMAT_TEXT);
}

static void a_node_that_is_down_tells_nothing_but_that(void **state)
{
    struct world world;

    (void)state;
    char *page = page_of(&world, world_cluster(), "totals");

    assert_non_null(strstr(page, "\nqueue_source_node_up{source=\"shop\",node=\"rabbit@a\"} 1\n"));
    assert_non_null(strstr(page, "\nqueue_source_node_up{source=\"shop\",node=\"rabbit@b\"} 0\n"));
    assert_non_null(
        strstr(page, "\nqueue_source_node_memory_alarm{source=\"shop\",node=\"rabbit@a\"} 1\n"));
    assert_non_null(
        strstr(page, "\nqueue_source_node_disk_alarm{source=\"shop\",node=\"rabbit@a\"} 0\n"));
    assert_non_null(
        strstr(page, "\nqueue_source_node_partitions{source=\"shop\",node=\"rabbit@a\"} 1\n"));
    assert_null(strstr(page, "alarm{source=\"shop\",node=\"rabbit@b\"}"));
    assert_null(strstr(page, "partitions{source=\"shop\",node=\"rabbit@b\"}"));
    qe_free(page);
    world_deinit(&world);
}

/* The page of a running node of these facts, which is named "a". */
static char *page_of_node(struct world *world, const struct qe_node *facts)
{
    struct qe_err err = {0};
    struct qe_cluster *cluster = qe_cluster_new(&err);
    struct qe_node node = *facts;
    char name[] = "a";

    node.name = name;
    node.is_up = true;
    node.details_known = true;
    assert_non_null(cluster);
    assert_ok(qe_cluster_add(cluster, &node, &err), err);
    return page_of(world, cluster, "totals");
}

static void each_fact_of_a_node_has_its_family(void **state)
{
#define TOLD(memory, disk, partitions)                                                             \
    {                                                                                              \
        "_memory_alarm{source=\"shop\",node=\"a\"} " memory "\n",                                  \
            "_disk_alarm{source=\"shop\",node=\"a\"} " disk "\n",                                  \
            "_partitions{source=\"shop\",node=\"a\"} " partitions "\n"                             \
    }
    static const struct {
        struct qe_node facts;
        const char *told[3];
    } rows[] = {
        {{.has_memory_alarm = true}, TOLD("1", "0", "0")},
        {{.has_disk_alarm = true}, TOLD("0", "1", "0")},
        {{.partitions_count = 2}, TOLD("0", "0", "2")},
        {{.has_memory_alarm = true, .has_disk_alarm = true, .partitions_count = 3},
         TOLD("1", "1", "3")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char *page = page_of_node(&world, &rows[i].facts);

        for (size_t j = 0; j < 3; j++) {
            assert_non_null(strstr(page, rows[i].told[j]));
        }
        qe_free(page);
        world_deinit(&world);
    }
#undef TOLD
}

static void the_way_of_reading_is_told_where_there_are_several(void **state)
{
    struct world world;

    (void)state;
    char *page = page_of(&world, NULL, "totals");

    assert_non_null(
        strstr(page, "\nqueue_source_method_info{source=\"shop\",method=\"totals\"} 1\n"));
    qe_free(page);
    world_deinit(&world);
    page = page_of(&world, NULL, NULL);
    assert_null(strstr(page, "queue_source_method_info"));
    assert_null(strstr(page, "queue_source_node"));
    qe_free(page);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_is_down_tells_nothing_but_that),
        cmocka_unit_test(each_fact_of_a_node_has_its_family),
        cmocka_unit_test(the_way_of_reading_is_told_where_there_are_several),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
