/* When credentials are renewed, and what is used meanwhile. */
#include <stdio.h>
#include <string.h>

#include "aws/credentials.h"
#include "support/aws_world.h"
#include "support/check.h"
#include "util/log.h"
#include "util/text.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define URL "http://127.0.0.1:1/creds"
#define IMDS "http://169.254.169.254"

static struct qe_made_world s_made;
static struct qe_aws_provider *s_provider;

static int set_up(void **state)
{
    (void)state;
    qe_log_setup(QE_LOG_ERROR, QE_LOG_LOGFMT); /* that renewals fail is what these tests want */
    qe_made_world_init(&s_made);
    s_provider = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qe_aws_provider_release(s_provider);
    qe_made_world_deinit(&s_made);
    return 0;
}

static void write_answer(char out[512], const char *id, int64_t life_ms)
{
    char at[32];

    (void)snprintf(out, 512,
                   "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"secret-of-%s\",\"Token\":\"t\","
                   "\"Expiration\":\"%s\"}",
                   id, id, qe_text_from_unix_ms(s_made.unix_ms + life_ms, at));
}

static void container_gives(const char *id, int64_t life_ms)
{
    char body[512];

    write_answer(body, id, life_ms);
    qe_made_world_answer(&s_made, "GET", URL, 200, body);
}

static void imds_gives(const char *id, int64_t life_ms)
{
    char body[512];

    write_answer(body, id, life_ms);
    qe_made_world_answer(&s_made, "PUT", IMDS "/latest/api/token", 200, "session");
    qe_made_world_answer(&s_made, "GET", IMDS "/latest/meta-data/iam/security-credentials/", 200,
                         "role\n");
    qe_made_world_answer(&s_made, "GET", IMDS "/latest/meta-data/iam/security-credentials/role",
                         200, body);
}

static void use_container(void)
{
    const struct qe_aws_identity identity = {0};
    struct qe_err err = {0};

    qe_made_world_env(&s_made, "AWS_CONTAINER_CREDENTIALS_FULL_URI", URL);
    s_provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    assert_non_null(s_provider);
}

static void use_imds(void)
{
    const struct qe_aws_identity identity = {0};
    struct qe_err err = {0};

    s_provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    assert_non_null(s_provider);
}

static struct qe_aws_credentials *get(void)
{
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    assert_ok(qe_aws_provider_get(s_provider, s_made.mono_ms + 10000, &found, &err), err);
    return found;
}

/* Gets credentials and checks whose they are. */
static void assert_gives(const char *id)
{
    struct qe_aws_credentials *found = get();

    assert_string_equal(found->access_key_id, id);
    qe_aws_credentials_release(found);
}

static enum qe_err_code get_fails(void)
{
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    assert_int_equal(qe_aws_provider_get(s_provider, s_made.mono_ms + 10000, &found, &err), -1);
    assert_null(found);
    return err.code;
}

static void renewed_ten_to_fifteen_minutes_before_they_expire(void **state)
{
    (void)state;
    container_gives("FIRST", 6 * HOUR_MS);
    container_gives("SECOND", 12 * HOUR_MS);
    use_container();
    assert_gives("FIRST");
    assert_int_equal(qe_aws_provider_expires_unix_ms(s_provider), s_made.unix_ms + 6 * HOUR_MS);
    qe_made_world_pass(&s_made, 6 * HOUR_MS - 15 * MINUTE_MS - 1);
    assert_gives("FIRST");
    assert_int_equal(s_made.requests_count, 1);
    qe_made_world_pass(&s_made, 5 * MINUTE_MS + 1);
    assert_gives("SECOND");
    assert_int_equal(s_made.requests_count, 2);
    assert_int_equal(qe_aws_provider_refresh_failures(s_provider), 0);
}

static void short_ones_are_renewed_at_half_their_life(void **state)
{
    (void)state;
    container_gives("FIRST", 4 * MINUTE_MS);
    container_gives("SECOND", 8 * MINUTE_MS);
    use_container();
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 2 * MINUTE_MS - 1);
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 1);
    assert_gives("SECOND");
}

static void those_without_an_end_are_never_renewed(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {0};
    struct qe_err err = {0};

    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "STATIC");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", "x");
    s_provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    assert_gives("STATIC");
    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "OTHER");
    qe_made_world_pass(&s_made, 1000 * HOUR_MS);
    assert_gives("STATIC");
    assert_int_equal(qe_aws_provider_expires_unix_ms(s_provider), 0);
}

static void old_ones_serve_until_they_really_expire(void **state)
{
    (void)state;
    container_gives("FIRST", HOUR_MS);
    use_container();
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 50 * MINUTE_MS + 1);
    assert_gives("FIRST"); /* nobody answers any more */
    assert_int_equal(qe_aws_provider_refresh_failures(s_provider), 1);
    qe_made_world_pass(&s_made, 10 * MINUTE_MS - 6000); /* three tries take two seconds */
    assert_gives("FIRST");
    assert_in_range(qe_aws_provider_expires_unix_ms(s_provider) - s_made.unix_ms, 1, 3000);
    qe_made_world_pass(&s_made, 1 * MINUTE_MS);
    assert_int_equal(get_fails(), QE_ERR_NETWORK);
}

/* Else nothing would be read in the ten minutes in which whoever renews them does not answer. */
static void a_renewal_leaves_half_of_the_time_while_the_old_ones_hold(void **state)
{
    struct qe_aws_credentials *credentials = NULL;
    struct qe_err err = {0};
    int64_t began_mono_ms = 0;

    (void)state;
    container_gives("FIRST", HOUR_MS);
    use_container();
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 50 * MINUTE_MS + 1);
    began_mono_ms = s_made.mono_ms;
    assert_ok(qe_aws_provider_get(s_provider, began_mono_ms + 4000, &credentials, &err), err);
    qe_aws_credentials_release(credentials);
    assert_int_equal(s_made.requests[1].deadline_mono_ms, began_mono_ms + 2000);
    assert_true(s_made.mono_ms <= began_mono_ms + 2000);
    qe_made_world_pass(&s_made, 20 * MINUTE_MS); /* without any, all of it is theirs */
    began_mono_ms = s_made.mono_ms;
    const size_t asked = s_made.requests_count;

    assert_int_equal(qe_aws_provider_get(s_provider, began_mono_ms + 4000, &credentials, &err), -1);
    assert_int_equal(s_made.requests[asked].deadline_mono_ms, began_mono_ms + 4000);
}

static void failed_renewals_are_tried_again_with_backoff(void **state)
{
    (void)state;
    size_t tries = 0;

    container_gives("FIRST", HOUR_MS);
    use_container();
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 50 * MINUTE_MS + 1);
    for (size_t second = 0; second < 300; second++) {
        assert_gives("FIRST");
        qe_made_world_pass(&s_made, 1000);
    }
    tries = qe_aws_provider_refresh_failures(s_provider);
    /* 1, 2, 4, 8, 16 and then each 30 s, each shortened by up to a half. */
    assert_in_range(tries, 13, 26);
    container_gives("SECOND", HOUR_MS);
    qe_made_world_pass(&s_made, 30000);
    assert_gives("SECOND");
    assert_int_equal(qe_aws_provider_refresh_failures(s_provider), tries);
}

static void a_search_without_an_end_is_not_made_for_every_caller(void **state)
{
    (void)state;
    use_container();
    assert_int_equal(get_fails(), QE_ERR_NETWORK);
    const size_t asked = s_made.requests_count;

    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(get_fails(), QE_ERR_NETWORK); /* the same error, without asking */
    }
    assert_int_equal(s_made.requests_count, asked);
    qe_made_world_pass(&s_made, 1000);
    container_gives("FIRST", HOUR_MS);
    assert_gives("FIRST");
}

static void credentials_that_come_expired_are_an_error(void **state)
{
    (void)state;
    container_gives("OLD", -HOUR_MS);
    use_container();
    assert_int_equal(get_fails(), QE_ERR_AUTH);
}

static void refused_ones_are_renewed_at_once_but_not_again_and_again(void **state)
{
    (void)state;
    container_gives("FIRST", 6 * HOUR_MS);
    container_gives("FIRST", 6 * HOUR_MS);
    container_gives("SECOND", 6 * HOUR_MS);
    use_container();
    struct qe_aws_credentials *first = get();

    qe_aws_provider_refused(s_provider, first);
    assert_gives("FIRST"); /* asked for, and unchanged */
    assert_int_equal(s_made.requests_count, 2);
    qe_aws_provider_refused(s_provider, first);
    assert_gives("FIRST");
    assert_int_equal(s_made.requests_count, 2);
    qe_made_world_pass(&s_made, 30000);
    qe_aws_provider_refused(s_provider, first);
    assert_gives("SECOND");
    qe_aws_provider_refused(s_provider, first); /* not these any more */
    assert_gives("SECOND");
    assert_int_equal(s_made.requests_count, 3);
    qe_aws_credentials_release(first);
}

static void refused_static_keys_are_read_again_from_their_file(void **state)
{
    (void)state;
    const struct qe_aws_identity identity = {0};
    struct qe_err err = {0};

    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/credentials",
                       "[default]\naws_access_key_id = OLD\naws_secret_access_key = x\n");
    s_provider = qe_aws_provider_acquire(&identity, &s_made.world, &err);
    struct qe_aws_credentials *old = get();

    assert_string_equal(old->access_key_id, "OLD");
    qe_made_world_file(&s_made, "/home/.aws/credentials",
                       "[default]\naws_access_key_id = NEW\naws_secret_access_key = y\n");
    assert_gives("OLD");
    qe_aws_provider_refused(s_provider, old);
    assert_gives("NEW");
    qe_aws_credentials_release(old);
}

static void those_of_instance_metadata_outlive_its_outage(void **state)
{
    (void)state;
    imds_gives("FIRST", 6 * HOUR_MS);
    use_imds();
    assert_gives("FIRST");
    for (size_t minute = 0; minute < 660; minute++) {
        qe_made_world_pass(&s_made, MINUTE_MS);
        assert_gives("FIRST"); /* also five hours past its end */
    }
    qe_made_world_pass(&s_made, 2 * HOUR_MS);
    assert_int_equal(get_fails(), QE_ERR_AUTH); /* but not for ever */
    imds_gives("SECOND", 6 * HOUR_MS);
    qe_made_world_pass(&s_made, MINUTE_MS);
    assert_gives("SECOND");
}

static void those_that_outlive_end_when_a_service_refuses_them(void **state)
{
    (void)state;
    imds_gives("FIRST", HOUR_MS);
    use_imds();
    struct qe_aws_credentials *first = get();

    qe_made_world_pass(&s_made, HOUR_MS + 1);
    assert_gives("FIRST");
    qe_aws_provider_refused(s_provider, first);
    assert_int_equal(get_fails(), QE_ERR_AUTH);
    qe_aws_credentials_release(first);
}

static void stale_ones_of_instance_metadata_are_used_for_a_while(void **state)
{
    (void)state;
    imds_gives("STALE", -MINUTE_MS);
    use_imds();
    assert_gives("STALE");
    qe_made_world_pass(&s_made, 4 * MINUTE_MS);
    assert_gives("STALE");
    assert_int_equal(s_made.requests_count, 3);
    qe_made_world_pass(&s_made, 11 * MINUTE_MS);
    imds_gives("FRESH", HOUR_MS);
    assert_gives("FRESH");
}

static void instance_metadata_is_asked_every_hour_or_so(void **state)
{
    (void)state;
    imds_gives("FIRST", 6 * HOUR_MS);
    imds_gives("SECOND", 6 * HOUR_MS);
    use_imds();
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 59 * MINUTE_MS);
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 6 * MINUTE_MS);
    assert_gives("SECOND"); /* the instance may have another role by now */
}

static void a_deadline_that_has_passed_asks_nobody(void **state)
{
    (void)state;
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    use_container();
    assert_int_equal(qe_aws_provider_get(s_provider, s_made.mono_ms, &found, &err), -1);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    assert_int_equal(s_made.requests_count, 0);
    container_gives("FIRST", 4 * MINUTE_MS);
    assert_gives("FIRST");
    qe_made_world_pass(&s_made, 3 * MINUTE_MS); /* due, but there is no time */
    assert_ok(qe_aws_provider_get(s_provider, s_made.mono_ms, &found, &err), err);
    qe_aws_credentials_release(found);
    assert_int_equal(s_made.requests_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(renewed_ten_to_fifteen_minutes_before_they_expire),
        TEST(short_ones_are_renewed_at_half_their_life),
        TEST(those_without_an_end_are_never_renewed),
        TEST(old_ones_serve_until_they_really_expire),
        TEST(a_renewal_leaves_half_of_the_time_while_the_old_ones_hold),
        TEST(failed_renewals_are_tried_again_with_backoff),
        TEST(a_search_without_an_end_is_not_made_for_every_caller),
        TEST(credentials_that_come_expired_are_an_error),
        TEST(refused_ones_are_renewed_at_once_but_not_again_and_again),
        TEST(refused_static_keys_are_read_again_from_their_file),
        TEST(those_of_instance_metadata_outlive_its_outage),
        TEST(those_that_outlive_end_when_a_service_refuses_them),
        TEST(stale_ones_of_instance_metadata_are_used_for_a_while),
        TEST(instance_metadata_is_asked_every_hour_or_so),
        TEST(a_deadline_that_has_passed_asks_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
