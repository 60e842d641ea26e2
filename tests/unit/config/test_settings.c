/* What loads, loads to the right settings, compares, and survives a lack of memory. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/check.h"
#include "unit/config/load_good.h"
#include "util/mem.h"
#include "util/strbuf.h"

static void every_key_arrives_where_it_belongs(void **state)
{
    struct qe_config *config = load_good(SAMPLE_RICH);

    (void)state;
    assert_int_equal(config->shutdown_timeout_ms, 20000);
    assert_int_equal(config->defaults.max_queues, 100);
    assert_int_equal(config->sources_count, 2);

    const struct qe_source_settings *local = &config->sources[0];
    assert_string_equal(local->name, "local");
    assert_string_equal(local->type_name, "shelf");
    assert_ptr_equal(local->type, &s_sample_types[0]);
    assert_int_equal(local->poll.poll_interval_ms, 10000); /* its own */
    assert_int_equal(local->poll.poll_timeout_ms, 5000);   /* from defaults */
    assert_int_equal(local->poll.stale_after_ms, 120000);
    assert_int_equal(local->include.count, 2);
    assert_true(qe_regex_matches(local->include.items[0], "orders-eu"));
    assert_int_equal(local->exclude.count, 1);
    assert_int_equal(local->dead_letter_queues.count, 1);

    const struct shelf_settings *shelf = local->driver_settings;
    assert_string_equal(shelf->path, "/tmp/a b.db");
    assert_int_equal(shelf->queues.count, 2);
    const struct shelf_queue *queues = shelf->queues.items;
    assert_string_equal(queues[0].name, "orders");
    assert_int_equal(queues[0].retention_ms, 5400000);
    assert_true(queues[0].ordered);
    assert_string_equal(queues[0].dead_letter.queue, "orders-dlq");
    assert_int_equal(queues[0].dead_letter.max_receives, 3);
    assert_int_equal(queues[0].policy.most, 3);
    assert_string_equal(queues[1].name, "orders-dlq");
    assert_int_equal(queues[1].retention_ms, 345600000);
    assert_null(queues[1].dead_letter.queue);
    assert_int_equal(queues[1].dead_letter.max_receives, 0); /* absent is absent as a whole */

    const struct vault_settings *vault = config->sources[1].driver_settings;
    assert_null(vault->password);
    assert_int_equal(vault->buffer_bytes, 2048);
    assert_double_equal(vault->ratio, 0.25);
    assert_int_equal(vault->mode, 0);
    assert_int_equal(vault->tags.count, 2);
    assert_string_equal(vault->tags.items[1], "${HOME} $$ $x");
    assert_true(vault->seed == UINT64_MAX);

    assert_int_equal(config->consumers_count, 2);
    const struct qe_consumer_settings *consumer = &config->consumers[0];
    assert_int_equal(consumer->workers, 7);
    assert_int_equal(consumer->handler.type, QE_HANDLER_SIMULATE);
    assert_int_equal(consumer->handler.latency_p50_ms, 10);
    assert_int_equal(consumer->handler.latency_p99_ms, 90);
    assert_double_equal(consumer->handler.error_rate, 0.05);
    assert_int_equal(consumer->retry.max_receives, 6);
    assert_string_equal(consumer->vhost, "");
    qe_config_destroy(config);
}

static void the_smallest_file_gets_the_documented_defaults(void **state)
{
    struct qe_config *config =
        load_good("sources: [{name: a, type: shelf, path: p}]\n"
                  "consumers: [{source: a, queue: q, handler: {type: discard}}]\n");
    const struct qe_poll_settings *poll = &config->sources[0].poll;
    const struct qe_consumer_settings *consumer = &config->consumers[0];

    (void)state;
    assert_int_equal(config->shutdown_timeout_ms, 30000);
    assert_int_equal(poll->poll_interval_ms, 30000);
    assert_int_equal(poll->poll_timeout_ms, 10000);
    assert_int_equal(poll->discovery_interval_ms, 300000);
    assert_int_equal(poll->stale_after_ms, 90000); /* 3 x poll_interval */
    assert_int_equal(poll->max_queues, 5000);
    assert_int_equal(consumer->workers, 4);
    assert_int_equal(consumer->max_handling_time_ms, 300000);
    assert_int_equal(consumer->retry.initial_ms, 1000);
    assert_int_equal(consumer->retry.max_ms, 300000);
    assert_int_equal(consumer->retry.max_receives, 0);
    assert_int_equal(consumer->handler.latency_p99_ms, 10 * consumer->handler.latency_p50_ms);
    qe_config_destroy(config);
}

/* Each source's own interval decides what follows from it, unless defaults fix it. */
static void derived_defaults_follow_the_source(void **state)
{
    struct qe_config *config =
        load_good("sources: [{name: a, type: shelf, path: p, poll_interval: 5s}]\n");

    (void)state;
    assert_int_equal(config->sources[0].poll.poll_timeout_ms, 5000);
    assert_int_equal(config->sources[0].poll.stale_after_ms, 15000);
    assert_int_equal(config->defaults.stale_after_ms, 90000);
    qe_config_destroy(config);
}

/* Reload restarts what is not equal: one changed value must show, wherever it is. */
static void one_changed_value_makes_a_source_differ(void **state)
{
    static const char s_base[] = "sources: [{name: a, type: shelf, path: p, queues: [{name: q, "
                                 "dead_letter: {queue: d}}]}]\n";
    static const char *const s_others[] = {
        "sources: [{name: a, type: shelf, path: P, queues: [{name: q, dead_letter: {queue: d}}]}]",
        "sources: [{name: a, type: shelf, path: p, queues: [{name: q, dead_letter: {queue: e}}]}]",
        "sources: [{name: a, type: shelf, path: p, queues: [{name: q, dead_letter: {queue: d, "
        "max_receives: 6}}]}]",
        "sources: [{name: a, type: shelf, path: p, queues: [{name: q}]}]",
        "sources: [{name: a, type: shelf, path: p, queues: [{name: q, ordered: true, dead_letter: "
        "{queue: d}}]}]",
        "sources: [{name: a, type: shelf, path: p, queues: [{name: q, dead_letter: {queue: d}}, "
        "{name: r}]}]",
        "sources: [{name: a, type: shelf, path: p, include: [x], queues: [{name: q, dead_letter: "
        "{queue: d}}]}]",
        "defaults: {poll_interval: 31s}\nsources: [{name: a, type: shelf, path: p, queues: [{name: "
        "q, dead_letter: {queue: d}}]}]",
    };
    struct qe_config *base = load_good(s_base);
    struct qe_config *same = load_good(s_base);

    (void)state;
    assert_true(qe_source_settings_equal(&base->sources[0], &same->sources[0]));
    qe_config_destroy(same);
    for (size_t i = 0; i < sizeof s_others / sizeof s_others[0]; i++) {
        struct qe_config *other = load_good(s_others[i]);

        assert_false(qe_source_settings_equal(&base->sources[0], &other->sources[0]));
        qe_config_destroy(other);
    }
    qe_config_destroy(base);
}

static void a_changed_vault_differs_even_in_its_secret(void **state)
{
    static const char s_base[] =
        "sources: [{name: a, type: vault, password: one, owner: x, tags: [t]}]";
    static const char *const s_others[] = {
        "sources: [{name: a, type: vault, password: two, owner: x, tags: [t]}]",
        "sources: [{name: a, type: vault, owner: x, tags: [t]}]",
        "sources: [{name: a, type: vault, password: one, owner: y, tags: [t]}]",
        "sources: [{name: a, type: vault, password: one, tags: [t]}]",
        "sources: [{name: a, type: vault, password: one, owner: x, tags: [u]}]",
        "sources: [{name: a, type: vault, password: one, owner: x, tags: [t], mode: fast}]",
        "sources: [{name: a, type: vault, password: one, owner: x, tags: [t], ratio: 0.1}]",
        "sources: [{name: a, type: vault, password: one, owner: x, tags: [t], buffer: 1KiB}]",
        "sources: [{name: a, type: vault, password: one, owner: x, tags: [t], seed: 1}]",
        "sources: [{name: a, type: vault, password: one, owner: x, tags: [t], note: n}]",
        "sources: [{name: a, type: shelf, path: p}]",
    };
    struct qe_config *base = load_good(s_base);

    (void)state;
    for (size_t i = 0; i < sizeof s_others / sizeof s_others[0]; i++) {
        struct qe_config *other = load_good(s_others[i]);

        assert_false(qe_source_settings_equal(&base->sources[0], &other->sources[0]));
        qe_config_destroy(other);
    }
    qe_config_destroy(base);
}

static void a_changed_consumer_or_objective_differs(void **state)
{
    struct qe_config *base = load_good(SAMPLE_RICH);
    struct qe_config *other = load_good(SAMPLE_RICH);

    (void)state;
    assert_true(qe_consumer_settings_equal(&base->consumers[0], &other->consumers[0]));
    assert_false(qe_consumer_settings_equal(&base->consumers[0], &other->consumers[1]));
    other->consumers[0].handler.seed++;
    assert_false(qe_consumer_settings_equal(&base->consumers[0], &other->consumers[0]));
    assert_true(qe_objectives_equal(base, other));
    other->objectives[0].oldest_message_age_ms++;
    assert_false(qe_objectives_equal(base, other));
    qe_config_destroy(base);
    qe_config_destroy(other);
}

static void the_first_objective_that_matches_wins(void **state)
{
    struct qe_config *config = load_good(SAMPLE_RICH);
    struct qe_config *none = load_good("sources: [{name: a, type: shelf, path: p}]");

    (void)state;
    assert_double_equal(qe_config_objective(config, "local", "", "orders-eu"), 300);
    assert_double_equal(qe_config_objective(config, "local", NULL, "orders"), 300);
    assert_double_equal(qe_config_objective(config, "local", "v", "orders"), 3600); /* vhost "" */
    assert_double_equal(qe_config_objective(config, "other", "", "orders"), 3600);
    assert_true(qe_config_objective(none, "a", "", "q") < 0);
    qe_config_destroy(config);
    qe_config_destroy(none);
}

static void expansion_leaves_lone_dollars_alone(void **state)
{
    static const struct {
        const char *why;
        const char *text;
        const char *value;
    } s_rows[] = {
        {"regular expressions end in it", "a$", "a$"},
        {"no braces, no variable", "$HOME", "$HOME"},
        {"two make one", "$$", "$"},
        {"an escaped variable stays text", "$${HOME}", "${HOME}"},
        {"in the middle", "x${QE_T_VALUE}y", "xvaluey"},
        {"twice", "${QE_T_VALUE}${QE_T_VALUE}", "valuevalue"},
        {"a default is not used when set", "${QE_T_VALUE:-d}", "value"},
        {"a default is used when empty", "${QE_T_EMPTY:-d}", "d"},
        {"set but empty is a value", "x${QE_T_EMPTY}", "x"},
        {"a default may be empty", "x${QE_T_UNSET:-}", "x"},
        {"a default is not expanded again", "${QE_T_UNSET:-$x}", "$x"},
        {"what a variable holds is not expanded again", "${QE_T_DOLLAR}", "${QE_T_VALUE}"},
    };

    (void)state;
    assert_int_equal(unsetenv("QE_T_UNSET"), 0);
    assert_int_equal(setenv("QE_T_VALUE", "value", 1), 0);
    assert_int_equal(setenv("QE_T_EMPTY", "", 1), 0);
    assert_int_equal(setenv("QE_T_DOLLAR", "${QE_T_VALUE}", 1), 0);
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        char text[256];

        (void)snprintf(text, sizeof text, "sources: [{name: a, type: vault, note: '%s'}]",
                       s_rows[i].text);
        struct qe_config *config = load_good(text);
        const struct vault_settings *vault = config->sources[0].driver_settings;
        if (strcmp(vault->note, s_rows[i].value) != 0) {
            print_error("%s: %s\n", s_rows[i].why, vault->note);
            fail();
        }
        qe_config_destroy(config);
    }
}

static void secrets_come_from_text_variable_or_file(void **state)
{
    char folder[] = "/tmp/qe-config-XXXXXX";
    char path[64];
    char text[512];

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/password", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("hunter2\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(setenv("QE_T_PASSWORD", "hunter2", 1), 0);
    assert_int_equal(setenv("QE_T_FOLDER", folder, 1), 0);

    (void)snprintf(text, sizeof text,
                   "sources:\n"
                   "  - {name: a, type: vault, password: hunter2}\n"
                   "  - {name: b, type: vault, password: \"${QE_T_PASSWORD}\"}\n"
                   "  - {name: c, type: vault, password_file: \"${QE_T_FOLDER}/password\"}\n"
                   "  - {name: d, type: vault, password_file: %s}\n",
                   path);
    struct qe_config *config = load_good(text);
    assert_int_equal(unlink(path), 0); /* read once, at load */
    assert_int_equal(rmdir(folder), 0);
    for (size_t i = 0; i < config->sources_count; i++) {
        const struct vault_settings *vault = config->sources[i].driver_settings;

        assert_string_equal(qe_secret_bytes(vault->password), "hunter2");
    }
    qe_config_destroy(config);
}

static int torture_load(void *context, struct qe_err *err)
{
    struct qe_strbuf errors;
    int rc = 0;

    qe_strbuf_init(&errors, 0);
    struct qe_config *config = load_sample(context, &errors);
    if (config == NULL) {
        bool is_nomem = errors.failed == QE_ERR_NOMEM ||
                        strstr(qe_strbuf_text(&errors), "out of memory") != NULL;

        rc = qe_err_set(err, is_nomem ? QE_ERR_NOMEM : QE_ERR_INVALID, "%s",
                        qe_strbuf_text(&errors));
    }
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
    return rc;
}

static void loading_survives_every_lack_of_memory(void **state)
{
    static char s_rich[] = SAMPLE_RICH;
    static char s_shared[] = "defaults: &d {poll_interval: \"${QE_T_UNSET:-5s}\"}\n"
                             "sources: [{name: a, type: vault, password: \"${QE_T_UNSET:-p}\"}]\n";

    (void)state;
    qe_check_torture(torture_load, s_rich);
    qe_check_torture(torture_load, s_shared);
}

/* A broken file under memory pressure: any message is fine, a crash or a leak is not. */
static void reporting_survives_every_lack_of_memory(void **state)
{
    static const char s_text[] =
        "foo: 1\npoll: 2\ndefaults: {poll_interval: 1s, poll_timeout: 2s}\n"
        "sources:\n  - {name: a, type: shelv}\n  - {name: a, type: shelf}\n"
        "  - {name: b, type: vault, mode: x, ratio: 7, tags: [a, b, c], owner: '(', "
        "password_file: /nonexistent, note: '${QE_T_UNSET}'}\n"
        "consumers: [{source: c, queue: q, handler: {type: discard}}]\n";

    (void)state;
    assert_int_equal(unsetenv("QE_T_UNSET"), 0);
    for (size_t nth = 1; nth < 2000; nth++) {
        struct qe_strbuf errors;

        qe_strbuf_init(&errors, 0);
        qe_mem_fail_at(nth);
        struct qe_config *config = load_sample(s_text, &errors);
        size_t asked = qe_mem_allocations();
        qe_mem_fail_at(0);
        assert_null(config);
        qe_strbuf_deinit(&errors);
        if (asked < nth) {
            return;
        }
    }
    fail_msg("no end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_arrives_where_it_belongs),
        cmocka_unit_test(the_smallest_file_gets_the_documented_defaults),
        cmocka_unit_test(derived_defaults_follow_the_source),
        cmocka_unit_test(one_changed_value_makes_a_source_differ),
        cmocka_unit_test(a_changed_vault_differs_even_in_its_secret),
        cmocka_unit_test(a_changed_consumer_or_objective_differs),
        cmocka_unit_test(the_first_objective_that_matches_wins),
        cmocka_unit_test(expansion_leaves_lone_dollars_alone),
        cmocka_unit_test(secrets_come_from_text_variable_or_file),
        cmocka_unit_test(loading_survives_every_lack_of_memory),
        cmocka_unit_test(reporting_survives_every_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
