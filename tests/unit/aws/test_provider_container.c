#include "unit/aws/search.h"

#define RELATIVE "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
#define ANSWER                                                                                     \
    "{\"AccessKeyId\":\"ASIATASK\",\"SecretAccessKey\":\"task-secret\",\"Token\":\"task-token\","  \
    "\"Expiration\":\"2026-01-01T06:00:00Z\",\"AccountId\":\"123456789012\",\"RoleArn\":\"x\"}"

static void gives_what_the_agent_has(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, RELATIVE, "/v2/creds?x=1");
    qe_made_world_env(&s_made, FULL, "http://127.0.0.1/not-this");
    qe_made_world_answer(&s_made, "GET", "http://169.254.170.2/v2/creds?x=1", 200, ANSWER);
    assert_search_finds("ASIATASK", "task-secret", "task-token", "container");
    assert_true(qe_made_request_has(&s_made.requests[0], "Accept", "application/json"));
    assert_null(strstr(s_made.requests[0].headers, "Authorization"));
}

static void over_http_only_from_this_machine_and_the_agents(void **state)
{
    static const struct {
        const char *url;
        const char *words; /* NULL: it is asked */
    } s_rows[] = {
        {"http://127.0.0.1:8080/x", NULL},
        {"http://127.200.3.4/x", NULL},
        {"http://localhost/x", NULL},
        {"http://[::1]:1234/x", NULL},
        {"http://169.254.170.2/x", NULL},
        {"http://169.254.170.23/v1/credentials", NULL},
        {"http://[fd00:ec2::23]/v1/credentials", NULL},
        {"https://anybody.example.com/x", NULL},
        {"http://anybody.example.com/x", "unsupported host 'anybody.example.com'"},
        {"http://169.254.170.24/x", "unsupported host"},
        {"http://128.0.0.1/x", "unsupported host"},
        {"http://localhost.evil.com/x", "unsupported host"},
        {"http://127.0.0.1.evil.com/x", "unsupported host"},
        {"http://127.0.0.1@evil.com/x", "is not a URL"},
        {"http://2130706433/x", "unsupported host"},
        {"/x", "is not a URL"},
        {"gopher://127.0.0.1/x", "is not a URL"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        qe_made_world_env(&s_made, FULL, s_rows[i].url);
        if (s_rows[i].words != NULL) {
            assert_search_fails(QE_ERR_INVALID, s_rows[i].words);
        } else {
            qe_made_world_answer(&s_made, "GET", s_rows[i].url, 200, ANSWER);
            assert_search_finds("ASIATASK", "task-secret", "task-token", "container");
        }
    }
    qe_made_world_env(&s_made, RELATIVE, "no-slash");
    assert_search_fails(QE_ERR_INVALID, "does not begin with '/'");
    qe_made_world_env(&s_made, RELATIVE, "/a b");
    assert_search_fails(QE_ERR_INVALID, RELATIVE);
}

static void the_token_file_wins_and_is_read_each_time(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, FULL, "http://169.254.170.23/v1/credentials");
    qe_made_world_env(&s_made, TOKEN, "from-environment");
    qe_made_world_env(&s_made, TOKEN_FILE, "/token");
    for (size_t i = 0; i < 2; i++) {
        qe_made_world_file(&s_made, "/token", i == 0 ? "first\n" : "second");
        qe_made_world_answer(&s_made, "GET", NULL, 200, ANSWER);
        assert_search_finds("ASIATASK", "task-secret", "task-token", "container");
        assert_true(
            qe_made_request_has(&s_made.requests[i], "Authorization", i == 0 ? "first" : "second"));
    }
    qe_made_world_env(&s_made, TOKEN_FILE, NULL);
    qe_made_world_answer(&s_made, "GET", NULL, 200, ANSWER);
    assert_search_finds("ASIATASK", "task-secret", "task-token", "container");
    assert_true(qe_made_request_has(&s_made.requests[2], "Authorization", "from-environment"));
}

static void a_token_that_would_break_the_header_is_refused(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, FULL, "http://169.254.170.23/v1/credentials");
    qe_made_world_env(&s_made, TOKEN, "a\r\nX-Evil: 1");
    assert_search_fails(QE_ERR_INVALID, TOKEN " holds a line end");
    qe_made_world_env(&s_made, TOKEN_FILE, "/missing");
    assert_search_fails(QE_ERR_NOT_FOUND, TOKEN_FILE);
    qe_made_world_env(&s_made, TOKEN_FILE, "/empty");
    qe_made_world_file(&s_made, "/empty", "\n");
    assert_search_fails(QE_ERR_INVALID, "/empty is empty");
    assert_int_equal(s_made.requests_count, 0);
}

static void refusals_carry_the_agents_words_and_are_not_repeated(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, RELATIVE, "/x");
    qe_made_world_answer(&s_made, "GET", NULL, 403,
                         "{\"code\":\"AccessDenied\",\"message\":\"not you\"}");
    assert_search_fails(QE_ERR_AUTH, "container: it answered with status 403, AccessDenied: not "
                                     "you");
    qe_made_world_answer(&s_made, "GET", NULL, 404, "<html>");
    assert_search_fails(QE_ERR_AUTH, "it answered with status 404");
    assert_int_equal(s_made.requests_count, 2);
}

static void server_errors_and_silence_are_tried_three_times(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, RELATIVE, "/x");
    qe_made_world_answer(&s_made, "GET", NULL, 500, "");
    qe_made_world_no_answer(&s_made, NULL, QE_ERR_TIMEOUT);
    qe_made_world_answer(&s_made, "GET", NULL, 200, ANSWER);
    assert_search_finds("ASIATASK", "task-secret", "task-token", "container");
    assert_int_equal(s_made.requests[1].at_mono_ms - s_made.requests[0].at_mono_ms, 1000);
    assert_int_equal(s_made.requests[2].at_mono_ms - s_made.requests[1].at_mono_ms, 1000);
    assert_search_fails(QE_ERR_NETWORK, "container: nobody listens");
    assert_int_equal(s_made.requests_count, 6);
}

static int torture_body(void *context, struct qe_err *err)
{
    struct qe_aws_credentials *found = NULL;

    (void)context;
    s_made.answers_taken = 0;
    const int rc = search(&found, err);

    qe_aws_credentials_release(found);
    return rc;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    qe_made_world_env(&s_made, FULL, "http://169.254.170.23/v1/credentials");
    qe_made_world_env(&s_made, TOKEN_FILE, "/token");
    qe_made_world_file(&s_made, "/token", "first\n");
    qe_made_world_answer(&s_made, "GET", NULL, 200, ANSWER);
    qe_check_torture(torture_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEARCH_TEST(gives_what_the_agent_has),
        SEARCH_TEST(over_http_only_from_this_machine_and_the_agents),
        SEARCH_TEST(the_token_file_wins_and_is_read_each_time),
        SEARCH_TEST(a_token_that_would_break_the_header_is_refused),
        SEARCH_TEST(refusals_carry_the_agents_words_and_are_not_repeated),
        SEARCH_TEST(server_errors_and_silence_are_tried_three_times),
        SEARCH_TEST(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
