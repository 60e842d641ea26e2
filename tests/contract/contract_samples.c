/* What list and sample say must be so. */
#include <string.h>

#include "contract/contract_internal.h"
#include "util/clock.h"

static void list_names_every_queue_and_its_links(void **state)
{
    struct world *world = *state;
    struct qe_queue_list list = {0};
    struct qe_err err = {0};
    size_t links = 0;

    assert_ok(world->driver->list(world->handle, in_ms(5000), &list, &err), err);
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);
    assert_non_null(set);
    const char *vhost = world->queues[QE_CONTRACT_WORK].vhost;
    const size_t work = qe_queue_set_find(set, vhost, world->queues[QE_CONTRACT_WORK].name);
    const size_t dlq = qe_queue_set_find(set, vhost, world->queues[QE_CONTRACT_WORK_DLQ].name);
    assert_true(work < set->count);
    assert_true(dlq < set->count);
    assert_true(qe_queue_set_find(set, vhost, world->queues[QE_CONTRACT_ABSENT].name) == SIZE_MAX);
    links = set->items[work].links_count;
    if ((world->driver->caps & QE_CAP_DLQ_LINK) != 0) {
        assert_int_equal(links, 1);
        assert_true(set->items[work].dead_letter_known);
        assert_int_equal(set->link_targets[work][0], dlq);
        assert_true(set->is_dead_letter_queue[dlq]);
        assert_false(set->is_dead_letter_queue[work]);
    }
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
}

static double field(const struct qe_sample *sample, enum qe_field which)
{
    assert_true(qe_sample_has(sample, which));
    return sample->values[which];
}

static void a_sample_counts_ready_in_flight_and_delayed(void **state)
{
    struct world *world = *state;
    struct qe_outgoing later = {.body = "later", .body_bytes = 5, .delay_ms = 60000};

    if (!world->fixture->counts_exactly) {
        print_message("skipped: this broker's counts are approximate\n");
        skip();
    }
    struct qe_sample sample = sample_of(world, QE_CONTRACT_WORK);
    assert_double_equal(field(&sample, QE_FIELD_READY_MESSAGES), 0);
    if ((world->driver->caps & QE_CAP_OLDEST_AGE) != 0) {
        assert_double_equal(field(&sample, QE_FIELD_OLDEST_AGE_SECONDS), 0);
    }
    send_text(world, QE_CONTRACT_WORK, "held");
    struct qe_message_list held = receive_count(world, QE_CONTRACT_WORK, 1);
    send_text(world, QE_CONTRACT_WORK, "ready");
    send_text(world, QE_CONTRACT_WORK, "ready");
    if ((world->driver->caps & QE_CAP_DELAY) != 0) {
        send_one(world, QE_CONTRACT_WORK, &later);
    }
    sleep_ms(20);
    sample = sample_of(world, QE_CONTRACT_WORK);
    assert_double_equal(field(&sample, QE_FIELD_READY_MESSAGES), 2);
    assert_double_equal(field(&sample, QE_FIELD_IN_FLIGHT_MESSAGES), 1);
    if ((world->driver->caps & QE_CAP_DELAY) != 0) {
        assert_double_equal(field(&sample, QE_FIELD_DELAYED_MESSAGES), 1);
    }
    if ((world->driver->caps & QE_CAP_OLDEST_AGE) != 0) {
        const double age = field(&sample, QE_FIELD_OLDEST_AGE_SECONDS);

        assert_true(age >= 0.02 && age < 10); /* the held one is the oldest */
    }
    qe_message_list_deinit(&held);
}

static void true_counters_follow_a_message(void **state)
{
    struct world *world = *state;

    if (!qe_sample_has(&(struct qe_sample){.known = sample_of(world, QE_CONTRACT_WORK).known},
                       QE_FIELD_PUBLISHED_TOTAL)) {
        print_message("skipped: this broker has no true counters\n");
        skip();
    }
    const struct qe_sample before = sample_of(world, QE_CONTRACT_WORK);
    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_RELEASE, 0, NULL);
    qe_message_list_deinit(&list);
    list = receive_count(world, QE_CONTRACT_WORK, 1);
    (void)settle_one(world, QE_CONTRACT_WORK, &list.items[0], QE_SETTLE_ACK, 0, NULL);
    qe_message_list_deinit(&list);
    const struct qe_sample after = sample_of(world, QE_CONTRACT_WORK);
    static const struct {
        enum qe_field field;
        double by;
    } s_rows[] = {{QE_FIELD_PUBLISHED_TOTAL, 1},
                  {QE_FIELD_DELIVERED_TOTAL, 2},
                  {QE_FIELD_REDELIVERED_TOTAL, 1},
                  {QE_FIELD_ACKNOWLEDGED_TOTAL, 1}};
    for (size_t i = 0; i < sizeof(s_rows) / sizeof(s_rows[0]); i++) {
        assert_double_equal(field(&after, s_rows[i].field),
                            field(&before, s_rows[i].field) + s_rows[i].by);
    }
}

static void an_unhandled_delivery_is_counted_but_the_next_is_no_redelivery(void **state)
{
    struct world *world = *state;
    const struct qe_sample before = sample_of(world, QE_CONTRACT_WORK);
    struct qe_err err = {0};

    if (!qe_sample_has(&before, QE_FIELD_REDELIVERED_TOTAL)) {
        print_message("skipped: this broker does not count redeliveries\n");
        skip();
    }
    send_text(world, QE_CONTRACT_WORK, "x");
    struct qe_message_list list = receive_count(world, QE_CONTRACT_WORK, 1);
    struct qe_settlement settlement = {
        .message = &list.items[0], .verb = QE_SETTLE_RELEASE, .unhandled = true};
    assert_ok(world->driver->settle(world->handle, &world->queues[QE_CONTRACT_WORK], &settlement, 1,
                                    in_ms(5000), &err),
              err);
    qe_message_list_deinit(&list);
    list = receive_count(world, QE_CONTRACT_WORK, 1);
    qe_message_list_deinit(&list);
    const struct qe_sample after = sample_of(world, QE_CONTRACT_WORK);
    assert_double_equal(field(&after, QE_FIELD_DELIVERED_TOTAL),
                        field(&before, QE_FIELD_DELIVERED_TOTAL) + 2);
    assert_double_equal(field(&after, QE_FIELD_REDELIVERED_TOTAL),
                        field(&before, QE_FIELD_REDELIVERED_TOTAL));
}

static void settings_of_the_queue_are_sampled(void **state)
{
    struct world *world = *state;
    const struct qe_sample sample = sample_of(world, QE_CONTRACT_WORK);

    assert_double_equal(field(&sample, QE_FIELD_VISIBILITY_TIMEOUT_SECONDS),
                        (double)world->fixture->work_visibility_ms / 1e3);
    assert_double_equal(field(&sample, QE_FIELD_MAX_RECEIVES), 3);
}

static void a_receiver_counts_as_consumer(void **state)
{
    struct world *world = *state;
    struct qe_sample sample = sample_of(world, QE_CONTRACT_WORK);

    if (!qe_sample_has(&sample, QE_FIELD_CONSUMERS)) {
        print_message("skipped: this broker does not know its consumers\n");
        skip();
    }
    assert_double_equal(field(&sample, QE_FIELD_CONSUMERS), 0);
    struct qe_message_list none = receive_now(world, QE_CONTRACT_WORK, 1);
    qe_message_list_deinit(&none);
    sample = sample_of(world, QE_CONTRACT_WORK);
    assert_double_equal(field(&sample, QE_FIELD_CONSUMERS), 1);
}

static void a_queue_that_is_gone_fails_alone(void **state)
{
    struct world *world = *state;
    struct qe_queue_list list = {0};
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    assert_ok(world->driver->list(world->handle, in_ms(5000), &list, &err), err);
    struct qe_queue *gone = qe_queue_list_add(&list, &err);
    assert_non_null(gone);
    assert_ok(qe_queue_copy(gone, &world->queues[QE_CONTRACT_ABSENT], &err), err);
    struct qe_queue_set *set = qe_queue_set_new_take(&list, &err);
    assert_non_null(set);
    assert_ok(qe_batch_init(&batch, set, &err), err);
    assert_ok(world->driver->sample(world->handle, in_ms(5000), &batch, &err), err);
    const size_t index = qe_queue_set_find(set, world->queues[QE_CONTRACT_ABSENT].vhost,
                                           world->queues[QE_CONTRACT_ABSENT].name);
    assert_int_equal(batch.entries[index].error, QE_ERR_NOT_FOUND);
    for (size_t i = 0; i < set->count; i++) { /* what is not told of yet is skipped: no failure */
        assert_true(i == index || batch.entries[i].skipped || batch.entries[i].error == QE_OK);
    }
    assert_int_equal(batch.failed_count, 1);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
}

#define BOTH (QE_CAP_SEND | QE_CAP_RECEIVE)
#define LOOK (QE_CAP_LIST | QE_CAP_DEPTH)

const struct contract_test qe_contract_samples[] = {
    {"list names every queue and its links", list_names_every_queue_and_its_links, QE_CAP_LIST},
    {"a sample counts ready, in flight and delayed", a_sample_counts_ready_in_flight_and_delayed,
     BOTH | LOOK},
    {"true counters follow a message", true_counters_follow_a_message, BOTH | LOOK},
    {"an unhandled delivery is counted but the next is no redelivery",
     an_unhandled_delivery_is_counted_but_the_next_is_no_redelivery,
     BOTH | LOOK | QE_CAP_UNRECEIVE},
    {"settings of the queue are sampled", settings_of_the_queue_are_sampled,
     LOOK | QE_CAP_DLQ_LINK},
    {"a receiver counts as consumer", a_receiver_counts_as_consumer, BOTH | LOOK},
    {"a queue that is gone fails alone", a_queue_that_is_gone_fails_alone, LOOK},
    {NULL, NULL, 0},
};
