#include <stdio.h>
#include <string.h>

#include "app/flags.h"
#include "support/check.h"

#define PARSE(flags, err, ...)                                                                     \
    parse((flags), (err), (const char *const[]){"queue_exporter", __VA_ARGS__, NULL})

static int parse(struct qe_flags *flags, struct qe_err *err, const char *const *words)
{
    static char s_words[16][128]; /* getopt_long wants words that it may move */
    static char *s_argv[17];
    int argc = 0;

    for (; words[argc] != NULL; argc++) {
        (void)snprintf(s_words[argc], sizeof s_words[argc], "%s", words[argc]);
        s_argv[argc] = s_words[argc];
    }
    s_argv[argc] = NULL;
    return qe_flags_parse(argc, s_argv, flags, err);
}

static void both_forms_of_a_flag_are_understood(void **state)
{
    struct qe_flags flags = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(PARSE(&flags, &err, "--config.file=a.yml", "--log.level", "debug",
                    "--web.telemetry-path=/m"),
              err);
    assert_string_equal(flags.config_file, "a.yml");
    assert_int_equal(flags.log_level, QE_LOG_DEBUG);
    assert_string_equal(flags.telemetry_path, "/m");
}

static void what_is_not_given_has_its_default(void **state)
{
    struct qe_flags flags = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(PARSE(&flags, &err, "--web.enable-lifecycle"), err);
    assert_string_equal(flags.config_file, "queue_exporter.yml");
    assert_int_equal(flags.listen_count, 1);
    assert_string_equal(flags.listen[0], ":10019");
    assert_string_equal(flags.telemetry_path, "/metrics");
    assert_int_equal(flags.log_level, QE_LOG_INFO);
    assert_int_equal(flags.log_format, QE_LOG_LOGFMT);
    assert_true(flags.lifecycle_enabled);
    assert_false(flags.config_check);
}

static void the_listen_address_is_repeatable(void **state)
{
    struct qe_flags flags = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(
        PARSE(&flags, &err, "--web.listen-address=127.0.0.1:1", "--web.listen-address", "[::1]:2"),
        err);
    assert_int_equal(flags.listen_count, 2);
    assert_string_equal(flags.listen[1], "[::1]:2");
}

static void a_usage_error_names_the_flag_and_what_to_do(void **state)
{
    static const struct {
        const char *words[4];
        const char *message;
        const char *why;
    } rows[] = {
        {{"queue_exporter", "--log.levle=debug"},
         "unknown flag --log.levle=debug (did you mean --log.level?)",
         "near miss"},
        {{"queue_exporter", "--zzzzzzzzzzzz"}, "unknown flag --zzzzzzzzzzzz", "nothing near"},
        {{"queue_exporter", "-x"}, "unknown flag -x", "no short flags but -h"},
        {{"queue_exporter", "--config.file"}, "flag --config.file needs a value", "value missing"},
        {{"queue_exporter", "--config.file="}, "flag --config.file needs a value", "empty value"},
        {{"queue_exporter", "--version=3"}, "flag --version takes no value", "value too many"},
        {{"queue_exporter", "--log.level=loud"},
         "--log.level: \"loud\" is not one of debug, info, warn, error",
         "closed set"},
        {{"queue_exporter", "--log.format=xml"},
         "--log.format: \"xml\" is not one of logfmt, json",
         "closed set"},
        {{"queue_exporter", "--web.telemetry-path=metrics"},
         "--web.telemetry-path: telemetry path \"metrics\": it must start with / and have only "
         "letters, digits and -._~!$&'()*+,;=:@/ (--web.telemetry-path=/metrics)",
         "a path starts with a slash"},
        {{"queue_exporter", "--web.telemetry-path=/config"},
         "--web.telemetry-path: telemetry path \"/config\" is another endpoint's; choose one like "
         "/metrics with --web.telemetry-path",
         "a path that is taken"},
        {{"queue_exporter", "--web.listen-address=nowhere"},
         "--web.listen-address: listen address \"nowhere\": the port is missing; write :10019, "
         "127.0.0.1:10019, [::1]:10019 or localhost:10019",
         "an address that cannot be one"},
        {{"queue_exporter", "--config.f=a.yml"},
         "unknown flag --config.f=a.yml (did you mean --config.file?)",
         "no abbreviations"},
        {{"queue_exporter", "--log.l", "debug"},
         "unknown flag --log.l (did you mean --log.level?)",
         "no abbreviations, value apart"},
        {{"queue_exporter", "start"},
         "unexpected \"start\": queue_exporter takes flags only",
         "operands"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_flags flags = {0};
        struct qe_err err = {0};
        assert_int_equal(parse(&flags, &err, rows[i].words), -1);
        assert_int_equal(err.code, QE_ERR_INVALID);
        if (strcmp(err.message, rows[i].message) != 0) {
            fail_msg("%s: %s", rows[i].why, err.message);
        }
        assert_null(flags.config_file); /* untouched on error */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_of_a_flag_are_understood),
        cmocka_unit_test(what_is_not_given_has_its_default),
        cmocka_unit_test(the_listen_address_is_repeatable),
        cmocka_unit_test(a_usage_error_names_the_flag_and_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
