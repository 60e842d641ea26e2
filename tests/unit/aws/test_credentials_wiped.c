/* What a search leaves behind on the heap: nothing of a secret. */
#include <stdio.h>
#include <stdlib.h>

#include "unit/aws/search.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEAP_IS_ELSEWHERE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEAP_IS_ELSEWHERE 1
#endif
#endif

#define SECRET "wJalrXUtnFEMI7MARKED7SECRETbPxRfiCYEXAMPLE"
#define TOKEN "IQoJb3JpZ2luX2VjMARKEDtokenBmV4YW1wbGUxMjM0NTY3ODkw"
#define JWT "eyJhbGciOiJSUzI1NiJ9.eyJNQVJLRUQiOiJNQVJLRUQifQ.MARKED-signature_x"
#define ROLE "arn:aws:iam::123456789012:role/monitor"
#define IMDS_ROLES "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
#define JSON                                                                                       \
    "{\"Version\":1,\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"" SECRET      \
    "\",\"Token\":\"" TOKEN "\",\"SessionToken\":\"" TOKEN                                         \
    "\",\"Expiration\":\"2026-01-01T01:00:00Z\"}"

static void from_environment(void)
{
    qe_made_world_env(&s_made, "AWS_ACCESS_KEY_ID", "A");
    qe_made_world_env(&s_made, "AWS_SECRET_ACCESS_KEY", SECRET);
    qe_made_world_env(&s_made, "AWS_SESSION_TOKEN", TOKEN);
}

static void from_profile(void)
{
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/credentials",
                       "[default]\naws_access_key_id = A\naws_secret_access_key = " SECRET
                       "\naws_session_token = " TOKEN "\n");
}

static void from_process(void)
{
    qe_made_world_env(&s_made, "HOME", "/home");
    qe_made_world_file(&s_made, "/home/.aws/config",
                       "[default]\ncredential_process = helper " JWT "\n");
    (void)snprintf(s_made.run_output, sizeof s_made.run_output, "%s", JSON);
}

static void from_container(void)
{
    qe_made_world_env(&s_made, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    qe_made_world_env(&s_made, "AWS_CONTAINER_AUTHORIZATION_TOKEN", JWT);
    qe_made_world_answer(&s_made, "GET", NULL, 200, JSON);
}

static void from_imds(void)
{
    qe_made_world_answer(&s_made, "PUT", NULL, 200, JWT);
    qe_made_world_answer(&s_made, "GET", IMDS_ROLES, 200, "role");
    qe_made_world_answer(&s_made, "GET", IMDS_ROLES "role", 200, JSON);
}

static void from_sts(void)
{
    qe_made_world_env(&s_made, "AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    qe_made_world_env(&s_made, "AWS_ROLE_ARN", ROLE);
    qe_made_world_file(&s_made, "/token", JWT "\n");
    qe_made_world_answer(&s_made, "POST", NULL, 200,
                         "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>" SECRET
                         "</SecretAccessKey><SessionToken>" TOKEN "</SessionToken><Expiration>"
                         "2026-01-01T01:00:00Z</Expiration></Credentials>");
}

static void from_role_on_keys(void)
{
    from_profile();
    qe_made_world_file(&s_made, "/home/.aws/config",
                       "[default]\nrole_arn = " ROLE "\nsource_profile = default\n");
    qe_made_world_answer(&s_made, "POST", NULL, 200,
                         "{\"a\":{\"b\":{\"Credentials\":{\"AccessKeyId\":\"A\","
                         "\"SecretAccessKey\":\"" SECRET "\",\"SessionToken\":\"" TOKEN
                         "\",\"Expiration\":1767229200}}}}");
}

/* What free() itself writes over: its lists are kept in the blocks. */
#define LIST_BYTES 16

/* Whether the text's end stands somewhere on the heap. */
static bool is_on_heap(const char *text)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    const char *needle = text + LIST_BYTES;
    const size_t bytes = strlen(needle);
    char line[512];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        char *end = NULL;
        const uintptr_t from = (uintptr_t)strtoull(line, &end, 16);
        const uintptr_t to = (uintptr_t)strtoull(end + 1, NULL, 16);

        if (strstr(line, "[heap]") == NULL) {
            continue;
        }
        for (uintptr_t at = from; at + bytes <= to && !found; at++) {
            /* NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel says where it is */
            found = memcmp((const void *)at, needle, bytes) == 0;
        }
    }
    (void)fclose(maps);
    return found;
}

static void nothing_of_a_secret_stays_on_the_heap(void **state)
{
    static const struct {
        const char *name;
        void (*set_up)(void);
    } s_places[] = {
        {"environment", from_environment},   {"profile", from_profile}, {"process", from_process},
        {"container", from_container},       {"imds", from_imds},       {"sts", from_sts},
        {"role on keys", from_role_on_keys},
    };

    (void)state;
#ifdef HEAP_IS_ELSEWHERE
    print_message("skipped: the sanitizer's heap is another one\n");
    skip();
#endif
    for (size_t i = 0; i < sizeof s_places / sizeof s_places[0]; i++) {
        const struct qe_aws_identity identity = {.region = "eu-west-1"};

        qe_made_world_init(&s_made);
        s_places[i].set_up();
        struct qe_aws_credentials *found = search_finds_as(&identity);

        assert_string_equal(qe_secret_bytes(found->secret_access_key), SECRET);
        qe_aws_credentials_release(found);
        qe_made_world_deinit(&s_made);
        if (is_on_heap(SECRET) || is_on_heap(TOKEN) || is_on_heap(JWT)) {
            fail_msg("%s: a secret is left on the heap", s_places[i].name);
        }
    }
}

static void the_look_through_the_heap_finds_what_is_there(void **state)
{
    (void)state;
#ifdef HEAP_IS_ELSEWHERE
    skip();
#endif
    char *left = strdup("left behind, for once and for all");

    assert_non_null(left);
    assert_true(is_on_heap("left behind, for once and for all"));
    free(left);
    assert_true(is_on_heap("left behind, for once and for all")); /* also when it is free */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_a_secret_stays_on_the_heap),
        cmocka_unit_test(the_look_through_the_heap_finds_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
