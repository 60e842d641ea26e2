#include <string.h>

#include "http/landing.h"
#include "support/check.h"
#include "util/mem.h"

#define NOW_MS INT64_C(1800000000000)

struct age_row {
    int64_t age_ms;
    const char *text;
};

static void ages_are_short_and_whole(void **state)
{
    static const struct age_row s_rows[] = {
        {-5000, "0 s"},      {0, "0 s"},         {999, "0 s"},         {12999, "12 s"},
        {119999, "119 s"},   {120000, "2 min"},  {7199999, "119 min"}, {7200000, "2 h"},
        {172799999, "47 h"}, {172800000, "2 d"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_strbuf out;
        qe_strbuf_init(&out, 0);
        qe_landing_append_age(&out, s_rows[i].age_ms);
        assert_string_equal(qe_strbuf_text(&out), s_rows[i].text);
        qe_strbuf_deinit(&out);
    }
}

struct escape_row {
    const char *text;
    const char *html;
    const char *why;
};

static void text_cannot_become_markup(void **state)
{
    static const struct escape_row s_rows[] = {
        {"plain", "plain", "nothing to do"},
        {"<script>", "&lt;script&gt;", "elements"},
        {"\" onload='x'", "&quot; onload=&#39;x&#39;", "attributes"},
        {"a&lt;b", "a&amp;lt;b", "what is escaped stays visible"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "UTF-8 stays"},
        {"a\xc3", "a\xef\xbf\xbd", "cut in the middle of a character"},
        {"\xff<", "\xef\xbf\xbd&lt;", "no UTF-8"},
        {"\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd", "overlong '<'"},
        {"a\nb\x7f",
         "a\xef\xbf\xbd"
         "b\xef\xbf\xbd",
         "control characters"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_strbuf out;
        qe_strbuf_init(&out, 0);
        qe_landing_append_escaped(&out, s_rows[i].text);
        if (strcmp(qe_strbuf_text(&out), s_rows[i].html) != 0) {
            fail_msg("%s: %s", s_rows[i].why, qe_strbuf_text(&out));
        }
        qe_strbuf_deinit(&out);
    }
}

/* Three sources: one well, with two queues of which one is a dead-letter queue; one down; one new.
 */
struct scene {
    struct qe_queue queues[2];
    bool is_dead_letter_queue[2];
    struct qe_queue_set set;
    struct qe_queue_state states[2];
    struct qe_snapshot snapshots[3];
    struct qe_snapshot *pointers[3];
    struct qe_landing_facts facts;
};

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){.is_dead_letter_queue = {false, true}};
    scene->set.items = scene->queues;
    scene->set.count = 2;
    scene->set.is_dead_letter_queue = scene->is_dead_letter_queue;
    qe_sample_set(&scene->states[0].sample, QE_FIELD_READY_MESSAGES, 1000);
    qe_sample_set(&scene->states[1].sample, QE_FIELD_READY_MESSAGES, 40);
    qe_sample_set(&scene->states[1].sample, QE_FIELD_IN_FLIGHT_MESSAGES, 2);
    scene->snapshots[0] = (struct qe_snapshot){
        .source = "good", .backend = "embedded", .set = &scene->set, .states = scene->states};
    scene->snapshots[0].status = (struct qe_source_status){.polled = true,
                                                           .up = true,
                                                           .queues_listed = 77,
                                                           .queues_dropped = 5,
                                                           .last_success_unix_ms = NOW_MS - 12345};
    scene->snapshots[1] = (struct qe_snapshot){.source = "b<a>d", .backend = "embedded"};
    scene->snapshots[1].status.polled = true;
    (void)qe_err_set(&scene->snapshots[1].status.last_error, QE_ERR_NETWORK, "no <route> & more");
    scene->snapshots[1].status.method = "t<otals";
    scene->snapshots[2] = (struct qe_snapshot){.source = "new", .backend = "embedded"};
    for (size_t i = 0; i < 3; i++) {
        scene->pointers[i] = &scene->snapshots[i];
    }
    scene->facts = (struct qe_landing_facts){.version = "1.2.3",
                                             .telemetry_path = "/me&trics",
                                             .snapshots = scene->pointers,
                                             .snapshots_count = 3,
                                             .now_unix_ms = NOW_MS};
}

static void assert_contains(const struct qe_landing_page *page, const char *wanted)
{
    if (strstr(page->html, wanted) == NULL) {
        fail_msg("missing: %s\n%s", wanted, page->html);
    }
}

static void each_source_has_one_line_with_what_is_known(void **state)
{
    struct scene scene;
    struct qe_landing_page page = {0};
    struct qe_err err = {0};

    (void)state;
    scene_init(&scene);
    int rc = qe_landing_page_init(&page, &scene.facts, &err);
    assert_ok(rc, err);
    assert_int_equal(page.html_bytes, strlen(page.html));
    assert_contains(&page, "Version 1.2.3");
    assert_contains(&page, "href=\"/me&amp;trics\"");
    assert_contains(&page, "href=\"/config\"");
    assert_contains(&page, "href=\"/-/healthy\"");
    assert_contains(&page, "href=\"/-/ready\"");
    assert_contains(&page, "<tr><td>good</td><td>embedded</td><td class=\"up\">up</td>"
                           "<td class=\"n\">2</td><td class=\"n\">77</td>"
                           "<td class=\"n down\">5</td><td class=\"n\">42</td>"
                           "<td class=\"n\">12 s</td></tr>");
    assert_contains(&page, "<td>b&lt;a&gt;d</td><td>embedded, read by t&lt;otals</td>"
                           "<td class=\"down\">down</td>");
    assert_contains(&page,
                    "<td class=\"n\">never read</td></tr>\n"
                    "<tr class=\"error\"><td colspan=\"8\"><span class=\"down\">network</span>"
                    ": no &lt;route&gt; &amp; more</td></tr>\n");
    assert_contains(&page, "<td>new</td><td>embedded</td><td class=\"soft\">not polled yet</td>");
    assert_null(strstr(page.html, "<script"));
    assert_null(strstr(page.html, "http")); /* nothing from elsewhere */
    qe_landing_page_deinit(&page);
    qe_landing_page_deinit(&page);
}

static void long_error_is_whole_with_a_line_for_each_part(void **state)
{
    struct scene scene;
    struct qe_landing_page page = {0};
    struct qe_err err = {0};
    char message[QE_ERR_MESSAGE_BYTES + 200];

    (void)state;
    scene_init(&scene);
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    memcpy(message, "config: <no> keys; environment: A;B is not set; ", 48);
    (void)qe_err_set(&scene.snapshots[1].status.last_error, QE_ERR_AUTH, "%s", message);
    const char *end = scene.snapshots[1].status.last_error.message + 48;

    assert_true(strlen(end) > 900);
    int rc = qe_landing_page_init(&page, &scene.facts, &err);
    assert_ok(rc, err);
    assert_contains(&page,
                    "</span>: config: &lt;no&gt; keys;<br>environment: A;B is not set;<br>xxx");
    assert_contains(&page, end);
    qe_landing_page_deinit(&page);
}

static void depths_that_are_not_known_are_not_zero(void **state)
{
    struct scene scene;
    struct qe_landing_page page = {0};
    struct qe_err err = {0};

    (void)state;
    scene_init(&scene);
    scene.states[1].sample.known = 0;
    int rc = qe_landing_page_init(&page, &scene.facts, &err);
    assert_ok(rc, err);
    assert_contains(&page, "<td class=\"n down\">5</td><td class=\"n\">\xe2\x80\x93</td>");
    qe_landing_page_deinit(&page);
}

static void the_policy_lets_in_this_page_s_style_and_nothing_else(void **state)
{
    struct scene scene;
    struct qe_landing_page pages[2];
    struct qe_err err = {0};
    char nonce[33];

    (void)state;
    scene_init(&scene);
    for (size_t i = 0; i < 2; i++) {
        int rc = qe_landing_page_init(&pages[i], &scene.facts, &err);
        assert_ok(rc, err);
    }
    const char *start = strstr(pages[0].html, "<style nonce=\"");
    assert_non_null(start);
    memcpy(nonce, start + strlen("<style nonce=\""), 32);
    nonce[32] = '\0';
    assert_int_equal(strspn(nonce, "0123456789abcdef"), 32);
    assert_non_null(strstr(pages[0].policy, nonce));
    assert_null(strstr(pages[1].policy, nonce)); /* a new one for each page */
    assert_memory_equal(pages[0].policy, "default-src 'none';", 19);
    assert_null(strstr(pages[0].policy, "unsafe"));
    assert_non_null(strstr(pages[0].policy, "frame-ancestors 'none'")); /* not cut off */
    qe_landing_page_deinit(&pages[0]);
    qe_landing_page_deinit(&pages[1]);
}

static void without_a_source_it_says_what_to_do(void **state)
{
    struct qe_landing_facts facts = {.telemetry_path = "/metrics"};
    struct qe_landing_page page = {0};
    struct qe_err err = {0};

    (void)state;
    int rc = qe_landing_page_init(&page, &facts, &err);
    assert_ok(rc, err);
    assert_contains(&page, "No source is configured; add one under <code>sources:</code>");
    assert_contains(&page, "Version unknown");
    qe_landing_page_deinit(&page);
}

static int build_page(void *context, struct qe_err *err)
{
    struct qe_landing_page page = {0};
    int rc = qe_landing_page_init(&page, context, err);

    if (rc != 0) {
        assert_null(page.html);
    }
    qe_landing_page_deinit(&page);
    return rc;
}

static void running_out_of_memory_is_reported(void **state)
{
    struct scene scene;

    (void)state;
    scene_init(&scene);
    qe_check_torture(build_page, &scene.facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages_are_short_and_whole),
        cmocka_unit_test(text_cannot_become_markup),
        cmocka_unit_test(each_source_has_one_line_with_what_is_known),
        cmocka_unit_test(long_error_is_whole_with_a_line_for_each_part),
        cmocka_unit_test(depths_that_are_not_known_are_not_zero),
        cmocka_unit_test(the_policy_lets_in_this_page_s_style_and_nothing_else),
        cmocka_unit_test(without_a_source_it_says_what_to_do),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
