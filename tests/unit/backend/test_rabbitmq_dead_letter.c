/* Where a queue dead-letters into: by every kind of exchange, and what it says when that is
 * nowhere, or cannot be known. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/dead_letter.h"
#include "support/check.h"
#include "util/mem.h"

#define X(name, type, more)                                                                        \
    "{\"vhost\":\"/\",\"name\":\"" name "\",\"type\":\"" type "\",\"arguments\":{" more "}}"
#define B(source, kind, destination, key)                                                          \
    "{\"vhost\":\"/\",\"source\":\"" source "\",\"destination\":\"" destination                    \
    "\",\"destination_type\":\"" kind "\",\"routing_key\":\"" key "\"}"
#define Q(name, arguments) "{\"vhost\":\"/\",\"name\":\"" name "\",\"arguments\":{" arguments "}}"
#define DLX(exchange) "\"x-dead-letter-exchange\":\"" exchange "\""
#define RK(key) ",\"x-dead-letter-routing-key\":\"" key "\""

/* It would set strings beside macros deeper and deeper. */
/* clang-format off */
static const char s_exchanges[] =
    "[" X("", "direct", "") ","
    X("direct", "direct", "") ","
    X("fanout", "fanout", "") ","
    X("topic", "topic", "") ","
    X("headers", "headers", "") ","
    X("first", "direct", "") ","
    X("round", "fanout", "") ","
    X("alone", "direct", "\"alternate-exchange\":\"fanout\"") ","
    X("end", "direct", "\"alternate-exchange\":\"\"") ","
    X("bare", "direct", "") ","
    X("in", "topic", "") ","
    X("plugin", "x-random", "") ","
    X("later", "x-delayed-message", "\"x-delayed-type\":\"direct\"") ","
    X("broken", "x-delayed-message", "") "]";
static const char s_bindings[] =
    "[" B("", "queue", "a", "a") ","
    B("direct", "queue", "a", "ka") ","
    B("direct", "queue", "b", "kb") ","
    B("direct", "queue", "c", "orders") ","
    B("fanout", "queue", "a", "") ","
    B("fanout", "queue", "b", "x") ","
    B("topic", "queue", "a", "dead.#") ","
    B("topic", "queue", "b", "*.orders") ","
    B("headers", "queue", "c", "") ","
    B("first", "exchange", "direct", "k") ","
    B("first", "exchange", "fanout", "f") ","
    B("round", "exchange", "round", "") ","
    B("round", "queue", "b", "") ","
    B("in", "queue", "routed", "ka") ","
    B("in", "queue", "anykey", "ka.#") ","
    B("plugin", "queue", "c", "z") ","
    B("later", "queue", "b", "kb") ","
    B("later", "queue", "c", "kc") ","
    B("broken", "queue", "c", "z") "]";
/* clang-format on */

struct scene {
    struct qe_rmq_topology topology;
    struct qe_rmq_table *table;
};

static int parse(const char *text, struct qe_json **out, struct qe_err *err)
{
    *out = qe_json_parse(text, strlen(text), err);
    return *out == NULL ? -1 : 0;
}

static int add_queue(struct scene *scene, const char *text, struct qe_err *err)
{
    struct qe_json *json = NULL;
    struct qe_rmq_definition definition;
    int rc = parse(text, &json, err);

    if (rc == 0) {
        rc = qe_rmq_definition_parse(json, &definition, err);
    }
    if (rc == 0) {
        rc = qe_rmq_table_add_take(scene->table, &definition, err);
    }
    qe_json_destroy(json);
    return rc;
}

static void scene_deinit(struct scene *scene)
{
    qe_rmq_topology_deinit(&scene->topology);
    qe_rmq_table_destroy(scene->table);
    *scene = (struct scene){0};
}

static int scene_init(struct scene *scene, const char *own, struct qe_err *err)
{
    const struct qe_rmq_policies none = {0};
    struct qe_json *exchanges = NULL;
    struct qe_json *bindings = NULL;
    int rc = parse(s_exchanges, &exchanges, err);

    *scene = (struct scene){.table = qe_rmq_table_new(err)};
    if (rc != 0 || scene->table == NULL || parse(s_bindings, &bindings, err) != 0 ||
        qe_rmq_topology_add_exchanges(&scene->topology, exchanges, &none, err) != 0 ||
        qe_rmq_topology_add_bindings(&scene->topology, bindings, err) != 0 ||
        qe_rmq_topology_seal(&scene->topology, err) != 0 ||
        add_queue(scene, Q("a", ""), err) != 0 || add_queue(scene, Q("b", ""), err) != 0 ||
        add_queue(scene, Q("c", ""), err) != 0 || add_queue(scene, own, err) != 0) {
        rc = -1;
        scene_deinit(scene);
    }
    qe_json_destroy(exchanges);
    qe_json_destroy(bindings);
    return rc;
}

/* "a b", "-": has none, "?": not known, "!": lost */
static void found_text(const struct qe_rmq_dead_letters *found, char out[64])
{
    size_t length = 0;

    out[0] = '\0';
    if (found->targets.count == 0) {
        (void)snprintf(out, 64, "%s", found->is_unroutable ? "!" : found->is_known ? "-" : "?");
    }
    for (size_t i = 0; i < found->targets.count && length < 50; i++) {
        length += (size_t)snprintf(out + length, 64 - length, "%s%s", i > 0 ? " " : "",
                                   found->targets.names[i]);
    }
}

static void every_kind_of_exchange_is_followed(void **state)
{
    static const struct {
        const char *name;
        const char *queue;
        const char *found;
        const char *why;
    } rows[] = {
        {"q", Q("q", ""), "-", "no dead-letter exchange"},
        {"q", Q("q", DLX("") RK("b")), "b", "default exchange"},
        {"q", Q("q", DLX("") RK("nobody")), "!", "default exchange, no such queue"},
        {"q", Q("q", DLX("")), "?", "default exchange, the messages' own keys"},
        {"q", Q("q", DLX("") RK("q")), "-", "to itself: goes round"},
        {"q", Q("q", DLX("direct") RK("kb")), "b", "direct"},
        {"q", Q("q", DLX("direct") RK("nokey")), "!", "direct, no such key"},
        {"q", Q("q", DLX("fanout") RK("any")), "a b", "fanout"},
        {"q", Q("q", DLX("fanout")), "a b", "fanout, the messages' own keys"},
        {"q", Q("q", DLX("topic") RK("dead.x.y")), "a", "topic, many words"},
        {"q", Q("q", DLX("topic") RK("dead.orders")), "b a", "topic, twice"},
        {"q", Q("q", DLX("topic") RK("live.x")), "!", "topic, no match"},
        {"q", Q("q", DLX("headers") RK("any")), "c", "headers: each binding may match"},
        {"q", Q("q", DLX("plugin") RK("any")), "c", "an exchange of a plugin"},
        {"q", Q("q", DLX("later") RK("kb")), "b", "a delayed exchange hands on as its own type"},
        {"q", Q("q", DLX("broken") RK("any")), "c", "or as any, where it names none"},
        {"q", Q("q", DLX("first") RK("k")), "!", "exchange to exchange, key lost at the second"},
        {"q", Q("q", DLX("first") RK("f")), "a b", "exchange to exchange"},
        {"q", Q("q", DLX("round") RK("x")), "b", "a ring of exchanges"},
        {"q", Q("q", DLX("alone") RK("x")), "a b", "by the alternate exchange"},
        {"q", Q("q", DLX("end") RK("a")), "!", "the default exchange is nobody's alternate"},
        {"q", Q("q", DLX("bare") RK("x")), "!", "an exchange without bindings"},
        {"q", Q("q", DLX("missing") RK("x")), "!", "no such exchange"},
        {"orders", Q("orders", DLX("direct")), "c", "published straight to it: key is its name"},
        {"routed", Q("routed", DLX("direct")), "a", "with the keys of its bindings"},
        {"anykey", Q("anykey", DLX("direct")), "a b c", "keys that nobody tells: all it may reach"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene scene;
        struct qe_rmq_dead_letters found;
        struct qe_err err = {0};
        char text[64];

        assert_ok(scene_init(&scene, rows[i].queue, &err), err);
        qe_rmq_dead_letters_find(&scene.topology, scene.table,
                                 &qe_rmq_table_get(scene.table, "/", rows[i].name)->definition,
                                 &found);
        found_text(&found, text);
        if (strcmp(text, rows[i].found) != 0) {
            fail_msg("%s: %s", rows[i].why, text);
        }
        scene_deinit(&scene);
    }
}

static void without_a_topology_nothing_is_said(void **state)
{
    struct scene scene;
    struct qe_rmq_dead_letters found;
    struct qe_err err = {0};

    (void)state;
    assert_ok(scene_init(&scene, Q("q", DLX("direct") RK("kb")), &err), err);
    qe_rmq_dead_letters_find(NULL, scene.table,
                             &qe_rmq_table_get(scene.table, "/", "q")->definition, &found);
    assert_false(found.is_known || found.is_unroutable);
    assert_int_equal(found.targets.count, 0);
    scene_deinit(&scene);
}

static void topics_match_word_by_word(void **state)
{
    static const struct {
        const char *pattern;
        const char *key;
        bool matches;
    } rows[] = {
        {"#", "", true},           {"#", "a.b.c", true},       {"*", "a", true},
        {"*", "", false},          {"*", "a.b", false},        {"a.*", "a", false},
        {"a.#", "a", true},        {"a.#.b", "a.b", true},     {"a.#.b", "a.x.y.b", true},
        {"a.#.b", "a.b.c", false}, {"#.b.#", "a.b.b.c", true}, {"#.b", "b.b.b", true},
        {"a", "A", false},         {"*.*", "a.", true},        {"", "", true},
        {"", "a", false},          {"a*", "ab", false},        {"#.#", "a", true},
        {"a.#.*", "a", false},     {"a.#.*", "a.b", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (qe_rmq_topic_matches(rows[i].pattern, rows[i].key) != rows[i].matches) {
            fail_msg("%s, %s", rows[i].pattern, rows[i].key);
        }
    }
}

static int build(void *context, struct qe_err *err)
{
    struct scene scene;

    (void)context;
    if (scene_init(&scene, Q("q", DLX("first") RK("f")), err) != 0) {
        return -1;
    }
    scene_deinit(&scene);
    return 0;
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    qe_check_torture(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_exchange_is_followed),
        cmocka_unit_test(without_a_topology_nothing_is_said),
        cmocka_unit_test(topics_match_word_by_word),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
