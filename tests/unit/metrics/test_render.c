/* What the poller's thread prepares: shared blocks, and what happens when memory runs out. */
#include <pthread.h>

#include "fixture.h"
#include "metrics/poll_internal.h"
#include "util/clock.h"

static struct qe_queue_set *two_queues(void)
{
    struct qe_queue_list list = {0};

    (void)world_add(&list, "", "one", QE_KIND_EMBEDDED);
    (void)world_add(&list, "", "two", QE_KIND_EMBEDDED);
    return world_set(&list);
}

static void set_samples(struct qe_sample samples[2], double ready)
{
    memset(samples, 0, 2 * sizeof *samples);
    for (size_t i = 0; i < 2; i++) {
        qe_sample_set(&samples[i], QE_FIELD_READY_MESSAGES, ready);
        qe_sample_set(&samples[i], QE_FIELD_RETENTION_SECONDS, 86400);
    }
}

static const struct qe_rendered *rendered_now(struct world *world, struct qe_snapshot **held)
{
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];

    assert_int_equal(qe_store_acquire_all(world->store, snapshots), 1);
    *held = snapshots[0];
    return snapshots[0]->rendered;
}

static void what_did_not_change_is_shared_with_the_poll_before(void **state)
{
    struct world world;
    struct qe_sample samples[2];
    struct qe_snapshot *first_held = NULL;
    struct qe_snapshot *second_held = NULL;
    struct qe_queue_set *set = two_queues();

    (void)state;
    world_init(&world);
    struct qe_slot *slot = world_open(&world, "a", "embedded");

    set_samples(samples, 1);
    world_publish(slot, set, samples);
    const struct qe_rendered *first = rendered_now(&world, &first_held);

    set_samples(samples, 2);
    world_publish(slot, set, samples);
    const struct qe_rendered *second = rendered_now(&world, &second_held);

    assert_ptr_not_equal(first, second);
    assert_ptr_equal(first->blocks[QE_FAMILY_RETENTION], second->blocks[QE_FAMILY_RETENTION]);
    assert_ptr_equal(first->blocks[QE_FAMILY_QUEUE_INFO], second->blocks[QE_FAMILY_QUEUE_INFO]);
    assert_ptr_not_equal(first->blocks[QE_FAMILY_MESSAGES_READY],
                         second->blocks[QE_FAMILY_MESSAGES_READY]);
    assert_null(second->blocks[QE_FAMILY_OLDEST_AGE]);
    /* The older page, still being sent, keeps its own text. */
    const struct qe_block *old = first->blocks[QE_FAMILY_MESSAGES_READY];

    char *text = qe_strndup(old->text, old->text_bytes);

    assert_non_null(text);
    assert_non_null(strstr(text, "queue=\"one\"} 1\n"));
    qe_free(text);
    qe_snapshot_release(first_held);
    qe_snapshot_release(second_held);
    qe_queue_set_release(set);
    world_deinit(&world);
}

static void a_family_that_vanishes_is_not_kept_alive(void **state)
{
    struct world world;
    struct qe_sample samples[2];
    struct qe_snapshot *held = NULL;
    struct qe_queue_set *set = two_queues();

    (void)state;
    world_init(&world);
    struct qe_slot *slot = world_open(&world, "a", "embedded");

    set_samples(samples, 1);
    world_publish(slot, set, samples);
    memset(samples, 0, sizeof samples);
    world_publish(slot, set, samples);
    const struct qe_rendered *rendered = rendered_now(&world, &held);
    const struct qe_annex *annex = held->set->annex;

    assert_null(rendered->blocks[QE_FAMILY_MESSAGES_READY]);
    assert_null(annex->latest[QE_FAMILY_MESSAGES_READY]);
    qe_snapshot_release(held);
    qe_queue_set_release(set);
    world_deinit(&world);
}

/* What is shared with the poll before was not made anew: it must be what would have been made.
 * Assertions expand to branches, hence the exception. */
// NOLINTNEXTLINE(readability-function-size,readability-function-cognitive-complexity)
static void every_block_is_what_its_snapshot_says(void **state)
{
    struct world world;
    struct qe_random random;
    struct qe_sample samples[2];
    struct qe_queue_set *set = two_queues();
    size_t shared = 0;

    (void)state;
    world_init(&world);
    struct qe_slot *slot = world_open(&world, "a", "embedded");
    struct qe_snapshot *before = NULL;

    memset(samples, 0, sizeof samples);
    qe_random_init(&random, 1);
    for (size_t round = 0; round < 300; round++) {
        struct qe_snapshot *held = NULL;
        struct qe_sample *changed = &samples[qe_random_next(&random) % 2];
        const enum qe_field field = (enum qe_field)(qe_random_next(&random) % QE_FIELD_COUNT);

        if (qe_random_next(&random) % 3 == 0) {
            qe_sample_unset(changed, field);
        } else {
            qe_sample_set(changed, field, (double)(qe_random_next(&random) % 3));
        }
        world_publish(slot, set, samples);
        const struct qe_rendered *rendered = rendered_now(&world, &held);
        const struct qe_poll_view view = {
            .snapshot = held, .annex = held->set->annex, .stats = world.stats};

        for (size_t i = 0; i < QE_FAMILY_SOURCE_UP; i++) {
            const struct qe_block *block = rendered->blocks[i];
            struct qe_strbuf text = {0};

            qe_poll_render_family(&text, (enum qe_family)i, &view);
            if (text.length_bytes != (block == NULL ? 0 : block->text_bytes) ||
                (block != NULL && memcmp(block->text, text.data, block->text_bytes) != 0)) {
                fail_msg("round %zu, %s: not %s", round, qe_catalogue[i].name,
                         qe_strbuf_text(&text));
            }
            if (before != NULL && block != NULL) {
                shared +=
                    block == ((const struct qe_rendered *)before->rendered)->blocks[i] ? 1 : 0;
            }
            qe_strbuf_deinit(&text);
        }
        qe_snapshot_release(before);
        before = held;
    }
    assert_true(shared > 1000);
    qe_snapshot_release(before);
    qe_queue_set_release(set);
    world_deinit(&world);
}

static void our_own_handling_time_is_held_against_the_visibility(void **state)
{
    struct world world;
    struct qe_err err = {0};
    struct qe_sample samples[2];
    struct qe_queue_set *set = two_queues();

    (void)state;
    world_init(&world);
    struct qe_slot *slot = world_open(&world, "a", "embedded");
    /* Its neighbours in the sorted list must not be taken for it. */
    static const char *const names[] = {"earlier", "two", "zero"};
    struct qe_consumer_stats *two = NULL;

    for (size_t i = 0; i < 3; i++) {
        struct qe_consumer_stats *consumer =
            qe_stats_consumer(world.stats, "a", "", names[i], &err);

        assert_non_null(consumer);
        qe_histogram_observe(&consumer->handling_seconds[QE_OUTCOME_RETRY], 50);
        two = i == 1 ? consumer : two;
    }
    set_samples(samples, 1);
    qe_sample_set(&samples[0], QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, 30);
    qe_sample_set(&samples[1], QE_FIELD_VISIBILITY_TIMEOUT_SECONDS, 30);
    world_publish(slot, set, samples);
    char *page = world_page(&world, QE_FORMAT_TEXT);

    assert_null(strstr(page, "queue_config_warning")); /* it does not run */
    qe_free(page);
    atomic_store(&two->active, true);
    world_publish(slot, set, samples);
    page = world_page(&world, QE_FORMAT_TEXT);
    assert_non_null(strstr(page, "queue_config_warning{source=\"a\",queue=\"two\",check="
                                 "\"visibility_below_handling_time\"} 1\n"));
    assert_null(strstr(page, "queue_config_warning{source=\"a\",queue=\"one\""));
    qe_free(page);
    qe_queue_set_release(set);
    world_deinit(&world);
}

/* --- running out of memory --- */

static int render_fresh(void *context, struct qe_err *err)
{
    const struct world *world = context;
    struct qe_queue_list list = {0};
    struct qe_queue *queue = qe_queue_list_add(&list, err);

    if (queue == NULL || qe_queue_init(queue, "", "q", QE_KIND_FIFO, err) != 0) {
        qe_queue_list_deinit(&list);
        return -1;
    }
    struct qe_queue_set *set = qe_queue_set_new_take(&list, err);

    if (set == NULL) {
        return -1;
    }
    struct qe_queue_state state = {.asked = true, .up = true};
    struct qe_snapshot snapshot = {.source = "a",
                                   .backend = "embedded",
                                   .set = set,
                                   .states = &state,
                                   .renderer = &world->renderer};

    qe_histogram_init(&snapshot.status.poll_duration_seconds, &qe_histogram_durations);
    qe_sample_set(&state.sample, QE_FIELD_READY_MESSAGES, 3);
    void *rendered = world->renderer.render(&snapshot, world->renderer.context, err);
    int rc = rendered != NULL ? 0 : -1;

    world->renderer.destroy(rendered);
    qe_queue_set_release(set);
    return rc;
}

static void rendering_survives_running_out_of_memory(void **state)
{
    struct world world;

    (void)state;
    world_init(&world);
    qe_check_torture(render_fresh, &world);
    world_deinit(&world);
}

/* --- one publisher, several scrapers --- */

#define PAGES_COUNT 60

/* NULL, or its argument when a page could not be made. */
static void *scrape(void *context)
{
    const struct world *world = context;

    for (int i = 0; i < PAGES_COUNT; i++) {
        struct qe_err err = {0};
        struct qe_page *page = NULL;

        if (qe_page_new(world->store, &s_build, i % 2 == 0 ? QE_FORMAT_TEXT : QE_FORMAT_OPENMETRICS,
                        i % 3 == 0, &page, &err) != 0) {
            return context;
        }
        volatile unsigned char sum = 0;

        for (size_t k = 0; k < page->parts_count; k++) {
            const unsigned char *bytes = page->parts[k].data;

            sum = (unsigned char)(sum + bytes[0] + bytes[page->parts[k].size_bytes - 1]);
        }
        qe_page_destroy(page);
    }
    return NULL;
}

static void scrapes_and_polls_do_not_disturb_each_other(void **state)
{
    struct world world;
    pthread_t threads[2];
    struct qe_sample samples[2];

    (void)state;
    world_init(&world);
    struct qe_slot *slot = world_open(&world, "a", "embedded");

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, scrape, &world), 0);
    }
    for (int i = 0; i < PAGES_COUNT; i++) {
        struct qe_queue_set *set = two_queues(); /* as after each discovery */

        set_samples(samples, i);
        world_publish(slot, set, samples);
        world_publish(slot, set, samples);
        qe_queue_set_release(set);
    }
    for (size_t i = 0; i < 2; i++) {
        void *problem = NULL;

        assert_int_equal(pthread_join(threads[i], &problem), 0);
        assert_null(problem);
    }
    world_deinit(&world);
}

/* One queue drains from 1000 by 10 a second, the other stands still without anybody; polls of 30 s
 * and a window of 5 minutes. */
static void publish_draining(struct qe_slot *slot, struct qe_queue_set *set, int poll,
                             int64_t window_ms)
{
    struct qe_err err = {0};
    struct qe_batch batch = {0};
    struct qe_sample samples[2];
    struct qe_poll_report report = world_report(2);

    set_samples(samples, 40);
    qe_sample_set(&samples[0], QE_FIELD_READY_MESSAGES, 10000 - 300.0 * poll);
    qe_sample_set(&samples[1], QE_FIELD_CONSUMERS, 0);
    report.now_mono_ms += INT64_C(30000) * poll;
    report.state_window_ms = window_ms;
    assert_ok(qe_batch_init(&batch, set, &err), err);
    qe_batch_set(&batch, 0, &samples[0]);
    qe_batch_set(&batch, 1, &samples[1]);
    assert_ok(qe_slot_publish(slot, &batch, &report, &err), err);
    qe_batch_deinit(&batch);
}

static void assert_page_has(struct world *world, const char *line, bool expected)
{
    char *page = world_page(world, QE_FORMAT_TEXT);

    if ((strstr(page, line) != NULL) != expected) {
        fail_msg("%s: %s", expected ? "not in the page" : "in the page", line);
    }
    free(page);
}

#define STATE_OF(queue, state) "queue_state{source=\"a\",queue=\"" queue "\",state=\"" state "\"} "

static void states_and_drain_times_are_shown_after_a_window(void **state)
{
    (void)state;
    struct world world;
    struct qe_queue_set *set = two_queues();

    world_init(&world);
    struct qe_slot *slot = world_open(&world, "a", "embedded");

    for (int poll = 0; poll <= 11; poll++) {
        publish_draining(slot, set, poll, 300000);
        assert_page_has(&world, STATE_OF("one", "unknown") "1\n", poll < 10);
        assert_page_has(&world, STATE_OF("one", "draining") "1\n", poll >= 10);
        assert_page_has(&world, STATE_OF("one", "draining") "0\n", poll < 10);
        assert_page_has(&world, STATE_OF("two", "no_consumers") "1\n", poll >= 10);
        assert_page_has(&world, "queue_drain_seconds{source=\"a\",queue=\"one\"}", poll >= 10);
        assert_page_has(&world, "queue_drain_seconds{source=\"a\",queue=\"two\"}", false);
    }
    assert_page_has(&world, "queue_drain_seconds{source=\"a\",queue=\"one\"} 670\n", true);
    /* Stale: what it does is not known any more, and it takes a window to know it again. */
    struct qe_err err = {0};

    assert_ok(qe_store_expire(world.store, FIXTURE_NOW_MONO_MS + 330000 + FIXTURE_STALE_MS, &err),
              err);
    assert_page_has(&world, STATE_OF("one", "unknown") "1\n", true);
    publish_draining(slot, set, 14, 300000);
    assert_page_has(&world, STATE_OF("one", "unknown") "1\n", true);
    publish_draining(slot, set, 15, 0); /* switched off by a reload */
    assert_page_has(&world, "queue_state{", false);
    assert_page_has(&world, "queue_drain_seconds{", false);
    qe_queue_set_release(set);
    world_deinit(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_and_drain_times_are_shown_after_a_window),
        cmocka_unit_test(what_did_not_change_is_shared_with_the_poll_before),
        cmocka_unit_test(every_block_is_what_its_snapshot_says),
        cmocka_unit_test(a_family_that_vanishes_is_not_kept_alive),
        cmocka_unit_test(our_own_handling_time_is_held_against_the_visibility),
        cmocka_unit_test(rendering_survives_running_out_of_memory),
        cmocka_unit_test(scrapes_and_polls_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
