/* What a queue is: by its arguments, policies and operator policies; and what an answer says of its
 * state, as recorded from RabbitMQ 3.10 and 4.0. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/definition.h"
#include "backend/rabbitmq/reading.h"
#include "support/check.h"
#include "support/shared.h"
#include "unit/backend/rabbitmq_recorded.h"
#include "util/mem.h"

static struct qe_json *parse(const char *text)
{
    struct qe_err err = {0};
    struct qe_json *json = qe_json_parse(text, strlen(text), &err);

    assert_ok(json == NULL ? -1 : 0, err);
    return json;
}

static struct qe_json *recorded(const char *name)
{
    char relative[128];
    char path[QE_SHARED_PATH_BYTES];
    struct qe_strbuf text = {0};
    struct qe_json *json = NULL;

    (void)snprintf(relative, sizeof relative, "samples/rabbitmq/%s", name);
    if (!qe_shared_path(relative, path)) {
        qe_shared_skip(relative);
    }
    qe_shared_read(path, &text);
    json = parse(qe_strbuf_text(&text));
    qe_strbuf_deinit(&text);
    return json;
}

struct rules {
    double max_length;
    double ttl_ms;
    double delivery_limit;
    const char *exchange;
    const char *key;
};

static const char s_policies[] =
    "[{\"vhost\":\"/\",\"name\":\"low\",\"pattern\":\"^o\",\"apply-to\":\"queues\",\"priority\":0,"
    "\"definition\":{\"max-length\":5}},"
    "{\"vhost\":\"/\",\"name\":\"high\",\"pattern\":\"ers$\",\"apply-to\":\"all\",\"priority\":9,"
    "\"definition\":{\"dead-letter-exchange\":\"dlx\",\"dead-letter-routing-key\":\"pk\","
    "\"message-ttl\":1000,\"max-length\":100}},"
    "{\"vhost\":\"/\",\"name\":\"quorum\",\"pattern\":\"work\",\"apply-to\":\"quorum_queues\","
    "\"priority\":1,\"definition\":{\"delivery-limit\":7}},"
    "{\"vhost\":\"/\",\"name\":\"endless\",\"pattern\":\"^endless\",\"apply-to\":\"queues\","
    "\"priority\":1,\"definition\":{\"delivery-limit\":-1}},"
    "{\"vhost\":\"/\",\"name\":\"odd\",\"pattern\":\"(\",\"apply-to\":\"streams\","
    "\"priority\":1,\"definition\":{\"max-length\":9}},"
    "{\"vhost\":\"other\",\"name\":\"x\",\"pattern\":\".*\",\"apply-to\":\"all\",\"priority\":99,"
    "\"definition\":{\"max-length\":1}}]";
static const char s_operator_policies[] =
    "[{\"vhost\":\"/\",\"name\":\"op\",\"pattern\":\"orders|work\",\"apply-to\":\"queues\","
    "\"priority\":0,\"definition\":{\"message-ttl\":500,\"max-length\":200,"
    "\"delivery-limit\":3}}]";

#define Q(name, arguments, more)                                                                   \
    "{\"vhost\":\"/\",\"name\":\"" name "\",\"arguments\":{" arguments "}" more "}"
#define QUORUM ",\"type\":\"quorum\""

static const struct {
    const char *queue;
    unsigned version;
    struct rules rules;
    const char *why;
} s_rules[] = {
    {Q("x", "", ""), 3, {-1, -1, -1, NULL, NULL}, "no policy matches"},
    {Q("orders", "", ""), 3, {100, 500, 3, "dlx", "pk"}, "the highest priority, and operators"},
    {Q("orders", "\"x-max-length\":10", ""), 3, {10, 500, 3, "dlx", "pk"}, "the smaller limit"},
    {Q("orders", "\"x-dead-letter-exchange\":\"\"", ""),
     3,
     {100, 500, 3, "", "pk"},
     "each key by itself: the argument's exchange with the policy's routing key"},
    {Q("offers.x", "", ""), 3, {5, -1, -1, NULL, NULL}, "a pattern is looked for anywhere"},
    {Q("work", "", QUORUM), 3, {200, 500, 3, NULL, NULL}, "by type, and operators"},
    {Q("quorum", "", QUORUM), 3, {-1, -1, -1, NULL, NULL}, "3.x: no limit of its own"},
    {Q("quorum", "", QUORUM), 4, {-1, -1, 20, NULL, NULL}, "4.x: 20"},
    {Q("quorum", "\"x-delivery-limit\":-1", QUORUM),
     4,
     {-1, -1, (double)INFINITY, NULL, NULL},
     "4.x: switched off"},
    {Q("endless", "", QUORUM),
     4,
     {-1, -1, (double)INFINITY, NULL, NULL},
     "4.x: switched off by a policy"},
    {Q("endless", "\"x-delivery-limit\":4", QUORUM),
     4,
     {-1, -1, 4, NULL, NULL},
     "4.x: by a policy, but not by the argument"},
    {Q("work", "\"x-delivery-limit\":-1", QUORUM),
     4,
     {200, 500, 3, NULL, NULL},
     "4.x: by the argument, but not by policies"},
    {Q("orders", "", ",\"policy\":\"low\""),
     3,
     {5, 500, 3, NULL, NULL},
     "the policy that the broker says it is"},
    {Q("orders", "", ",\"policy\":\"odd\""),
     3,
     {9, 500, 3, NULL, NULL},
     "also where its pattern cannot be read here"},
    {Q("orders", "", ",\"policy\":\"younger than our list\""),
     3,
     {100, 500, 3, "dlx", "pk"},
     "or else the one that matches"},
    {Q("quorum", "", QUORUM ",\"delivery_limit\":\"unlimited\""),
     4,
     {-1, -1, (double)INFINITY, NULL, NULL},
     "4.x: told"},
    {Q("work", "", QUORUM ",\"delivery_limit\":5"), 4, {200, 500, 5, NULL, NULL}, "4.x: told"},
    {Q("x", "\"x-max-length\":\"ten\",\"x-message-ttl\":-5,\"x-dead-letter-exchange\":7", ""),
     3,
     {-1, -1, -1, NULL, NULL},
     "what is none"},
    {"{\"vhost\":\"/\",\"name\":\"x\",\"arguments\":[]}",
     3,
     {-1, -1, -1, NULL, NULL},
     "a list for an object"},
};

static void rules_come_from_arguments_policies_and_operator_policies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_rules / sizeof s_rules[0]; i++) {
        struct qe_json *policies_json = parse(s_policies);
        struct qe_json *operator_json = parse(s_operator_policies);
        struct qe_json *queue = parse(s_rules[i].queue);
        struct qe_rmq_policies policies = {0};
        struct qe_rmq_policies operators = {0};
        struct qe_rmq_definition made;
        struct qe_err err = {0};

        assert_ok(qe_rmq_policies_parse(policies_json, &policies, &err), err);
        assert_ok(qe_rmq_policies_parse(operator_json, &operators, &err), err);
        assert_ok(qe_rmq_definition_parse(queue, &made, &err), err);
        assert_ok(qe_rmq_definition_apply(&made, &policies, &operators, s_rules[i].version, &err),
                  err);
        const char *exchange = made.rules.dead_letter_exchange;
        const char *key = made.rules.dead_letter_key;
        char got[128];
        char wanted[128];

        (void)snprintf(got, sizeof got, "%g %g %g %s %s", made.rules.max_length_messages,
                       made.rules.message_ttl_ms, made.rules.delivery_limit,
                       exchange == NULL ? "-" : exchange, key == NULL ? "-" : key);
        exchange = s_rules[i].rules.exchange;
        key = s_rules[i].rules.key;
        (void)snprintf(wanted, sizeof wanted, "%g %g %g %s %s", s_rules[i].rules.max_length,
                       s_rules[i].rules.ttl_ms, s_rules[i].rules.delivery_limit,
                       exchange == NULL ? "-" : exchange, key == NULL ? "-" : key);
        if (strcmp(got, wanted) != 0) {
            fail_msg("%s: %s instead of %s", s_rules[i].why, got, wanted);
        }
        qe_rmq_definition_deinit(&made);
        qe_rmq_policies_deinit(&policies);
        qe_rmq_policies_deinit(&operators);
        qe_json_destroy(policies_json);
        qe_json_destroy(operator_json);
        qe_json_destroy(queue);
    }
}

/* What a consumer that is no longer asked goes by. */
static void what_working_on_a_queue_goes_by_is_told_with_it(void **state)
{
    static const struct {
        const char *queue;
        int64_t deliveries_most;
        bool is_single_active;
        bool may_refuse;
        const char *why;
    } rows[] = {
        {Q("x", "", ""), -1, false, false, "a classic queue"},
        {Q("x", "\"x-delivery-limit\":3", ""), -1, false, false, "which heeds no such limit"},
        {Q("x", "\"x-delivery-limit\":3", QUORUM), 3, false, false, "a quorum queue with one"},
        {Q("x", "", QUORUM ",\"delivery_limit\":\"unlimited\""), -1, false, false, "none"},
        {Q("x", "", QUORUM ",\"delivery_limit\":1e300"), -1, false, false, "never reached"},
        {Q("x", "\"x-single-active-consumer\":true", ""), -1, true, false, "in line"},
        {Q("x", "", ",\"exclusive\":true"), -1, false, true, "gone with its owner"},
        {Q("x", "\"x-max-length\":1,\"x-overflow\":\"reject-publish\"", ""), -1, false, true,
         "full"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_json *json = parse(rows[i].queue);
        struct qe_rmq_definition made;
        struct qe_queue told = {0};
        struct qe_err err = {0};

        assert_ok(qe_rmq_definition_parse(json, &made, &err), err);
        qe_rmq_definition_tell(&made, &told);
        if (!told.delivery_known || told.kind != made.kind ||
            told.deliveries_most != rows[i].deliveries_most ||
            told.is_single_active != rows[i].is_single_active ||
            told.may_refuse != rows[i].may_refuse) {
            fail_msg("%s", rows[i].why);
        }
        qe_rmq_definition_deinit(&made);
        qe_json_destroy(json);
    }
}

static void a_pattern_that_cannot_be_read_is_told_and_the_others_stand(void **state)
{
    struct qe_json *json =
        parse("[{\"vhost\":\"/\",\"name\":\"bad\",\"pattern\":\"(\",\"apply-to\":\"all\"},"
              "{\"vhost\":\"/\",\"name\":\"good\",\"pattern\":\"x\",\"apply-to\":\"all\","
              "\"definition\":{\"max-length\":3}}]");
    struct qe_rmq_policies policies = {0};
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_rmq_policies_parse(json, &policies, &err), err);
    assert_int_equal(policies.doubtful.code, QE_ERR_INVALID);
    assert_non_null(strstr(policies.doubtful.message, "policy bad of vhost /"));
    const struct qe_rmq_subject subject = {
        .vhost = "/", .name = "x", .applies = QE_RMQ_APPLIES_STREAM};

    bool is_doubtful = false;

    assert_double_equal(
        qe_rmq_policies_find(&policies, &subject, &is_doubtful)->max_length_messages, 3);
    assert_true(is_doubtful);
    qe_rmq_policies_deinit(&policies);
    qe_json_destroy(json);
}

#define UNREADABLE(vhost, applies)                                                                 \
    "{\"vhost\":\"" vhost "\",\"name\":\"bad\",\"pattern\":\"(\",\"apply-to\":\"" applies "\"}"
#define MATCHING(priority)                                                                         \
    "{\"vhost\":\"/"                                                                               \
    "\",\"name\":\"q\",\"pattern\":\"q\",\"apply-to\":\"queues\",\"priority\":" priority "}"

/* Whether it holds is not known, and neither is what it would say, unless another one does for
 * sure. */
static void what_a_pattern_that_cannot_be_read_may_say_is_not_known(void **state)
{
    static const struct {
        const char *why;
        const char *queue;
        const char *policies;
        const char *operator_policies;
        bool is_doubtful;
    } rows[] = {
        {"it may be this one", "{}", "[" UNREADABLE("/", "queues") "]", "[]", true},
        {"an operator's, too", "{}", "[]", "[" UNREADABLE("/", "queues") "]", true},
        {"of streams", "{}", "[" UNREADABLE("/", "streams") "]", "[]", false},
        {"of another virtual host", "{}", "[" UNREADABLE("b", "queues") "]", "[]", false},
        {"a higher one matches", "{}", "[" UNREADABLE("/", "queues") "," MATCHING("1") "]", "[]",
         false},
        {"the broker says which", "{\"policy\":\"q\"}",
         "[" UNREADABLE("/", "queues") "," MATCHING("-1") "]", "[]", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        struct qe_json *array = parse(rows[i].policies);
        struct qe_json *operators = parse(rows[i].operator_policies);
        struct qe_rmq_policies policies = {0};
        struct qe_rmq_policies operator_policies = {0};
        struct qe_rmq_definition queue = {0};
        struct qe_queue told = {0};
        struct qe_err err = {0};

        (void)snprintf(text, sizeof text,
                       "{\"name\":\"q\",\"vhost\":\"/\",\"arguments\":{\"x-max-length\":5},%s",
                       rows[i].queue[1] == '}' ? "\"durable\":true}" : rows[i].queue + 1);
        struct qe_json *json = parse(text);

        assert_ok(qe_rmq_policies_parse(array, &policies, &err), err);
        assert_ok(qe_rmq_policies_parse(operators, &operator_policies, &err), err);
        assert_ok(qe_rmq_definition_parse(json, &queue, &err), err);
        assert_ok(qe_rmq_definition_apply(&queue, &policies, &operator_policies, 3, &err), err);
        qe_rmq_definition_tell(&queue, &told);
        if (queue.is_doubtful != rows[i].is_doubtful || told.may_refuse != rows[i].is_doubtful ||
            (queue.rules.max_length_messages < 0) != rows[i].is_doubtful) {
            fail_msg("%s", rows[i].why);
        }
        qe_rmq_definition_deinit(&queue);
        qe_rmq_policies_deinit(&policies);
        qe_rmq_policies_deinit(&operator_policies);
        qe_json_destroy(json);
        qe_json_destroy(operators);
        qe_json_destroy(array);
    }
}

/* --- recorded --- */

static void a_full_queue_that_refuses_is_known_by_arguments_and_policies(void **state)
{
    static const char policies_text[] =
        "[{\"vhost\":\"/\",\"name\":\"refuse\",\"pattern\":\"^p\",\"apply-to\":\"queues\","
        "\"priority\":1,\"definition\":{\"overflow\":\"reject-publish\"}}]";
    static const char operators_text[] =
        "[{\"vhost\":\"/\",\"name\":\"limit\",\"pattern\":\"limited$\",\"apply-to\":\"queues\","
        "\"priority\":1,\"definition\":{\"max-length\":5}}]";
    static const struct {
        const char *queue;
        bool refuses;
    } rows[] = {
        {Q("x", "", ""), false},
        {Q("p", "", ""), false}, /* never full */
        {Q("p.limited", "", ""), true},
        {Q("p", "\"x-max-length-bytes\":1", ""), true},
        {Q("p.limited", "\"x-overflow\":\"drop-head\"", ""), false},
        {Q("x.limited", "\"x-overflow\":\"reject-publish-dlx\"", ""), true},
        {Q("x.limited", "\"x-overflow\":7", ""), false},
    };
    struct qe_rmq_policies policies = {0};
    struct qe_rmq_policies operators = {0};
    struct qe_json *json = parse(policies_text);
    struct qe_err err = {0};

    (void)state;
    assert_ok(qe_rmq_policies_parse(json, &policies, &err), err);
    qe_json_destroy(json);
    json = parse(operators_text);
    assert_ok(qe_rmq_policies_parse(json, &operators, &err), err);
    qe_json_destroy(json);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_rmq_definition made;

        json = parse(rows[i].queue);
        assert_ok(qe_rmq_definition_parse(json, &made, &err), err);
        assert_ok(qe_rmq_definition_apply(&made, &policies, &operators, 3, &err), err);
        if (qe_rmq_definition_refuses(&made) != rows[i].refuses) {
            fail_msg("row %zu", i);
        }
        qe_rmq_definition_deinit(&made);
        qe_json_destroy(json);
    }
    qe_rmq_policies_deinit(&policies);
    qe_rmq_policies_deinit(&operators);
}

/* Known values by name; '-' for none; the count of all only where it is not their sum. */
static void reading_text(const struct qe_json *queue, char out[256])
{
    static const char *const names[QE_RMQ_VALUE_COUNT] = {
        "ready",     "unacked",   "pending", "consumers",   "bytes", "head",
        "published", "delivered", "acked",   "redelivered", "all"};
    struct qe_rmq_reading reading;
    size_t length = 0;

    qe_rmq_reading_parse(queue, &reading);
    (void)snprintf(out, 256, "%s", reading.is_down ? "down" : "-");
    length = strlen(out);
    for (size_t i = 0; i < QE_RMQ_VALUE_COUNT && length < 200; i++) {
        const bool is_sum =
            i == QE_RMQ_MESSAGES &&
            (long long)reading.values[i] ==
                (long long)(reading.values[QE_RMQ_READY] + reading.values[QE_RMQ_UNACKNOWLEDGED] +
                            reading.values[QE_RMQ_PENDING]);

        if (qe_rmq_has(&reading, (enum qe_rmq_value)i) && !is_sum) {
            length += (size_t)snprintf(out + length, 256 - length, " %s=%.15g", names[i],
                                       reading.values[i]);
        }
    }
}

static void check(const char *file, const struct row *rows)
{
    struct qe_json *json = recorded(file);

    for (; rows->queue != NULL; rows++) {
        const struct qe_json *at = qe_json_first(json);
        struct qe_rmq_definition made;
        struct qe_err err = {0};
        char text[256];

        for (; at != NULL; at = qe_json_next(at)) {
            const char *name = qe_json_text(qe_json_get(at, "name"));

            if (name != NULL && strcmp(name, rows->queue) == 0) {
                break;
            }
        }
        if (at == NULL) {
            fail_msg("%s: no %s", file, rows->queue);
        }
        assert_ok(qe_rmq_definition_parse(at, &made, &err), err);
        assert_int_equal(made.kind, rows->kind);
        reading_text(at, text);
        if (strcmp(text, rows->reading) != 0) {
            fail_msg("%s: %s: %s", file, rows->queue, text);
        }
        qe_rmq_definition_deinit(&made);
    }
    qe_json_destroy(json);
}

static void recorded_queues_say_what_they_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_recorded / sizeof s_recorded[0]; i++) {
        check(s_recorded[i].file, s_recorded[i].rows);
    }
}

/* For some seconds after a node is lost, 3.10 tells some members twice: the first is true. */
static void a_member_that_is_told_twice_is_taken_from_the_first(void **state)
{
    struct qe_json *json = recorded("3.10-duplicate-keys.raw.json");
    const struct qe_json *quorum = qe_json_next(qe_json_first(json));

    (void)state;
    assert_string_equal(qe_json_text(qe_json_get(quorum, "name")), "q3");
    assert_int_equal(qe_json_count(qe_json_get(quorum, "online")), 1);
    qe_json_destroy(json);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_rmq_policies policies = {0};
    struct qe_rmq_definition made = {0};
    int rc = 0;

    (void)context;
    struct qe_json *json = qe_json_parse(s_policies, strlen(s_policies), err);
    struct qe_json *queue =
        json == NULL ? NULL : qe_json_parse(Q("orders", "", ""), strlen(Q("orders", "", "")), err);

    if (queue == NULL || qe_rmq_policies_parse(json, &policies, err) != 0 ||
        qe_rmq_definition_parse(queue, &made, err) != 0 ||
        qe_rmq_definition_apply(&made, &policies, &policies, 3, err) != 0) {
        rc = -1;
    }
    qe_rmq_definition_deinit(&made);
    qe_rmq_policies_deinit(&policies);
    qe_json_destroy(json);
    qe_json_destroy(queue);
    return rc;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_come_from_arguments_policies_and_operator_policies),
        cmocka_unit_test(a_full_queue_that_refuses_is_known_by_arguments_and_policies),
        cmocka_unit_test(what_working_on_a_queue_goes_by_is_told_with_it),
        cmocka_unit_test(a_pattern_that_cannot_be_read_is_told_and_the_others_stand),
        cmocka_unit_test(what_a_pattern_that_cannot_be_read_may_say_is_not_known),
        cmocka_unit_test(recorded_queues_say_what_they_said),
        cmocka_unit_test(a_member_that_is_told_twice_is_taken_from_the_first),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return qe_shared_result(cmocka_run_group_tests(tests, NULL, NULL));
}
