/* The verdict over what real queues held, as recorded/record.py wrote it down: on a store of our
 * own, and on RabbitMQ. Which states are right, the lines "expect FROM TO STATE..." (in seconds)
 * say, which were written by hand. */
#include <stdio.h>
#include <stdlib.h>

#include "support/shared.h"
#include "unit/model/fixture_backlog.h"

#define RECORDED_WINDOW_MS 60000
#define EXPECTED_MAX 8
#define WORDS_MAX 80

struct expected {
    double from_seconds, to_seconds;
    char states[WORDS_MAX]; /* " growing steady " */
};

struct recording {
    const char *name;
    bool is_dead_letter_queue;
    struct qe_backlog backlog;
    struct expected expected[EXPECTED_MAX];
    size_t expected_count;
    size_t judged; /* readings that some line says something of */
};

/* The next number behind *at; "-" is unknown. */
static double next_number(const char **at)
{
    char *end = NULL;
    double value = strtod(*at, &end);

    if (end != *at) {
        *at = end;
        return value;
    }
    *at += strspn(*at, " ");
    assert_int_equal(**at, '-');
    *at += 1;
    return UNKNOWN;
}

static void take_expected(struct recording *recording, const char *line)
{
    struct expected *one = &recording->expected[recording->expected_count++];
    const char *at = line;

    assert_true(recording->expected_count <= EXPECTED_MAX);
    one->from_seconds = next_number(&at);
    one->to_seconds = next_number(&at);
    (void)snprintf(one->states, sizeof one->states, "%.*s ", (int)strcspn(at, "\n"), at);
}

static void judge(struct recording *recording, double seconds)
{
    const char *found = qe_backlog_state_name((enum qe_backlog_state)recording->backlog.state);

    for (size_t i = 0; i < recording->expected_count; i++) {
        const struct expected *one = &recording->expected[i];
        char word[WORDS_MAX];

        if (seconds < one->from_seconds || seconds > one->to_seconds) {
            continue;
        }
        (void)snprintf(word, sizeof word, " %s ", found);
        if (strstr(one->states, word) == NULL) {
            fail_msg("%s at %.1f s: %s, expected%s", recording->name, seconds, found, one->states);
        }
        recording->judged++;
    }
}

static void take_reading(struct recording *recording, const char *line)
{
    const char *at = line;
    struct qe_sample sample = {0};
    double seconds = next_number(&at);

    set_known(&sample, QE_FIELD_READY_MESSAGES, next_number(&at));
    set_known(&sample, QE_FIELD_IN_FLIGHT_MESSAGES, next_number(&at));
    set_known(&sample, QE_FIELD_CONSUMERS, next_number(&at));
    set_known(&sample, QE_FIELD_ACKNOWLEDGED_TOTAL, next_number(&at));
    const struct qe_backlog_reading reading = {
        .sample = &sample,
        .now_mono_ms = 1000 + (int64_t)(seconds * 1000),
        .window_ms = RECORDED_WINDOW_MS,
        .own_settled = (uint64_t)next_number(&at),
        .may_stand_still = recording->is_dead_letter_queue,
    };

    qe_backlog_observe(&recording->backlog, &reading);
    judge(recording, seconds);
}

static void replay(const char *folder, const char *name)
{
    struct recording recording = {.name = name,
                                  .is_dead_letter_queue = strstr(name, "-dlq") != NULL};
    char path[QE_SHARED_PATH_BYTES];
    struct qe_strbuf text;

    qe_strbuf_init(&text, (size_t)1 << 20);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    qe_shared_read(path, &text);
    for (const char *line = qe_strbuf_text(&text); line != NULL && *line != '\0';) {
        if (strncmp(line, "expect ", 7) == 0) {
            take_expected(&recording, line + 7);
        } else if (*line != '#') {
            take_reading(&recording, line);
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    print_message("%s: %zu readings judged\n", path, recording.judged);
    assert_true(recording.judged > 80);
    qe_strbuf_deinit(&text);
}

static void each_recording_has_the_states_that_are_right(void **state)
{
    (void)state;
    static const char *const folders[] = {QE_RECORDED "/embedded", QE_RECORDED "/rabbitmq"};

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char **names = qe_shared_names(folders[i]);
        size_t count = 0;

        for (; names[count] != NULL; count++) {
            replay(folders[i], names[count]);
        }
        assert_int_equal(count, 10);
        qe_shared_free_names(names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_recording_has_the_states_that_are_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
