#include "unit/model/fixture.h"

static void nothing_answered_is_a_timeout(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", NULL};
    struct qe_queue_set *set = fixture_set(names);
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    assert_ok(qe_batch_init(&batch, set, &err), err);
    assert_int_equal(batch.entries[0].error, QE_ERR_TIMEOUT);
    assert_int_equal(batch.entries[1].error, QE_ERR_TIMEOUT);
    assert_int_equal(batch.failed_count, 0);
    qe_queue_set_release(set); /* the batch has its own reference */
    assert_string_equal(batch.set->items[1].name, "b");
    qe_batch_deinit(&batch);
    qe_batch_deinit(&batch);
}

static void the_first_failure_is_kept_with_its_queue(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "v/b", "v/c", NULL};
    struct qe_queue_set *set = fixture_set(names);
    struct qe_batch batch = {0};
    struct qe_sample sample = {0};
    struct qe_err err = {0};

    assert_ok(qe_batch_init(&batch, set, &err), err);
    qe_sample_set(&sample, QE_FIELD_READY_MESSAGES, 3);
    qe_batch_set(&batch, 0, &sample);
    qe_err_set(&err, QE_ERR_AUTH, "denied");
    qe_batch_fail(&batch, 1, &err);
    qe_err_set(&err, QE_ERR_NOT_FOUND, "gone");
    qe_batch_fail(&batch, 2, &err);
    assert_int_equal(batch.entries[0].error, QE_OK);
    assert_true(qe_sample_has(&batch.entries[0].sample, QE_FIELD_READY_MESSAGES));
    assert_int_equal(batch.entries[2].error, QE_ERR_NOT_FOUND);
    assert_int_equal(batch.failed_count, 2);
    assert_int_equal(batch.first_error.code, QE_ERR_AUTH);
    assert_string_equal(batch.first_error.message, "queue v/b: denied");
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
}

static void of_the_default_vhost_the_name_is_enough(void **state)
{
    (void)state;
    static const char *const names[] = {"v/b", NULL};
    struct qe_queue_set *set = fixture_set(names);
    struct qe_batch batch = {0};
    struct qe_err err = {0};

    assert_ok(qe_batch_init(&batch, set, &err), err);
    batch.default_vhost = "v";
    qe_err_set(&err, QE_ERR_AUTH, "denied");
    qe_batch_fail(&batch, 0, &err);
    assert_string_equal(batch.first_error.message, "queue b: denied");
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
}

static void what_is_skipped_is_no_failure(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", NULL};
    struct qe_queue_set *set = fixture_set(names);
    struct qe_batch batch = {0};
    struct qe_sample sample = {0};
    struct qe_err err = {0};

    assert_ok(qe_batch_init(&batch, set, &err), err);
    assert_double_equal(batch.entries[0].observed_age_seconds, -1);
    qe_batch_skip(&batch, 0);
    qe_batch_skip(&batch, 1);
    assert_int_equal(batch.entries[0].error, QE_ERR_CANCELLED);
    assert_true(batch.entries[0].skipped);
    assert_int_equal(batch.failed_count, 0);
    assert_int_equal(batch.first_error.code, QE_OK);
    qe_batch_set(&batch, 0, &sample); /* asked after all */
    qe_err_set(&err, QE_ERR_AUTH, "denied");
    qe_batch_fail(&batch, 1, &err);
    assert_false(batch.entries[0].skipped);
    assert_false(batch.entries[1].skipped);
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
}

static void fields_are_known_one_by_one(void **state)
{
    (void)state;
    struct qe_sample sample = {0};

    for (unsigned i = 0; i < QE_FIELD_COUNT; i++) {
        assert_false(qe_sample_has(&sample, (enum qe_field)i));
        qe_sample_set(&sample, (enum qe_field)i, i);
        assert_true(qe_sample_has(&sample, (enum qe_field)i));
    }
    qe_sample_unset(&sample, QE_FIELD_CONSUMERS);
    assert_false(qe_sample_has(&sample, QE_FIELD_CONSUMERS));
    assert_true(qe_sample_has(&sample, QE_FIELD_MAX_RECEIVES));
    assert_string_equal(qe_age_method_name(QE_AGE_HEAD_TIMESTAMP), "head_timestamp");
}

static int build(void *context, struct qe_err *err)
{
    struct qe_batch batch = {0};
    int rc = qe_batch_init(&batch, context, err);

    qe_batch_deinit(&batch);
    return rc;
}

static void running_out_of_memory_takes_no_reference(void **state)
{
    (void)state;
    static const char *const names[] = {"a", NULL};
    struct qe_queue_set *set = fixture_set(names);

    qe_check_torture(build, set);
    assert_int_equal(atomic_load(&set->refs), 1);
    qe_queue_set_release(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_answered_is_a_timeout),
        cmocka_unit_test(the_first_failure_is_kept_with_its_queue),
        cmocka_unit_test(of_the_default_vhost_the_name_is_enough),
        cmocka_unit_test(what_is_skipped_is_no_failure),
        cmocka_unit_test(fields_are_known_one_by_one),
        cmocka_unit_test(running_out_of_memory_takes_no_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
