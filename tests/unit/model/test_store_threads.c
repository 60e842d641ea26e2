/* One store under pollers that publish, a main thread that expires, and scrapes that acquire: for
 * ThreadSanitizer, and to see that every snapshot is whole. */
#include <pthread.h>

#include "model/store.h"
#include "unit/model/fixture.h"
#include "util/mem.h"

#define PUBLISHERS 3
#define READERS 2
#define ROUNDS 300
#define QUEUES 20

static atomic_int s_alive; /* rendered texts not yet freed */

/* Stands for the finished bytes: the sum that a reader checks. */
static void *render(const struct qe_snapshot *snapshot, void *context, struct qe_err *err)
{
    double *sum = qe_calloc(1, sizeof *sum);

    (void)context;
    if (sum == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "no memory");
        return NULL;
    }
    for (size_t i = 0; snapshot->set != NULL && i < snapshot->set->count; i++) {
        *sum += snapshot->states[i].sample.known != 0 ? 1 : 0;
    }
    atomic_fetch_add(&s_alive, 1);
    return sum;
}

static void destroy_rendered(void *rendered)
{
    atomic_fetch_sub(&s_alive, 1);
    qe_free(rendered);
}

static struct qe_queue_set *numbered_set(size_t first)
{
    struct qe_queue_list list = {0};

    for (size_t i = 0; i < QUEUES; i++) {
        char name[4] = {'q', (char)('0' + (first + i) / 10 % 10), (char)('0' + (first + i) % 10),
                        '\0'};

        (void)fixture_add(&list, name);
    }
    return fixture_take(&list);
}

static void *publish_often(void *context)
{
    struct qe_slot *slot = context;

    for (int round = 0; round < ROUNDS; round++) {
        struct qe_queue_set *set = numbered_set((size_t)(round % 3));
        struct qe_poll_report report = {.now_unix_ms = round + 1, .now_mono_ms = round};
        struct qe_batch batch = {0};
        struct qe_err err = {0};
        struct qe_sample sample = {0};

        qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, round);
        assert_ok(qe_batch_init(&batch, set, &err), err);
        for (size_t i = 0; i < set->count; i += 1 + (size_t)(round % 2)) {
            qe_batch_set(&batch, i, &sample);
        }
        assert_ok(qe_slot_publish(slot, round % 5 == 4 ? NULL : &batch, &report, &err), err);
        qe_batch_deinit(&batch);
        qe_queue_set_release(set);
    }
    return NULL;
}

struct reading {
    struct qe_store *store;
    atomic_bool *stop;
    size_t torn; /* snapshots that were not whole */
    size_t seen;
};

static bool is_whole(const struct qe_snapshot *snapshot)
{
    double known = 0;

    for (size_t i = 0; snapshot->set != NULL && i < snapshot->set->count; i++) {
        known += snapshot->states[i].sample.known != 0 ? 1 : 0;
    }
    return known == *(const double *)snapshot->rendered &&
           qe_histogram_count(&snapshot->status.poll_duration_seconds) ==
               snapshot->status.polls_total;
}

static void *read_often(void *context)
{
    struct reading *reading = context;
    struct qe_snapshot *snapshots[QE_SOURCES_MAX];

    while (!atomic_load(reading->stop)) {
        size_t count = qe_store_acquire_all(reading->store, snapshots);

        for (size_t i = 0; i < count; i++) {
            reading->torn += is_whole(snapshots[i]) ? 0 : 1;
            reading->seen++;
            qe_snapshot_release(snapshots[i]);
        }
    }
    return NULL;
}

static void readers_see_whole_snapshots_while_sources_publish_come_and_go(void **state)
{
    (void)state;
    const struct qe_renderer renderer = {render, destroy_rendered, NULL};
    struct qe_err err = {0};
    struct qe_store *store = qe_store_new(&renderer, NULL, &err);
    atomic_bool stop = false;
    pthread_t publishers[PUBLISHERS];
    pthread_t readers[READERS];
    struct reading readings[READERS];
    static const char *const sources[PUBLISHERS] = {"a", "b", "c"};

    assert_non_null(store);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct qe_slot *slot = qe_store_open(store, sources[i], "embedded", 50, &err);

        assert_non_null(slot);
        assert_int_equal(pthread_create(&publishers[i], NULL, publish_often, slot), 0);
    }
    for (size_t i = 0; i < READERS; i++) {
        readings[i] = (struct reading){.store = store, .stop = &stop};
        assert_int_equal(pthread_create(&readers[i], NULL, read_often, &readings[i]), 0);
    }
    for (int i = 0; i < 50; i++) { /* a reload, while the others go on */
        struct qe_slot *slot = qe_store_open(store, "aa", "embedded", 50, &err);

        assert_ok(qe_store_expire(store, (i % 2 == 0 ? 100 : 1000) + i, &err), err);
        assert_non_null(slot);
        qe_store_close(store, slot);
    }
    for (size_t i = 0; i < PUBLISHERS; i++) {
        assert_int_equal(pthread_join(publishers[i], NULL), 0);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
        assert_int_equal(readings[i].torn, 0);
    }
    qe_store_destroy(store);
    assert_int_equal(atomic_load(&s_alive), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_snapshots_while_sources_publish_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
