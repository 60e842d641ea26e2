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
        cmocka_unit_test(the_way_of_reading_is_told_where_there_are_several),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
