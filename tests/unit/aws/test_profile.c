#include <stdio.h>
#include <string.h>

#include "aws/profile.h"
#include "support/check.h"
#include "util/mem.h"

static int add(struct qe_aws_profiles *profiles, enum qe_aws_profile_file file, const char *text,
               struct qe_err *err)
{
    return qe_aws_profiles_add(profiles, file, "the-file", text, strlen(text), err);
}

static struct qe_aws_profiles *parse(const char *config, const char *credentials)
{
    struct qe_err err = {0};
    struct qe_aws_profiles *profiles = qe_aws_profiles_new(&err);

    assert_non_null(profiles);
    assert_ok(add(profiles, QE_AWS_FILE_CONFIG, config, &err), err);
    assert_ok(add(profiles, QE_AWS_FILE_CREDENTIALS, credentials, &err), err);
    return profiles;
}

static const char *get(const struct qe_aws_profiles *profiles, const char *profile, const char *key)
{
    return qe_aws_section_get(qe_aws_profiles_find(profiles, QE_AWS_SECTION_PROFILE, profile), key);
}

static void the_credentials_file_wins_key_by_key(void **state)
{
    (void)state;
    struct qe_aws_profiles *profiles =
        parse("[profile a]\nregion = r\nAWS_ACCESS_KEY_ID = old\n[default]\nx = bare\n",
              "[a]\naws_access_key_id = new\n[default]\ny = 1\n");

    assert_string_equal(get(profiles, "a", "region"), "r");
    assert_string_equal(get(profiles, "a", "aws_access_key_id"), "new");
    assert_string_equal(get(profiles, "default", "x"), "bare");
    assert_string_equal(get(profiles, "default", "y"), "1");
    assert_null(get(profiles, "b", "x"));
    assert_null(get(profiles, "a", "x"));
    qe_aws_profiles_destroy(profiles);
}

static void what_people_write_is_taken_kindly(void **state)
{
    (void)state;
    struct qe_aws_profiles *profiles =
        parse("\xef\xbb\xbf[profile a]\r\n  # indented\r\n"
              "one = 1\r\n\t; indented too\r\ntwo=2 # c\r\nthree =\r\n",
              "");

    assert_string_equal(get(profiles, "a", "one"), "1");
    assert_string_equal(get(profiles, "a", "two"), "2");
    assert_null(get(profiles, "a", "three")); /* blank is not given */
    qe_aws_profiles_destroy(profiles);
}

static void nested_keys_are_found_in_services(void **state)
{
    (void)state;
    struct qe_strbuf out = {0};
    struct qe_aws_profiles *profiles = parse("[services s]\nsqs =\n  endpoint_url = http://a\n"
                                             "  other = 1\nsts =\n  endpoint_urls = http://x\n"
                                             "  endpoint_url =\ncloudwatch = flat\n",
                                             "");
    const struct qe_aws_section *services =
        qe_aws_profiles_find(profiles, QE_AWS_SECTION_SERVICES, "s");

    assert_true(qe_aws_section_get_nested(services, "sqs", "endpoint_url", &out));
    assert_string_equal(qe_strbuf_text(&out), "http://a");
    assert_true(qe_aws_section_get_nested(services, "sqs", "other", &out));
    assert_string_equal(qe_strbuf_text(&out), "1");
    assert_false(qe_aws_section_get_nested(services, "sts", "endpoint_url", &out));
    assert_false(qe_aws_section_get_nested(services, "cloudwatch", "endpoint_url", &out));
    assert_false(qe_aws_section_get_nested(services, "s3", "endpoint_url", &out));
    assert_false(qe_aws_section_get_nested(NULL, "sqs", "endpoint_url", &out));
    qe_strbuf_deinit(&out);
    qe_aws_profiles_destroy(profiles);
}

static void errors_name_the_line_and_never_its_text(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } s_rows[] = {
        {"[a]\n\nhunter2", "the-file:3: expected an '='"},
        {"hunter2 = 1", "the-file:1: expected a profile definition"},
        {"[a]\n = hunter2", "the-file:2: expected a property definition"},
        {"[a]\n= hunter2", "the-file:2: the property did not have a name"},
        {"[hunter2", "the-file:1: a profile definition must end with ']'"},
        {"[", "the-file:1: a profile definition must end with ']'"},
        {"[a]\nb =\n hunter2", "the-file:3: expected an '=' sign defining a sub-property"},
        {"[a]\nb =\n = hunter2", "the-file:3: the sub-property did not have a name"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_err err = {0};
        struct qe_aws_profiles *profiles = qe_aws_profiles_new(&err);

        assert_int_equal(add(profiles, QE_AWS_FILE_CREDENTIALS, s_rows[i].text, &err), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        assert_non_null(strstr(err.message, s_rows[i].words));
        assert_null(strstr(err.message, "hunter2"));
        qe_aws_profiles_destroy(profiles);
    }
}

static void a_nul_byte_is_refused(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_aws_profiles *profiles = qe_aws_profiles_new(&err);

    assert_int_equal(qe_aws_profiles_add(profiles, QE_AWS_FILE_CONFIG, "the-file",
                                         "[profile a]\nb = c\0d", 19, &err),
                     -1);
    assert_non_null(strstr(err.message, "the-file:2: a NUL byte"));
    qe_aws_profiles_destroy(profiles);
}

static void every_growth_has_a_cap(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_strbuf sections = {0};
    struct qe_strbuf keys = {0};
    struct qe_aws_profiles *profiles = qe_aws_profiles_new(&err);
    char *huge = qe_calloc(QE_AWS_PROFILE_FILE_MAX_BYTES + 2, 1);

    for (size_t i = 0; i <= QE_AWS_PROFILE_SECTIONS_MAX; i++) {
        (void)qe_strbuf_printf(&sections, "[s%zu]\n", i);
    }
    assert_int_equal(add(profiles, QE_AWS_FILE_CREDENTIALS, qe_strbuf_text(&sections), &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    (void)qe_strbuf_append_text(&keys, "[s1]\n");
    for (size_t i = 0; i <= QE_AWS_PROFILE_PROPERTIES_MAX; i++) {
        (void)qe_strbuf_printf(&keys, "k%zu = v\n", i);
    }
    assert_int_equal(add(profiles, QE_AWS_FILE_CREDENTIALS, qe_strbuf_text(&keys), &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    memset(huge, '\n', QE_AWS_PROFILE_FILE_MAX_BYTES + 1);
    assert_int_equal(add(profiles, QE_AWS_FILE_CONFIG, huge, &err), -1);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    qe_free(huge);
    qe_strbuf_deinit(&sections);
    qe_strbuf_deinit(&keys);
    qe_aws_profiles_destroy(profiles);
}

static int torture_body(void *context, struct qe_err *err)
{
    struct qe_aws_profiles *profiles = qe_aws_profiles_new(err);
    int rc = profiles == NULL ? -1 : 0;

    (void)context;
    if (rc == 0) {
        rc = add(profiles, QE_AWS_FILE_CONFIG,
                 "[default]\na = 1\nb =\n c = 2\n[profile x]\nd = 3\n[default]\ne = 4\n", err);
    }
    if (rc == 0) {
        rc = add(profiles, QE_AWS_FILE_CREDENTIALS, "[x]\nd = 5\nf = 6\n", err);
    }
    qe_aws_profiles_destroy(profiles);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_credentials_file_wins_key_by_key),
        cmocka_unit_test(what_people_write_is_taken_kindly),
        cmocka_unit_test(nested_keys_are_found_in_services),
        cmocka_unit_test(errors_name_the_line_and_never_its_text),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(every_growth_has_a_cap),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
