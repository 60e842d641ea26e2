#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "metrics/catalogue.h"
#include "metrics/line_internal.h"
#include "support/check.h"

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void every_family_is_defined_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        assert_non_null(qe_catalogue[i].name);
        assert_non_null(qe_catalogue[i].unit);
        assert_non_null(qe_catalogue[i].labels);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(qe_catalogue[i].name, qe_catalogue[k].name);
        }
    }
}

static void poll_families_stand_before_live_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        assert_int_equal(qe_catalogue[i].part,
                         i < QE_FAMILY_POLL_COUNT ? QE_PART_POLL : QE_PART_LIVE);
    }
}

static void check_ending(const char *name)
{
    static const char *const taken[] = {"_total",  "_created", "_count",  "_sum",
                                        "_bucket", "_gauge",   "_counter"};

    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (ends_with(name, taken[i])) {
            fail_msg("%s ends in %s", name, taken[i]);
        }
    }
}

static void names_follow_the_rules_of_both_formats(void **state)
{
    (void)state;
    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        const char *name = qe_catalogue[i].name;

        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        check_ending(name);
        /* The renderer keeps names in short texts. */
        struct qe_short_text sample_name = qe_line_name((enum qe_family)i);

        assert_int_equal(sample_name.length,
                         strlen(name) + strlen(qe_family_suffix((enum qe_family)i)));
    }
}

static void the_unit_is_the_end_of_the_name(void **state)
{
    static const char *const units[] = {"seconds", "bytes", "dollars", "ratio"};

    (void)state;
    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        const struct qe_family_def *def = &qe_catalogue[i];

        assert_true(ends_with(def->name, def->unit));
        for (size_t k = 0; k < sizeof units / sizeof units[0]; k++) {
            if (ends_with(def->name, units[k])) {
                assert_string_equal(def->unit, units[k]); /* and it is not forgotten */
            }
        }
    }
}

static void help_is_a_sentence_with_nothing_to_escape(void **state)
{
    (void)state;
    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        const char *help = qe_catalogue[i].help;

        assert_null(strpbrk(help, "\\\"\n|"));
        assert_true(ends_with(help, "."));
    }
}

/* Names that Prometheus or a usual target label set has taken. */
static void labels_are_not_somebody_elses(void **state)
{
    /* But "service", as other cost metrics have it: who asks for cost asks for that word. */
    static const char *const taken[] = {"type",  "zone", "cluster", "instance", "job",
                                        "stage", "env",  "le",      "quantile"};

    (void)state;
    for (size_t i = 0; i < QE_FAMILY_COUNT; i++) {
        char list[256];

        assert_true(snprintf(list, sizeof list, ",%s,", qe_catalogue[i].labels) < 256);
        for (size_t k = 0; k < sizeof taken / sizeof taken[0]; k++) {
            char word[32];

            (void)snprintf(word, sizeof word, ",%s,", taken[k]);
            assert_null(strstr(list, word));
        }
    }
}

static void a_header_is_written_as_its_format_wants_it(void **state)
{
    static const struct {
        enum qe_family family;
        enum qe_format format;
        const char *text;
    } rows[] = {
        {QE_FAMILY_POLLS, QE_FORMAT_TEXT,
         "# HELP queue_exporter_polls_total Polls of the source, good or failed.\n"
         "# TYPE queue_exporter_polls_total counter\n"},
        {QE_FAMILY_POLLS, QE_FORMAT_OPENMETRICS,
         "# TYPE queue_exporter_polls counter\n"
         "# HELP queue_exporter_polls Polls of the source, good or failed.\n"},
        {QE_FAMILY_POLL_DURATION, QE_FORMAT_TEXT,
         "# HELP queue_exporter_poll_duration_seconds How long polls took.\n"
         "# TYPE queue_exporter_poll_duration_seconds histogram\n"},
        {QE_FAMILY_POLL_DURATION, QE_FORMAT_OPENMETRICS,
         "# TYPE queue_exporter_poll_duration_seconds histogram\n"
         "# UNIT queue_exporter_poll_duration_seconds seconds\n"
         "# HELP queue_exporter_poll_duration_seconds How long polls took.\n"},
        {QE_FAMILY_PROCESS_CPU, QE_FORMAT_OPENMETRICS,
         "# TYPE process_cpu_seconds counter\n"
         "# UNIT process_cpu_seconds seconds\n"
         "# HELP process_cpu_seconds User and system CPU time spent.\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_strbuf out;

        qe_strbuf_init(&out, 0);
        qe_catalogue_header(&out, rows[i].family, rows[i].format);
        assert_string_equal(qe_strbuf_text(&out), rows[i].text);
        qe_strbuf_deinit(&out);
    }
}

static void the_reference_has_a_row_for_every_family(void **state)
{
    struct qe_strbuf out;
    size_t lines = 0;

    (void)state;
    qe_strbuf_init(&out, 0);
    assert_int_equal(qe_catalogue_reference(&out), 0);
    for (const char *at = qe_strbuf_text(&out); *at != '\0'; at++) {
        lines += *at == '\n' ? 1 : 0;
    }
    assert_int_equal(lines, QE_FAMILY_COUNT + 2);
    assert_non_null(strstr(qe_strbuf_text(&out),
                           "| `queue_exporter_polls_total` | counter | `source` | Polls of the "
                           "source, good or failed. |\n"));
    assert_non_null(strstr(qe_strbuf_text(&out), "| `process_open_fds` | gauge |  | Open"));
    qe_strbuf_deinit(&out);
}

static int reference(void *context, struct qe_err *err)
{
    struct qe_strbuf out;

    (void)context;
    qe_strbuf_init(&out, 0);
    (void)qe_catalogue_reference(&out);
    int rc = qe_strbuf_error(&out, err);

    qe_strbuf_deinit(&out);
    return rc;
}

static void the_reference_survives_running_out_of_memory(void **state)
{
    (void)state;
    qe_check_torture(reference, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_is_defined_once),
        cmocka_unit_test(poll_families_stand_before_live_ones),
        cmocka_unit_test(names_follow_the_rules_of_both_formats),
        cmocka_unit_test(the_unit_is_the_end_of_the_name),
        cmocka_unit_test(help_is_a_sentence_with_nothing_to_escape),
        cmocka_unit_test(labels_are_not_somebody_elses),
        cmocka_unit_test(a_header_is_written_as_its_format_wants_it),
        cmocka_unit_test(the_reference_has_a_row_for_every_family),
        cmocka_unit_test(the_reference_survives_running_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
