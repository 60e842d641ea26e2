/* The option table of RabbitMQ through the real loader, where nodes' metrics are found, and what is
 * sent and answered. */
#include <stdio.h>
#include <string.h>

#include "backend/rabbitmq/internal.h"
#include "config/config.h"
#include "support/check.h"
#include "util/mem.h"

static const struct qe_source_type s_type = {.name = "rabbitmq", .section = &qe_rmq_section};

static struct qe_config *load(const char *keys, struct qe_strbuf *errors)
{
    char text[2048];

    (void)snprintf(text, sizeof text, "sources:\n  - name: shop\n    type: rabbitmq\n%s", keys);
    qe_strbuf_init(errors, 0);
    return qe_config_load_text("test.yml", text, strlen(text), &s_type, 1, errors);
}

static void nothing_but_the_type_is_enough(void **state)
{
    struct qe_strbuf errors;
    struct qe_config *config = load("", &errors);

    (void)state;
    assert_non_null(config);
    const struct qe_rmq_settings *own = config->sources[0].driver_settings;
    assert_string_equal(own->management_url, "http://127.0.0.1:15672");
    assert_string_equal(own->username, "guest");
    assert_null(own->password);
    assert_int_equal(own->metrics_urls.count, 0);
    assert_int_equal(own->vhosts.count, 0);
    assert_int_equal(own->method, QE_RMQ_AUTO);
    assert_double_equal(own->statistics_max_load, 0.005);
    assert_false(own->exclusive_queues);
    assert_int_equal(own->delay_method, QE_RMQ_DELAY_QUEUES); /* which lose nothing */
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
}

static void everything_can_be_said(void **state)
{
    struct qe_strbuf errors;
    struct qe_config *config =
        load("    management_url: https://rabbit.example/api-prefix/\n"
             "    metrics_urls: [\"http://a:15692\", \"http://[::1]:15692\"]\n"
             "    username: watcher\n    password: s3cret\n    vhosts: [\"/\", a/b]\n"
             "    method: totals\n    statistics_max_load: 0.1\n    exclusive_queues: true\n"
             "    delay_method: plugin\n"
             "    tls: {ca_file: /ca.pem, cert_file: /c.pem, key_file: /k.pem}\n",
             &errors);

    (void)state;
    assert_string_equal(qe_strbuf_text(&errors), "");
    const struct qe_rmq_settings *own = config->sources[0].driver_settings;
    assert_int_equal(own->metrics_urls.count, 2);
    assert_string_equal(own->vhosts.items[1], "a/b");
    assert_int_equal(own->method, QE_RMQ_TOTALS);
    assert_true(own->exclusive_queues);
    assert_int_equal(own->delay_method, QE_RMQ_DELAY_PLUGIN);
    assert_string_equal(own->tls.key_file, "/k.pem");
    qe_config_destroy(config);
    qe_strbuf_deinit(&errors);
}

static void what_cannot_be_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *keys;
        const char *message;
    } rows[] = {
        {"    management_url: rabbit:15672\n", "management_url: must begin with http"},
        {"    management_url: \"http://u:p@rabbit\"\n", "management_url: must not hold a user"},
        {"    management_url: \"http:///api\"\n", "management_url: names no host"},
        {"    management_url: \"http://r/?x\"\n", "management_url: must not hold a user, a query"},
        {"    metrics_urls: [a]\n", "metrics_urls: URL \"a\" must begin with http"},
        {"    metrics_urls: [\"http://u:p@rabbit1:15692\"]\n",
         "metrics_urls: URL \"http://...@rabbit1:15692\" must not hold a user"},
        {"    username: \"a:b\"\n", "username: must not hold a colon"},
        {"    vhosts: [\"/\", \"/\"]\n", "vhosts: virtual host \"/\" appears twice"},
        {"    vhosts: [\"\"]\n", "vhosts"},
        {"    method: fast\n", "method"},
        {"    delay_method: later\n", "delay_method"},
        {"    statistics_max_load: 2\n", "statistics_max_load"},
        {"    tls: {cert_file: /c.pem}\n", "cert_file and key_file go together"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_strbuf errors;
        struct qe_config *config = load(rows[i].keys, &errors);

        assert_null(config);
        if (strstr(qe_strbuf_text(&errors), rows[i].message) == NULL ||
            strstr(qe_strbuf_text(&errors), "test.yml:4:") == NULL) {
            fail_msg("row %zu: %s", i, qe_strbuf_text(&errors));
        }
        qe_strbuf_deinit(&errors);
    }
}

static void a_refused_address_is_shown_without_its_password(void **state)
{
    static const char *const rows[] = {
        "    management_url: \"http://u:s3cret@rabbit:15672\"\n",
        "    management_url: \"rabbit:15672/?password=s3cret\"\n",
        "    management_url: \"http://u:s3cret@rabbit\\x01\"\n",
        "    amqp_url: \"amqp://u:s3cret@rabbit\"\n",
        "    amqp_url: \"http://u:s3cret@rabbit\"\n",
        "    amqp_url: \"amqp://u:s3cret\"\n",
        "    metrics_urls: [\"http://u:s3cret@rabbit1:15692\"]\n",
        "    metrics_urls: [\"http://a:15692\", \"u:s3cret@rabbit1:15692\"]\n",
        "    metrics_urls: [\"http://u:p@s3cret@rabbit1:15692\"]\n",
        "    metrics_urls: [\"http://u:s3cret?/#@rabbit1:15692\"]\n",
        "    metrics_urls: [\"http://rabbit1:15692/?token=s3cret\"]\n",
        "    metrics_urls: [\"http://rabbit1:15692/#s3cret\"]\n",
        "    metrics_urls: [\"http://u:s3cret@rabbit1\\x01\"]\n",
        "    metrics_urls: \"http://u:s3cret@rabbit1:15692\"\n",
        "    metrics_urls: {\"http://u:s3cret@rabbit1:15692\": x}\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_strbuf errors;
        struct qe_config *config = load(rows[i], &errors);

        if (config != NULL || strstr(qe_strbuf_text(&errors), "test.yml:4:") == NULL ||
            strstr(qe_strbuf_text(&errors), "s3cret") != NULL) {
            fail_msg("row %zu: %s", i, qe_strbuf_text(&errors));
        }
        qe_strbuf_deinit(&errors);
    }
}

/* --- where nodes' metrics are --- */

#define LISTENER(node, protocol, ip, port)                                                         \
    "{\"node\":\"" node "\",\"protocol\":\"" protocol "\",\"ip_address\":\"::\",\"port\":" port    \
    ",\"socket_opts\":{" ip "\"port\":" port "}}"
#define IP(address) "\"ip\":\"" address "\","

static void listeners_tell_where_metrics_are(void **state)
{
    static const struct {
        const char *base_url;
        size_t nodes_count;
        const char *listeners;
        const char *urls;
        const char *why;
    } rows[] = {
        {"http://rabbit:15672", 1, "", "", "no plugin"},
        {"http://rabbit:15672", 1, LISTENER("r@a", "http", "", "15672"), "", "only the API"},
        {"http://rabbit:15672", 1, LISTENER("r@a", "http/prometheus", "", "15692"),
         "http://rabbit:15692 ", "the only node: where the API is"},
        {"http://rabbit:15672", 1, LISTENER("r@a", "https/prometheus", "", "15691"),
         "https://rabbit:15691 ", "TLS"},
        {"http://lb:80", 2,
         LISTENER("r@a", "http/prometheus", "", "15692") "," LISTENER("r@b", "http/prometheus", "",
                                                                      "15692"),
         "http://a:15692 http://b:15692 ", "several nodes: the hosts in their names"},
        {"http://rabbit:15672", 2, LISTENER("r@a", "http/prometheus", IP("10.0.0.7"), "15692"),
         "http://10.0.0.7:15692 ", "bound to an address"},
        {"http://rabbit:15672", 1, LISTENER("r@a", "http/prometheus", IP("127.0.0.1"), "15692"), "",
         "bound to its loopback, which is not ours"},
        {"http://127.0.0.1:15672", 1, LISTENER("r@a", "http/prometheus", IP("127.0.0.1"), "15692"),
         "http://127.0.0.1:15692 ", "bound to the loopback, which is ours"},
        {"http://[::1]:15672", 1, LISTENER("r@a", "http/prometheus", IP("::"), "15692"),
         "http://[::1]:15692 ", "IPv6"},
        {"http://rabbit:15672", 2, LISTENER("r@a\\r\\nHost: x", "http/prometheus", "", "15692"), "",
         "no name of a host"},
        {"http://rabbit:15672", 1, LISTENER("r@a", "http/prometheus", "", "99999"), "", "no port"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct qe_rmq_settings settings = {0};
        struct qe_rmq self = {.settings = &settings};
        struct qe_strbuf text = {0};
        struct qe_strbuf urls = {0};
        struct qe_err err = {0};

        self.base_url = qe_strdup(rows[i].base_url);
        self.nodes.count = rows[i].nodes_count; /* nothing but their number is looked at */
        (void)qe_strbuf_printf(&text, "{\"listeners\":[%s]}", rows[i].listeners);
        struct qe_json *json = qe_json_parse(qe_strbuf_text(&text), text.length_bytes, &err);

        assert_ok(json == NULL ? -1 : 0, err);
        assert_ok(qe_rmq_find_endpoints(&self, json, &err), err);
        for (size_t j = 0; j < self.endpoints_count; j++) {
            assert_false(self.endpoints[j].is_configured);
            (void)qe_strbuf_printf(&urls, "%s ", self.endpoints[j].url);
        }
        if (strcmp(qe_strbuf_text(&urls), rows[i].urls) != 0) {
            fail_msg("%s: %s", rows[i].why, qe_strbuf_text(&urls));
        }
        qe_rmq_forget_endpoints(&self);
        qe_json_destroy(json);
        qe_strbuf_deinit(&text);
        qe_strbuf_deinit(&urls);
        qe_free(self.base_url);
    }
}

/* --- what is sent, and what an answer means --- */

static void names_are_escaped(void **state)
{
    static const struct {
        const char *part;
        const char *url;
    } rows[] = {{"/", "b/q/%2F/x"},
                {"a/b", "b/q/a%2Fb/x"},
                {"\xC3\xBC", "b/q/%C3%BC/x"},
                {"a b+%?#&=", "b/q/a%20b%2B%25%3F%23%26%3D/x"},
                {"-._~09azAZ", "b/q/-._~09azAZ/x"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_rmq_call call = {0};
        struct qe_err err = {0};

        assert_ok(qe_rmq_call_init(&call, QE_RMQ_QUEUES, "b", "/q/%s/x", rows[i].part, &err), err);
        assert_string_equal(call.url, rows[i].url);
        qe_rmq_call_deinit(&call);
    }
}

static void user_and_password_are_encoded(void **state)
{
    static const struct {
        const char *user;
        const char *password;
        const char *header;
    } rows[] = {{"guest", "guest", "Basic Z3Vlc3Q6Z3Vlc3Q="},
                {"a", "", "Basic YTo="},
                {"ab", "c", "Basic YWI6Yw=="},
                {"Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};
        struct qe_secret *made = qe_rmq_authorization(rows[i].user, rows[i].password, &err);

        assert_ok(made == NULL ? -1 : 0, err);
        assert_string_equal(qe_secret_bytes(made), rows[i].header);
        qe_secret_destroy(made);
    }
}

static void an_answer_that_is_not_good_says_what_it_is(void **state)
{
    static const struct {
        unsigned status;
        bool is_text;
        const char *body;
        enum qe_err_code code;
        const char *says;
    } rows[] = {
        {200, false, " \r\n[]", QE_OK, ""},
        {200, true, "anything", QE_OK, ""},
        {200, false, "<html>", QE_ERR_PROTOCOL, "u answered 200, but not with JSON"},
        {200, false, "", QE_ERR_PROTOCOL, "not with JSON"},
        {401, false, "{\"error\":\"not_authorized\",\"reason\":\"Login failed\"}", QE_ERR_AUTH,
         "u refused with 401: Login failed"},
        {401, true, "{\"error\":\"not_authorised\"}", QE_ERR_AUTH, "401: not_authorised"},
        {403, false, "<html>", QE_ERR_AUTH, "no reason given"},
        {404, false, "{\"error\":\"Object Not Found\"}", QE_ERR_NOT_FOUND, "not there (404)"},
        {429, false, "", QE_ERR_THROTTLED, "429"},
        {500, false, "oops", QE_ERR_NETWORK, "u answered 500"},
        {504, false, "", QE_ERR_NETWORK, "504"},
        {301, false, "", QE_ERR_PROTOCOL, "301"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};

        (void)(qe_rmq_judge(rows[i].status, rows[i].is_text, "u", rows[i].body,
                            strlen(rows[i].body), &err) == 0);
        if (err.code != rows[i].code || strstr(err.message, rows[i].says) == NULL) {
            fail_msg("row %zu: %s", i, err.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_the_type_is_enough),
        cmocka_unit_test(everything_can_be_said),
        cmocka_unit_test(what_cannot_be_is_refused_with_its_place),
        cmocka_unit_test(a_refused_address_is_shown_without_its_password),
        cmocka_unit_test(listeners_tell_where_metrics_are),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(user_and_password_are_encoded),
        cmocka_unit_test(an_answer_that_is_not_good_says_what_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
