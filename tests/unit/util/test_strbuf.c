#include <string.h>

#include "support/check.h"
#include "util/mem.h"
#include "util/strbuf.h"

static void text_grows_and_is_always_terminated(void **state)
{
    (void)state;
    struct qe_strbuf buf = {0};
    struct qe_err err = {0};

    assert_string_equal(qe_strbuf_text(&buf), "");
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(qe_strbuf_printf(&buf, "%d,", i % 10), 0);
        assert_int_equal(strlen(qe_strbuf_text(&buf)), buf.length_bytes);
    }
    assert_int_equal(buf.length_bytes, 2000);
    assert_int_equal(qe_strbuf_append_char(&buf, '!'), 0);
    assert_int_equal(qe_strbuf_append(&buf, NULL, 0), 0);
    assert_string_equal(qe_strbuf_text(&buf) + 1998, "9,!");
    assert_ok(qe_strbuf_error(&buf, &err), err);
    qe_strbuf_deinit(&buf);
    qe_strbuf_deinit(&buf);
}

static void a_long_printf_is_whole(void **state)
{
    (void)state;
    struct qe_strbuf buf = {0};
    char text[1001];

    memset(text, 'a', 1000);
    text[1000] = '\0';
    assert_int_equal(qe_strbuf_printf(&buf, "<%s>", text), 0);
    assert_int_equal(buf.length_bytes, 1002);
    assert_string_equal(qe_strbuf_text(&buf) + 1000, "a>");
    qe_strbuf_deinit(&buf);
}

static void past_the_cap_every_append_fails_until_reset(void **state)
{
    (void)state;
    struct qe_strbuf buf;
    struct qe_err err = {0};

    qe_strbuf_init(&buf, 10);
    assert_int_equal(qe_strbuf_append_text(&buf, "0123456789"), 0); /* the cap itself fits */
    assert_int_equal(qe_strbuf_append_char(&buf, 'x'), -1);
    assert_int_equal(qe_strbuf_append(&buf, "", 0), -1); /* errors stick */
    assert_string_equal(qe_strbuf_text(&buf), "0123456789");
    assert_int_equal(qe_strbuf_error(&buf, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_strbuf_reset(&buf);
    assert_string_equal(qe_strbuf_text(&buf), "");
    assert_int_equal(qe_strbuf_append_text(&buf, "abc"), 0);
    assert_int_equal(qe_strbuf_append(&buf, "x", SIZE_MAX), -1); /* no overflow */
    qe_strbuf_deinit(&buf);
}

static void reserved_room_is_writable_and_terminated_later(void **state)
{
    (void)state;
    struct qe_strbuf buf = {0};
    char *room = qe_strbuf_reserve(&buf, 100);

    assert_non_null(room);
    memset(room, 'z', 101); /* the NUL's place too: dirty on purpose */
    buf.length_bytes += 3;
    assert_string_equal(qe_strbuf_text(&buf), "zzz");
    buf.length_bytes += 1;
    char *text = qe_strbuf_detach(&buf);

    assert_string_equal(text, "zzz");
    assert_null(buf.data);
    assert_null(qe_strbuf_detach(&buf));
    qe_free(text);
}

static void a_secret_text_is_gone_when_it_is_reset(void **state)
{
    (void)state;
    struct qe_strbuf buf = {.is_secret = true};
    char big[300];

    memset(big, 's', sizeof big);
    assert_int_equal(qe_strbuf_append_text(&buf, "a"), 0);
    assert_int_equal(qe_strbuf_append(&buf, big, sizeof big), 0); /* it moves */
    assert_int_equal(buf.length_bytes, 1 + sizeof big);
    assert_int_equal(buf.data[0], 'a');
    assert_int_equal(buf.data[sizeof big], 's');
    qe_strbuf_reset(&buf);
    for (size_t i = 0; i < buf.capacity_bytes; i++) {
        assert_int_equal(buf.data[i], '\0');
    }
    qe_strbuf_deinit(&buf);
    assert_true(buf.is_secret); /* so is what it holds next */
}

static int build(void *context, struct qe_err *err)
{
    struct qe_strbuf buf = {0};
    char big[300];

    (void)context;
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    qe_strbuf_append_text(&buf, "a");
    qe_strbuf_printf(&buf, "%s%s", big, big);
    qe_strbuf_append(&buf, big, sizeof big);
    int rc = qe_strbuf_error(&buf, err);

    qe_strbuf_deinit(&buf);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_and_is_always_terminated),
        cmocka_unit_test(a_long_printf_is_whole),
        cmocka_unit_test(past_the_cap_every_append_fails_until_reset),
        cmocka_unit_test(reserved_room_is_writable_and_terminated_later),
        cmocka_unit_test(a_secret_text_is_gone_when_it_is_reset),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
