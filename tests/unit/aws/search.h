/* One search for credentials in the made world: what the tests of the single places share. */
#ifndef QE_TESTS_UNIT_AWS_SEARCH_H
#define QE_TESTS_UNIT_AWS_SEARCH_H

#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "support/aws_world.h"
#include "support/check.h"

static struct qe_made_world s_made;

static inline int search_set_up(void **state)
{
    (void)state;
    qe_made_world_init(&s_made);
    return 0;
}

static inline int search_tear_down(void **state)
{
    (void)state;
    qe_made_world_deinit(&s_made);
    return 0;
}

#define SEARCH_TEST(name) cmocka_unit_test_setup_teardown(name, search_set_up, search_tear_down)

static inline int search_as(const struct qe_aws_identity *identity, struct qe_aws_credentials **out,
                            struct qe_err *err)
{
    struct qe_aws_provider *provider = qe_aws_provider_acquire(identity, &s_made.world, err);
    int rc = -1;

    if (provider != NULL) {
        rc = qe_aws_provider_get(provider, s_made.mono_ms + 60000, out, err);
    }
    qe_aws_provider_release(provider);
    return rc;
}

static inline int search(struct qe_aws_credentials **out, struct qe_err *err)
{
    const struct qe_aws_identity identity = {.region = "eu-west-1"};

    return search_as(&identity, out, err);
}

/* What the search finds; the caller releases it. */
static inline struct qe_aws_credentials *search_finds_as(const struct qe_aws_identity *identity)
{
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    if (search_as(identity, &found, &err) != 0 || found == NULL) {
        fail_msg("%s", err.message);
        abort(); /* never reached, which analyzers cannot know */
    }
    return found;
}

/* The search fails with that code, and its error has these words. */
static inline void assert_search_fails(enum qe_err_code code, const char *words)
{
    struct qe_aws_credentials *found = NULL;
    struct qe_err err = {0};

    assert_int_equal(search(&found, &err), -1);
    assert_null(found);
    if (err.code != code || strstr(err.message, words) == NULL) {
        fail_msg("%s: %s (\"%s\" expected)", qe_err_code_name(err.code), err.message, words);
    }
}

/* The search finds these. */
static inline void assert_search_finds(const char *id, const char *secret, const char *token,
                                       const char *provider)
{
    const struct qe_aws_identity identity = {.region = "eu-west-1"};
    struct qe_aws_credentials *found = search_finds_as(&identity);

    assert_string_equal(found->access_key_id, id);
    assert_string_equal(qe_secret_bytes(found->secret_access_key), secret);
    assert_string_equal(qe_secret_bytes(found->session_token), token);
    assert_string_equal(found->provider, provider);
    qe_aws_credentials_release(found);
}

#endif
