/* Where a broker is. */
#include <string.h>

#include "backend/rabbitmq/amqp_url.h"
#include "support/check.h"

static void an_address_says_host_port_and_whether_tls(void **state)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        int port;
        bool is_tls;
        const char *why;
    } s_rows[] = {
        {"amqp://rabbit", "rabbit", 5672, false, "the port that AMQP has"},
        {"amqps://rabbit", "rabbit", 5671, true, "and with TLS"},
        {"amqp://rabbit:5673/", "rabbit", 5673, false, "a slash behind is common"},
        {"amqp://10.0.0.1:1", "10.0.0.1", 1, false, "an address"},
        {"amqps://[::1]:5671", "::1", 5671, true, "in brackets"},
        {"amqps://[fe80::1]", "fe80::1", 5671, true, "and without a port"},
        {"amqp://", NULL, 0, false, "no host"},
        {"amqp://:5672", NULL, 0, false, "no host"},
        {"amqp:///", NULL, 0, false, "no host"},
        {"http://rabbit", NULL, 0, false, "another protocol"},
        {"rabbit:5672", NULL, 0, false, "none"},
        {"amqp://user:secret@rabbit", NULL, 0, false, "a password belongs into a secret"},
        {"amqp://rabbit/orders", NULL, 0, false, "vhosts are named with each queue"},
        {"amqp://rabbit:0", NULL, 0, false, "no port"},
        {"amqp://rabbit:65536", NULL, 0, false, "no port"},
        {"amqp://rabbit:", NULL, 0, false, "no port"},
        {"amqp://rabbit:5672x", NULL, 0, false, "no port"},
        {"amqp://rabbit:123456789", NULL, 0, false, "no port"},
        {"amqp://[::1", NULL, 0, false, "no end"},
        {"amqp://[::1]x", NULL, 0, false, "what is that"},
        {"amqp://rabbit?heartbeat=1", NULL, 0, false, "what would be ignored"},
        {"amqp://a b", NULL, 0, false, "a blank"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_amqp_url url = {.port = 77};
        struct qe_err err = {0};
        const int rc = qe_amqp_url_parse(s_rows[i].text, &url, &err);

        if ((rc == 0) != (s_rows[i].host != NULL)) {
            fail_msg("%s: %s", s_rows[i].text, s_rows[i].why);
        }
        if (s_rows[i].host == NULL) {
            assert_int_equal(err.code, QE_ERR_INVALID);
            assert_null(strstr(err.message, "secret")); /* an error is read by others */
            assert_int_equal(url.port, 77);
            continue;
        }
        assert_string_equal(url.host, s_rows[i].host);
        assert_int_equal(url.port, s_rows[i].port);
        assert_int_equal(url.is_tls, s_rows[i].is_tls);
    }
}

static void a_host_has_an_end(void **state)
{
    char text[400] = "amqp://";
    struct qe_amqp_url url;
    struct qe_err err = {0};

    (void)state;
    memset(text + 7, 'a', 256);
    assert_int_equal(qe_amqp_url_parse(text, &url, &err), -1);
    text[7 + 255] = '\0';
    assert_ok(qe_amqp_url_parse(text, &url, &err), err);
    assert_int_equal(strlen(url.host), 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_says_host_port_and_whether_tls),
        cmocka_unit_test(a_host_has_an_end),
    };
    return cmocka_run_group_tests_name("amqp url", tests, NULL, NULL);
}
