/* /config and the reference: what people read of a configuration. */
#include <string.h>

#include "support/check.h"
#include "unit/config/load_good.h"
#include "util/strbuf.h"

static void assert_same_config(const struct qe_config *a, const struct qe_config *b)
{
    assert_int_equal(a->shutdown_timeout_ms, b->shutdown_timeout_ms);
    assert_memory_equal(&a->defaults, &b->defaults, sizeof a->defaults);
    assert_int_equal(a->sources_count, b->sources_count);
    for (size_t i = 0; i < a->sources_count; i++) {
        assert_true(qe_source_settings_equal(&a->sources[i], &b->sources[i]));
    }
    assert_int_equal(a->consumers_count, b->consumers_count);
    for (size_t i = 0; i < a->consumers_count; i++) {
        assert_true(qe_consumer_settings_equal(&a->consumers[i], &b->consumers[i]));
    }
    assert_true(qe_objectives_equal(a, b));
}

static void what_is_printed_loads_to_the_same(void **state)
{
    struct qe_config *first = load_good(SAMPLE_RICH);
    struct qe_strbuf printed;
    struct qe_strbuf again;

    (void)state;
    qe_strbuf_init(&printed, 0);
    qe_strbuf_init(&again, 0);
    assert_int_equal(qe_config_print(first, &printed), 0);
    struct qe_config *second = load_good(qe_strbuf_text(&printed));
    assert_same_config(first, second);
    assert_int_equal(qe_config_print(second, &again), 0);
    assert_string_equal(qe_strbuf_text(&printed), qe_strbuf_text(&again));
    qe_strbuf_deinit(&printed);
    qe_strbuf_deinit(&again);
    qe_config_destroy(first);
    qe_config_destroy(second);
}

/* /config is read by people: this is what they see. What has no effect is not there. */
static const char s_printed[] = "shutdown_timeout: 30s\n"
                                "defaults:\n"
                                "  poll_interval: 30s\n"
                                "  poll_timeout: 10s\n"
                                "  discovery_interval: 5m\n"
                                "  stale_after: 1m30s\n"
                                "  state_window: 5m\n"
                                "  max_queues: 5000\n"
                                "sources:\n"
                                "  - name: a\n"
                                "    type: vault\n"
                                "    poll_interval: 30s\n"
                                "    poll_timeout: 10s\n"
                                "    discovery_interval: 5m\n"
                                "    stale_after: 1m30s\n"
                                "    state_window: 5m\n"
                                "    max_queues: 5000\n"
                                "    password: <secret>\n"
                                "    buffer: 64KiB\n"
                                "    ratio: 0.5\n"
                                "    mode: safe\n"
                                "    tags: [\"on\"]\n"
                                "    seed: 0\n"
                                "  - name: \"b c\"\n"
                                "    type: shelf\n"
                                "    poll_interval: 30s\n"
                                "    poll_timeout: 10s\n"
                                "    discovery_interval: 5m\n"
                                "    stale_after: 1m30s\n"
                                "    state_window: 5m\n"
                                "    max_queues: 5000\n"
                                "    path: p\n"
                                "    queues:\n"
                                "      - name: q\n"
                                "        retention: 4d\n"
                                "        ordered: false\n"
                                "consumers:\n"
                                "  - source: a\n"
                                "    vhost: \"\"\n"
                                "    queue: q\n"
                                "    workers: 4\n"
                                "    handler:\n"
                                "      type: discard\n"
                                "    max_handling_time: 5m\n"
                                "    retry:\n"
                                "      initial: 1s\n"
                                "      max: 5m\n"
                                "      max_receives: 0\n"
                                "    delivery: at_least_once\n"
                                "    batch:\n"
                                "      size: 1\n"
                                "    order_by: \"\"\n"
                                "    rate_limit: 0\n"
                                "    circuit_breaker:\n"
                                "      failures: 0\n"
                                "    max_in_hand: 64MiB\n";

static void print_shows_defaults_and_hides_secrets(void **state)
{
    struct qe_config *config =
        load_good("sources:\n"
                  "  - {name: a, type: vault, password: hunter2, tags: [\"on\"]}\n"
                  "  - {name: 'b c', type: shelf, path: p, queues: [{name: q}]}\n"
                  "consumers: [{source: a, queue: q, handler: {type: discard}}]\n");
    struct qe_strbuf printed;

    (void)state;
    qe_strbuf_init(&printed, 0);
    assert_int_equal(qe_config_print(config, &printed), 0);
    assert_string_equal(qe_strbuf_text(&printed), s_printed);
    qe_strbuf_deinit(&printed);
    qe_config_destroy(config);
}

static int torture_print(void *context, struct qe_err *err)
{
    struct qe_strbuf out;

    qe_strbuf_init(&out, 0);
    int rc = qe_config_print(context, &out);
    if (rc != 0) {
        rc = qe_strbuf_error(&out, err);
    }
    if (rc == 0) {
        (void)qe_config_reference(s_sample_types, SAMPLE_TYPES_COUNT, &out);
        rc = qe_strbuf_error(&out, err);
    }
    qe_strbuf_deinit(&out);
    return rc;
}

static void printing_survives_every_lack_of_memory(void **state)
{
    struct qe_config *config = load_good(SAMPLE_RICH);

    (void)state;
    qe_check_torture(torture_print, config);
    qe_config_destroy(config);
}

static void the_reference_has_a_row_for_every_key(void **state)
{
    static const char *const s_rows[] = {
        "| `poll_timeout` | duration | `10s`, or `poll_interval` where that is less |",
        "| `queues[].dead_letter.max_receives` | whole number | `5` | 1 to 1000 | After",
        "| `queues[].ordered` | `true` or `false` | `false` |  | In order \\| or not. |",
        "| `password`, or the file `password_file` | secret |",
        "| `mode` | one of `fast`, `safe` | `safe` |",
        "| `tags` | list of text |  | 0 to 2 items |",
        "| `path` | text | required |",
        "| `buffer` | size | `64KiB` | 1KiB to 1MiB |",
        "| `retry.max_receives` | whole number | `0` |",
        "| `handler.type` | one of `discard`, `simulate`, `exec`, `coprocess`, `http` | required |",
        "| `handler.environment[].name` | text | required |",
        "| `match.queue` | regular expression | any |",
        "\n### `sources`: `type: vault`\n",
    };
    struct qe_strbuf out;

    (void)state;
    qe_strbuf_init(&out, 0);
    assert_int_equal(qe_config_reference(s_sample_types, SAMPLE_TYPES_COUNT, &out), 0);
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        if (strstr(qe_strbuf_text(&out), s_rows[i]) == NULL) {
            print_error("no row: %s\n%s", s_rows[i], qe_strbuf_text(&out));
            fail();
        }
    }
    qe_strbuf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_loads_to_the_same),
        cmocka_unit_test(print_shows_defaults_and_hides_secrets),
        cmocka_unit_test(printing_survives_every_lack_of_memory),
        cmocka_unit_test(the_reference_has_a_row_for_every_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
