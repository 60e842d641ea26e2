/* The SDKs' own cases for parsers of the shared settings files. */
#include <string.h>
#include <strings.h>

#include "aws/profile.h"
#include "support/check.h"
#include "support/shared.h"
#include "util/json.h"

#define CASES "vectors/credentials/aws/rust-runtime/aws-runtime/test-data/profile-parser-tests.json"

static bool contains_nocase(const char *text, const char *part)
{
    const size_t bytes = strlen(part);

    for (; *text != '\0'; text++) {
        if (strncasecmp(text, part, bytes) == 0) {
            return true;
        }
    }
    return false;
}

static int parse(struct qe_aws_profiles *profiles, const struct qe_json *input, const char *key,
                 enum qe_aws_profile_file file, struct qe_err *err)
{
    const char *text = qe_json_text(qe_json_get(input, key));

    return text == NULL ? 0 : qe_aws_profiles_add(profiles, file, key, text, strlen(text), err);
}

/* Whether a section has exactly the properties of `expected`. */
static bool is_section(const struct qe_aws_section *section, const struct qe_json *expected)
{
    if (section == NULL || qe_aws_section_count(section) != qe_json_count(expected)) {
        return false;
    }
    for (size_t i = 0; i < qe_aws_section_count(section); i++) {
        const char *value = qe_json_text(qe_json_get(expected, qe_aws_section_key(section, i)));

        if (value == NULL || strcmp(value, qe_aws_section_value(section, i)) != 0) {
            return false;
        }
    }
    return true;
}

static bool are_sections(const struct qe_aws_profiles *profiles, enum qe_aws_section_kind kind,
                         const struct qe_json *expected)
{
    size_t count = 0;

    for (const struct qe_aws_section *section = qe_aws_profiles_next(profiles, kind, NULL);
         section != NULL; section = qe_aws_profiles_next(profiles, kind, section)) {
        count++;
    }
    for (const struct qe_json *each = qe_json_first(expected); each != NULL;
         each = qe_json_next(each)) {
        if (!is_section(qe_aws_profiles_find(profiles, kind, qe_json_key(each)), each)) {
            return false;
        }
    }
    return count == qe_json_count(expected);
}

static bool passes(const struct qe_json *test)
{
    struct qe_err err = {0};
    struct qe_aws_profiles *profiles = qe_aws_profiles_new(&err);
    const struct qe_json *input = qe_json_get(test, "input");
    const struct qe_json *output = qe_json_get(test, "output");
    const struct qe_json *config = qe_json_get(output, "config");
    const char *wrong = qe_json_text(qe_json_get(output, "errorContaining"));
    bool passed = false;

    assert_non_null(profiles);
    int rc = parse(profiles, input, "configFile", QE_AWS_FILE_CONFIG, &err);

    if (rc == 0) {
        rc = parse(profiles, input, "credentialsFile", QE_AWS_FILE_CREDENTIALS, &err);
    }
    if (wrong != NULL) {
        passed = rc == -1 && err.code == QE_ERR_INVALID && contains_nocase(err.message, wrong);
    } else {
        passed =
            rc == 0 &&
            are_sections(profiles, QE_AWS_SECTION_PROFILE, qe_json_get(config, "profiles")) &&
            are_sections(profiles, QE_AWS_SECTION_SSO_SESSION, qe_json_get(config, "sso_sessions"));
    }
    if (!passed) {
        print_message("%s: %s\n", qe_json_text(qe_json_get(test, "name")), err.message);
    }
    qe_aws_profiles_destroy(profiles);
    return passed;
}

static void every_official_case_is_parsed_as_it_says(void **state)
{
    char path[QE_SHARED_PATH_BYTES];
    struct qe_err err = {0};
    struct qe_strbuf text = {0};
    size_t count = 0;
    size_t failed = 0;

    (void)state;
    if (!qe_shared_path(CASES, path)) {
        qe_shared_skip(CASES);
    }
    qe_shared_read(path, &text);
    struct qe_json *root = qe_json_parse(qe_strbuf_text(&text), text.length_bytes, &err);

    for (const struct qe_json *test = qe_json_first(qe_json_get(root, "tests")); test != NULL;
         test = qe_json_next(test)) {
        count++;
        failed += passes(test) ? 0 : 1;
    }
    print_message("%zu cases, %zu failed\n", count, failed);
    assert_int_equal(failed, 0);
    assert_true(count >= 60); /* there are that many: an empty file must not pass */
    qe_json_destroy(root);
    qe_strbuf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_official_case_is_parsed_as_it_says),
    };

    return qe_shared_result(cmocka_run_group_tests(tests, NULL, NULL));
}
