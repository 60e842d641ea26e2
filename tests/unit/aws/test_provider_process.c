#include <stdio.h>

#include "unit/aws/search.h"

static void profile_runs(const char *command)
{
    char config[2048];

    (void)snprintf(config, sizeof config, "[default]\ncredential_process = %s\n", command);
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/config", config);
}

static void prints(enum qe_err_code code, const char *text)
{
    s_made.run_code = code;
    (void)snprintf(s_made.run_output, sizeof s_made.run_output, "%s", text);
    (void)snprintf(s_made.run_words, sizeof s_made.run_words, "%s", text);
}

static void what_it_prints_is_used(void **state)
{
    (void)state;
    profile_runs("/bin/helper --user \"two words\" 'a \"b\"' c\\ d \"e\\\"f\" ''");
    prints(QE_OK, "{\"Version\":1,\"AccessKeyId\":\"AKIAPROC\",\"SecretAccessKey\":\"proc-secret\","
                  "\"AccountId\":\"123456789012\",\"New\":[]}");
    assert_search_finds("AKIAPROC", "proc-secret", "", "credential process");
    assert_string_equal(s_made.run_argv, "[/bin/helper][--user][two words][a \"b\"][c d][e\"f][]");
}

static void what_is_no_credentials_is_refused_without_its_text(void **state)
{
    static const char *const s_texts[] = {
        "",
        "leaked-words",
        "{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"leaked-words\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"leaked-words\"}",
        "{\"Version\":\"1\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"leaked-words\"}",
        "{\"Version\":1,\"SecretAccessKey\":\"leaked-words\"}",
        "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":[\"leaked-words\"]}",
        "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"x\"}",
    };

    (void)state;
    profile_runs("helper");
    for (size_t i = 0; i < sizeof s_texts / sizeof s_texts[0]; i++) {
        struct qe_aws_credentials *found = NULL;
        struct qe_err err = {0};

        prints(QE_OK, s_texts[i]);
        assert_int_equal(search(&found, &err), -1);
        assert_int_equal(err.code, QE_ERR_PROTOCOL);
        assert_non_null(strstr(err.message, "credential_process helper: what it printed"));
        assert_null(strstr(err.message, "leaked-words"));
    }
}

static void its_complaint_is_the_error_without_what_looks_like_a_key(void **state)
{
    (void)state;
    profile_runs("helper --password hunter2");
    prints(QE_ERR_AUTH, "the program ended with code 3: no session\n for "
                        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY, sorry");
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    assert_int_equal(search(&found, &err), -1);
    assert_string_equal(err.message, "profile: default: credential_process helper: the program "
                                     "ended with code 3: no session for [hidden] sorry");
}

static void a_command_line_that_cannot_be_split_is_refused(void **state)
{
    (void)state;
    profile_runs("helper 'open");
    assert_search_fails(QE_ERR_INVALID, "a quote (') is not closed");
    assert_int_equal(s_made.runs_count, 0);
}

static int torture_body(void *context, struct qe_err *err)
{
    struct qe_aws_credentials *found = NULL;
    const int rc = search(&found, err);

    (void)context;
    qe_aws_credentials_release(found);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    profile_runs("helper a b");
    prints(QE_OK, "{\"Version\":1,\"AccessKeyId\":\"AKIAPROC\",\"SecretAccessKey\":\"s\","
                  "\"SessionToken\":\"t\",\"Expiration\":\"2026-01-01T06:00:00Z\"}");
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEARCH_TEST(what_it_prints_is_used),
        SEARCH_TEST(what_is_no_credentials_is_refused_without_its_text),
        SEARCH_TEST(its_complaint_is_the_error_without_what_looks_like_a_key),
        SEARCH_TEST(a_command_line_that_cannot_be_split_is_refused),
        SEARCH_TEST(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
