/* Hostile and odd files: refused quickly, before they cost. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "unit/config/sample_types.h"
#include "util/mem.h"
#include "util/strbuf.h"

/* Loads the buffer, which is freed; the errors must contain `wanted`. */
static void refuse(struct qe_strbuf *text, const char *wanted)
{
    struct qe_strbuf errors;

    qe_strbuf_init(&errors, 0);
    assert_int_equal(text->failed, QE_OK);
    assert_null(load_sample(qe_strbuf_text(text), &errors));
    if (strstr(qe_strbuf_text(&errors), wanted) == NULL) {
        print_error("%s", qe_strbuf_text(&errors));
        fail();
    }
    qe_strbuf_deinit(&errors);
    qe_strbuf_deinit(text);
}

static void repeat(struct qe_strbuf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        (void)qe_strbuf_append_text(out, text);
    }
}

static void more_than_a_mebibyte_is_refused(void **state)
{
    struct qe_strbuf text;

    (void)state;
    qe_strbuf_init(&text, 0);
    repeat(&text, "# 45678901234567\n", QE_CONFIG_FILE_MAX_BYTES / 16);
    refuse(&text, "c.yml: larger than 1 MiB");
}

static void deep_nesting_is_refused(void **state)
{
    static const char *const s_openers[] = {"[", "- ", "{a: ", "? "};

    (void)state;
    for (size_t i = 0; i < sizeof s_openers / sizeof s_openers[0]; i++) {
        struct qe_strbuf text;

        qe_strbuf_init(&text, 0);
        repeat(&text, s_openers[i], 200000);
        refuse(&text, "nested too deeply (32 levels at most)");
    }
}

static void an_alias_bomb_is_refused(void **state)
{
    struct qe_strbuf text;

    (void)state;
    qe_strbuf_init(&text, 0);
    (void)qe_strbuf_append_text(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 30; i++) {
        (void)qe_strbuf_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++) {
            (void)qe_strbuf_printf(&text, "%s*a%d", j == 0 ? "" : ", ", i - 1);
        }
        (void)qe_strbuf_append_text(&text, "]\n");
    }
    refuse(&text, "too many values (aliases count as copies of their anchor)");
}

static void anchors_aliases_and_values_have_limits(void **state)
{
    struct qe_strbuf text;

    (void)state;
    qe_strbuf_init(&text, 0);
    for (int i = 0; i < 300; i++) {
        (void)qe_strbuf_printf(&text, "- &a%d x\n", i);
    }
    refuse(&text, "too many anchors");
    qe_strbuf_init(&text, 0);
    (void)qe_strbuf_append_text(&text, "- &a x\n");
    repeat(&text, "- *a\n", 5000);
    refuse(&text, "too many aliases");
    qe_strbuf_init(&text, 0);
    (void)qe_strbuf_append_text(&text, "[");
    repeat(&text, "x,", 250000);
    refuse(&text, "too many values");
}

/* Quadratic somewhere would show here as a timeout. */
static void many_unknown_keys_are_counted_quickly(void **state)
{
    struct qe_strbuf text;

    (void)state;
    qe_strbuf_init(&text, 0);
    for (int i = 0; i < 60000; i++) {
        (void)qe_strbuf_printf(&text, "key%d: x\n", i);
    }
    refuse(&text, "... and 59901 more");
}

static void a_missing_file_says_where_to_get_one(void **state)
{
    struct qe_strbuf errors;

    (void)state;
    qe_strbuf_init(&errors, 0);
    assert_null(qe_config_load("/nonexistent/c.yml", s_sample_types, SAMPLE_TYPES_COUNT, &errors));
    assert_string_equal(
        qe_strbuf_text(&errors),
        "/nonexistent/c.yml: no such file: start from queue_exporter.example.yml (packaging/, or "
        "/usr/share/doc/queue-exporter/examples/), or name another with --config.file\n");
    qe_strbuf_reset(&errors);
    assert_null(qe_config_load("/", s_sample_types, SAMPLE_TYPES_COUNT, &errors));
    assert_non_null(strstr(qe_strbuf_text(&errors), "/: cannot read the configuration: "));
    qe_strbuf_deinit(&errors);
}

/* A reload runs on the thread that takes the signals: it must come back. */
static void a_fifo_without_a_writer_is_an_error_in_the_end(void **state)
{
    char folder[] = "/tmp/qe-config-XXXXXX";
    char path[64];
    struct qe_strbuf errors;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    qe_strbuf_init(&errors, 0);
    assert_null(qe_config_load(path, s_sample_types, SAMPLE_TYPES_COUNT, &errors));
    assert_non_null(strstr(qe_strbuf_text(&errors), "cannot read the configuration: "));
    qe_strbuf_deinit(&errors);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void a_file_loads_and_its_errors_carry_its_name(void **state)
{
    char folder[] = "/tmp/qe-config-XXXXXX";
    char path[64];
    char wanted[256];
    struct qe_strbuf errors;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/queue_exporter.yml", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("sources: [{name: a, type: shelf, path: p}]\n", file) >= 0);
    assert_int_equal(fflush(file), 0);
    qe_strbuf_init(&errors, 0);
    struct qe_config *config = qe_config_load(path, s_sample_types, SAMPLE_TYPES_COUNT, &errors);
    assert_non_null(config);
    qe_config_destroy(config);

    qe_mem_fail_at(1);
    assert_null(qe_config_load(path, s_sample_types, SAMPLE_TYPES_COUNT, &errors));
    qe_mem_fail_at(0);
    assert_non_null(strstr(qe_strbuf_text(&errors), "out of memory"));
    qe_strbuf_reset(&errors);

    assert_true(fputs("sorces: []\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_null(qe_config_load(path, s_sample_types, SAMPLE_TYPES_COUNT, &errors));
    (void)snprintf(wanted, sizeof wanted,
                   "%s:2:1: unknown key \"sorces\" (did you mean \"sources\"?)\n", path);
    assert_string_equal(qe_strbuf_text(&errors), wanted);
    qe_strbuf_deinit(&errors);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_bad_default_is_refused(void **state)
{
    static const struct qe_option s_options[] = {
        {.key = "a", .type = QE_OPT_DURATION, .offset = 0, .default_text = "soon"}};
    static const struct qe_section s_section = {
        .name = "s", .size_bytes = sizeof(int64_t), .options = s_options, .options_count = 1};
    int64_t settings = 0;
    struct qe_err err = {0};

    (void)state;
    assert_int_equal(qe_section_set_defaults(&s_section, &settings, &err), -1);
    assert_string_equal(err.message,
                        "default of a: is not a duration (like 250ms, 30s, 5m, 4h, 14d)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_than_a_mebibyte_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(an_alias_bomb_is_refused),
        cmocka_unit_test(anchors_aliases_and_values_have_limits),
        cmocka_unit_test(many_unknown_keys_are_counted_quickly),
        cmocka_unit_test(a_missing_file_says_where_to_get_one),
        cmocka_unit_test(a_fifo_without_a_writer_is_an_error_in_the_end),
        cmocka_unit_test(a_file_loads_and_its_errors_carry_its_name),
        cmocka_unit_test(a_bad_default_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
