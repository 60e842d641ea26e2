#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/listen.h"
#include "support/check.h"

struct parse_row {
    const char *text;
    const char *host;
    int port; /* < 0: refused */
};

static void addresses_are_read_as_users_write_them(void **state)
{
    static const struct parse_row s_rows[] = {
        {":10019", "", 10019},
        {"127.0.0.1:9090", "127.0.0.1", 9090},
        {"[::1]:9090", "::1", 9090},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"localhost:0", "localhost", 0},
        {":65535", "", 65535},
        {"", "", -1},
        {"10019", "", -1},
        {":", "", -1},
        {"host:", "", -1},
        {":65536", "", -1},
        {":-1", "", -1},
        {":+1", "", -1},
        {": 1", "", -1},
        {":http", "", -1},
        {"::1:9090", "", -1},
        {"[::1]", "", -1},
        {"[::1]9090", "", -1},
        {"[]:1", "", -1},
        {"[::1:9090", "", -1},
        {"http://a:1", "", -1},
        {"a b:1", "", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof s_rows / sizeof s_rows[0]; i++) {
        struct qe_listen_address address;
        struct qe_err err = {0};
        int rc = qe_listen_parse(s_rows[i].text, &address, &err);
        if ((rc == 0) != (s_rows[i].port >= 0)) {
            fail_msg("\"%s\": rc %d %s", s_rows[i].text, rc, err.message);
        }
        if (rc == 0) {
            assert_string_equal(address.host, s_rows[i].host);
            assert_int_equal(address.port, s_rows[i].port);
        } else {
            assert_int_equal(err.code, QE_ERR_INVALID);
            assert_non_null(strstr(err.message, s_rows[i].text));
            assert_non_null(strstr(err.message, ":10019")); /* how to write it */
        }
    }
}

static void a_host_longer_than_any_name_is_refused(void **state)
{
    char text[QE_LISTEN_HOST_MAX_BYTES + 8];
    struct qe_listen_address address;
    struct qe_err err = {0};

    (void)state;
    memset(text, 'a', QE_LISTEN_HOST_MAX_BYTES);
    (void)snprintf(text + QE_LISTEN_HOST_MAX_BYTES, 8, ":1");
    assert_int_equal(qe_listen_parse(text, &address, &err), -1);
}

static void port_zero_gets_a_free_port(void **state)
{
    static const char *const s_addresses[] = {":0", "127.0.0.1:0", "localhost:0"};

    (void)state;
    for (size_t i = 0; i < sizeof s_addresses / sizeof s_addresses[0]; i++) {
        struct qe_err err = {0};
        unsigned port = 0;
        int fd = qe_listen_open(s_addresses[i], &port, &err);
        assert_ok(fd < 0 ? -1 : 0, err);
        assert_in_range(port, 1, 65535);
        assert_int_equal(close(fd), 0);
    }
}

static void a_port_in_use_is_named_with_what_to_do(void **state)
{
    struct qe_err err = {0};
    unsigned port = 0;
    char again[64];

    (void)state;
    int fd = qe_listen_open("127.0.0.1:0", &port, &err);
    assert_ok(fd < 0 ? -1 : 0, err);
    (void)snprintf(again, sizeof again, "127.0.0.1:%u", port);
    assert_int_equal(qe_listen_open(again, &port, &err), -1);
    assert_non_null(strstr(err.message, again));
    assert_non_null(strstr(err.message, "in use"));
    assert_non_null(strstr(err.message, "--web.listen-address"));
    assert_int_equal(close(fd), 0);
}

static void an_address_of_another_host_is_named(void **state)
{
    struct qe_err err = {0};
    unsigned port = 0;

    (void)state;
    assert_int_equal(qe_listen_open("192.0.2.1:0", &port, &err), -1); /* TEST-NET-1 */
    assert_non_null(strstr(err.message, "192.0.2.1:0"));
    assert_non_null(strstr(err.message, "does not have that address"));
}

static void any_address_takes_both_families(void **state)
{
    struct qe_err err = {0};
    unsigned port = 0;
    unsigned other = 0;
    char text[64];

    (void)state;
    int v6 = qe_listen_open("[::1]:0", &other, &err);
    if (v6 < 0) {
        print_message("skipped: this host has no IPv6 loopback (%s)\n", err.message);
        skip();
    }
    assert_int_equal(close(v6), 0);
    int fd = qe_listen_open(":0", &port, &err);
    assert_ok(fd < 0 ? -1 : 0, err);
    /* Taken in both families by the one socket. */
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_int_equal(qe_listen_open(text, &other, &err), -1);
    (void)snprintf(text, sizeof text, "[::1]:%u", port);
    assert_int_equal(qe_listen_open(text, &other, &err), -1);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_as_users_write_them),
        cmocka_unit_test(a_host_longer_than_any_name_is_refused),
        cmocka_unit_test(port_zero_gets_a_free_port),
        cmocka_unit_test(a_port_in_use_is_named_with_what_to_do),
        cmocka_unit_test(an_address_of_another_host_is_named),
        cmocka_unit_test(any_address_takes_both_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
