/* The nodes of a made RabbitMQ: what a poll tells of each. */
#include "unit/backend/rabbitmq_fake.h"

#define NODE(more) "[{\"name\":\"rabbit@a\"" more "}]"
#define WELL(memory, disk, partitions)                                                             \
    NODE(",\"running\":true,\"mem_alarm\":" memory ",\"disk_free_alarm\":" disk                    \
         ",\"partitions\":" partitions)

static void each_alarm_and_every_partition_of_a_node_is_told(void **state)
{
    static const struct {
        const char *nodes;
        struct qe_node told;
        const char *why;
    } rows[] = {
        {WELL("false", "false", "[]"), {.is_up = true, .details_known = true}, "all is well"},
        {WELL("true", "false", "[]"),
         {.is_up = true, .details_known = true, .has_memory_alarm = true},
         "out of memory"},
        {WELL("false", "true", "[]"),
         {.is_up = true, .details_known = true, .has_disk_alarm = true},
         "out of disk space"},
        {WELL("true", "true", "[]"),
         {.is_up = true, .details_known = true, .has_memory_alarm = true, .has_disk_alarm = true},
         "of both"},
        {WELL("false", "false", "[\"rabbit@b\"]"),
         {.is_up = true, .details_known = true, .partitions_count = 1},
         "one is out of sight"},
        {WELL("false", "true", "[\"rabbit@b\",\"rabbit@c\"]"),
         {.is_up = true, .details_known = true, .has_disk_alarm = true, .partitions_count = 2},
         "two are, and it is full"},
        {NODE(",\"running\":false,\"mem_alarm\":true,\"disk_free_alarm\":true"),
         {.is_up = false},
         "down: nothing but that"},
        {NODE(",\"running\":true"), {.is_up = true}, "its statistics have not come yet"},
        {NODE(",\"running\":true,\"mem_alarm\":true"), {.is_up = true}, "half of them have"},
        {NODE(""), {.is_up = false}, "it does not even say that it runs"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig rig;
        struct qe_err err = {0};
        const struct qe_node *told = &rows[i].told;

        rig_init(&rig);
        two_queues();
        answer("/api/nodes", 200, rows[i].nodes);
        assert_ok(list(&rig, &err), err);
        assert_ok(sample(&rig, &err), err);
        assert_non_null(rig.batch.cluster);
        assert_int_equal(rig.batch.cluster->count, 1);

        const struct qe_node *node = &rig.batch.cluster->items[0];

        assert_string_equal(node->name, "rabbit@a");
        if (node->is_up != told->is_up || node->details_known != told->details_known) {
            fail_msg("%s: up %d, details %d", rows[i].why, node->is_up, node->details_known);
        }
        if (told->details_known && (node->has_memory_alarm != told->has_memory_alarm ||
                                    node->has_disk_alarm != told->has_disk_alarm ||
                                    node->partitions_count != told->partitions_count)) {
            fail_msg("%s: memory %d, disk %d, partitions %zu", rows[i].why, node->has_memory_alarm,
                     node->has_disk_alarm, (size_t)node->partitions_count);
        }
        rig_deinit(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_alarm_and_every_partition_of_a_node_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
