#include <errno.h>
#include <string.h>

#include "support/check.h"
#include "util/text.h"

static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QE_ERR_COUNT; i++) {
        const char *name = qe_err_code_name((enum qe_err_code)i);

        assert_non_null(name);
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(name, qe_err_code_name((enum qe_err_code)j));
        }
    }
    assert_string_equal(qe_err_code_name(QE_ERR_NOT_FOUND), "not_found");
    assert_string_equal(qe_err_code_name((enum qe_err_code)999), "unknown");
}

static void throttled_is_retryable_but_auth_is_not(void **state)
{
    (void)state;
    assert_true(qe_err_is_retryable(QE_ERR_THROTTLED));
    assert_true(qe_err_is_retryable(QE_ERR_TIMEOUT));
    assert_true(qe_err_is_retryable(QE_ERR_NETWORK));
    assert_false(qe_err_is_retryable(QE_ERR_AUTH)); /* the same key fails again */
    assert_false(qe_err_is_retryable(QE_ERR_CANCELLED));
}

static void setting_returns_minus_one_and_wrapping_keeps_the_code(void **state)
{
    (void)state;
    struct qe_err err = {.sys_errno = 5};

    assert_int_equal(qe_err_set(&err, QE_ERR_LIMIT, "at most %d", 7), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(qe_err_wrap(&err, "queue %s", "orders"), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_string_equal(err.message, "queue orders: at most 7");
}

static void a_message_may_be_built_from_itself(void **state)
{
    (void)state;
    struct qe_err err = {0};

    qe_err_set(&err, QE_ERR_IO, "disk");
    qe_err_set(&err, err.code, "again: %s", err.message);
    assert_string_equal(err.message, "again: disk");
}

static void an_errno_brings_its_code_and_its_words(void **state)
{
    (void)state;
    static const struct {
        int sys_errno;
        enum qe_err_code code;
        const char *why;
    } rows[] = {
        {ENOENT, QE_ERR_NOT_FOUND, "no such file"},
        {EACCES, QE_ERR_AUTH, "permissions"},
        {EROFS, QE_ERR_AUTH, "read-only file"},
        {ENOSPC, QE_ERR_LIMIT, "a full disk"},
        {ECONNREFUSED, QE_ERR_NETWORK, "nobody listens"},
        {ETIMEDOUT, QE_ERR_TIMEOUT, "too late"},
        {ENOMEM, QE_ERR_NOMEM, "memory"},
        {EIO, QE_ERR_IO, "what is not named is the local machine's trouble"},
        {99999, QE_ERR_IO, "even unknown numbers"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};

        assert_int_equal(qe_err_set_errno(&err, rows[i].sys_errno, "open %s", "x"), -1);
        if (err.code != rows[i].code) {
            fail_msg("%s: %s", rows[i].why, qe_err_code_name(err.code));
        }
        assert_int_equal(err.sys_errno, rows[i].sys_errno);
        assert_true(qe_text_starts_with(err.message, "open x: "));
        assert_true(strlen(err.message) > strlen("open x: "));
    }
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    /* Every alignment of a 3-byte character to the cut. */
    for (size_t shift = 0; shift < 4; shift++) {
        char text[QE_ERR_MESSAGE_BYTES + 400];
        struct qe_err err = {0};

        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 4);
        }
        qe_err_set(&err, QE_ERR_IO, "%s", text);
        assert_true(strlen(err.message) >= sizeof err.message - 3);
        assert_true(qe_text_is_utf8(err.message, strlen(err.message)));
        qe_err_wrap(&err, "y");
        assert_true(qe_text_starts_with(err.message, "y: "));
        assert_true(qe_text_is_utf8(err.message, strlen(err.message)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(throttled_is_retryable_but_auth_is_not),
        cmocka_unit_test(setting_returns_minus_one_and_wrapping_keeps_the_code),
        cmocka_unit_test(a_message_may_be_built_from_itself),
        cmocka_unit_test(an_errno_brings_its_code_and_its_words),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
