/* Clients that mean no good, or are just unlucky: nothing leaks (the fixture counts, the sanitizers
 * look) and the others are served. */
#include <sched.h>
#include <time.h>

#include "unit/http/fixture.h"

#define READERS_COUNT 200
/* A client that does not read: the kernel keeps little for it, so the reply stays under way. */
#define SLOW_READER_BYTES 4096

static const struct qe_http_options s_defaults;

static void pause_ms(long ms)
{
    const struct timespec step = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&step, NULL);
}

static void wait_for_count(const atomic_uint *counter, unsigned at_least)
{
    int64_t deadline_ms = qe_clock_mono_ms() + CLIENT_TIMEOUT_MS;

    while (atomic_load(counter) < at_least) {
        assert_true(qe_clock_mono_ms() < deadline_ms);
        (void)sched_yield();
    }
}

/* True when the server has ended the connection; never waits. */
static bool is_closed(int fd)
{
    char byte;
    ssize_t count = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

    return count == 0 || (count < 0 && errno != EAGAIN);
}

/* Sends `text` byte by byte, one each 20 ms and again from its start, until the server ends it.
 * Returns how long that took. */
static int64_t dribble(int fd, const char *text)
{
    int64_t start_ms = qe_clock_mono_ms();
    size_t length = strlen(text);

    for (size_t i = 0; !is_closed(fd); i++) {
        assert_true(qe_clock_mono_ms() - start_ms < CLIENT_TIMEOUT_MS);
        (void)send(fd, &text[i % length], 1, MSG_NOSIGNAL);
        pause_ms(20);
    }
    return qe_clock_mono_ms() - start_ms;
}

static void a_head_that_dribbles_in_is_cut_off(void **state)
{
    struct qe_http_options options = {.header_deadline_ms = 300};
    struct fixture *fixture = fixture_start(&options);

    (void)state;
    int fd = client_connect(fixture->port);
    assert_in_range(dribble(fd, "G"), 250, CLIENT_TIMEOUT_MS - 1);
    (void)close(fd);
    fd = client_connect(fixture->port);
    client_send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
    (void)dribble(fd, "x");
    (void)close(fd);
    fixture_stop(fixture);
}

static void a_body_that_dribbles_in_is_cut_off(void **state)
{
    struct qe_http_options options = {.header_deadline_ms = 300};
    struct fixture *fixture = fixture_start(&options);

    (void)state;
    int fd = client_connect(fixture->port);
    client_send_text(fd, "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
    (void)dribble(fd, "x");
    (void)close(fd);
    assert_int_equal(atomic_load(&fixture->slow_started), 0);
    fixture_stop(fixture);
}

static void a_second_request_that_dribbles_in_is_cut_off(void **state)
{
    struct qe_http_options options = {.header_deadline_ms = 200, .idle_timeout_ms = 1000};
    struct fixture *fixture = fixture_start(&options);
    char reply[1024];

    (void)state;
    int fd = client_connect(fixture->port);
    client_send_text(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)client_read(fd, reply, sizeof reply);
    assert_in_range(dribble(fd, "G"), 1000, CLIENT_TIMEOUT_MS - 1);
    (void)close(fd);
    fixture_stop(fixture);
}

static void a_reader_that_never_ends_is_cut_off(void **state)
{
    struct qe_http_options options = {.reply_deadline_ms = 300};
    struct fixture *fixture = fixture_start(&options);
    char byte;

    (void)state;
    int fd = client_connect_from(fixture->port, 1, SLOW_READER_BYTES);
    client_send_text(fd, "GET /big HTTP/1.0\r\n\r\n");
    wait_for_count(&fixture->taken, 1);
    /* Takes a byte now and then: never idle for long. */
    int64_t deadline_ms = qe_clock_mono_ms() + CLIENT_TIMEOUT_MS;
    while (atomic_load(&fixture->freed) == 0) {
        assert_true(qe_clock_mono_ms() < deadline_ms);
        (void)recv(fd, &byte, 1, MSG_DONTWAIT);
        pause_ms(10);
    }
    (void)close(fd);
    fixture_stop(fixture);
}

static void clients_that_leave_in_the_middle_leave_nothing_behind(void **state)
{
    struct fixture *fixture = fixture_start(&s_defaults);
    char piece[4096];

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        int fd = client_connect_from(fixture->port, 1, SLOW_READER_BYTES);
        client_send_text(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_true(client_read(fd, piece, sizeof piece) > 0);
        (void)close(fd);
    }
    wait_for_count(&fixture->freed, 20);
    fixture_assert_serves(fixture, 1);
    fixture_stop(fixture);
}

static void slow_readers_do_not_keep_others_out(void **state)
{
    struct fixture *fixture = fixture_start(&s_defaults);
    int readers[READERS_COUNT];

    (void)state;
    for (size_t i = 0; i < READERS_COUNT; i++) {
        readers[i] = client_connect_from(fixture->port, 1, SLOW_READER_BYTES);
        client_send_text(readers[i], "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    /* The share of one client is being served; the others of it are told no, or closed. */
    wait_for_count(&fixture->taken, 50);
    for (unsigned i = 0; i < 20; i++) {
        fixture_assert_serves(fixture, 2);
    }
    assert_int_equal(atomic_load(&fixture->taken), 50);
    for (size_t i = 0; i < READERS_COUNT; i++) {
        (void)close(readers[i]);
    }
    wait_for_count(&fixture->freed, 50);
    fixture_assert_serves(fixture, 1);
    fixture_stop(fixture);
}

static void a_full_server_says_503(void **state)
{
    struct qe_http_options options = {.max_connections = 3, .max_per_client = 2};
    struct fixture *fixture = fixture_start(&options);
    int busy[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        busy[i] = client_connect_from(fixture->port, 2 + i, SLOW_READER_BYTES);
        client_send_text(busy[i], "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for_count(&fixture->taken, i + 1);
    }
    char *reply = client_exchange(fixture->port, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(client_status(reply), 503);
    assert_true(client_has_header(reply, "Connection: close"));
    assert_int_equal(fixture_counted(fixture, QE_HTTP_LANDING, 503), 1);
    qe_free(reply);
    for (size_t i = 0; i < 3; i++) {
        (void)close(busy[i]);
    }
    fixture_stop(fixture);
}

static void an_idle_connection_makes_room(void **state)
{
    struct qe_http_options options = {.max_connections = 2, .max_per_client = 2};
    struct fixture *fixture = fixture_start(&options);
    char reply[1024];
    int idle[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        idle[i] = client_connect(fixture->port);
        client_send_text(idle[i], "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        (void)client_read(idle[i], reply, sizeof reply);
    }
    /* The reply may arrive before the server has noted its end. */
    int64_t deadline_ms = qe_clock_mono_ms() + CLIENT_TIMEOUT_MS;
    unsigned status = 0;
    while (status != 200 && qe_clock_mono_ms() < deadline_ms) {
        char *answer = client_exchange(fixture->port, "GET /hello HTTP/1.0\r\n\r\n");
        status = client_status(answer);
        qe_free(answer);
    }
    assert_int_equal(status, 200);
    assert_int_equal(client_read(idle[0], reply, sizeof reply), 0); /* the longest idle went */
    (void)close(idle[0]);
    (void)close(idle[1]);
    fixture_stop(fixture);
}

static void garbage_is_answered_or_closed_and_forgotten(void **state)
{
    static const char *const s_garbage[] = {
        "\r\n\r\n\r\n",
        "\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03 hello TLS \r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost\r\n\r\n",
        "GET /hello HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n",
        "GET /hello HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /%zz%%%00%ff HTTP/1.0\r\n\r\n",
        "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: nonsense\r\n\r\n",
    };
    struct fixture *fixture = fixture_start(&s_defaults);

    (void)state;
    for (size_t i = 0; i < sizeof s_garbage / sizeof s_garbage[0]; i++) {
        int fd = client_connect(fixture->port);
        struct qe_strbuf reply;
        qe_strbuf_init(&reply, 0);
        client_send_text(fd, s_garbage[i]);
        (void)shutdown(fd, SHUT_WR);
        client_read_all(fd, &reply);
        qe_strbuf_deinit(&reply);
        (void)close(fd);
    }
    fixture_assert_serves(fixture, 1);
    fixture_stop(fixture);
}

static void random_bytes_do_no_harm(void **state)
{
    struct fixture *fixture = fixture_start(&s_defaults);
    struct qe_random random;
    char bytes[512];

    (void)state;
    qe_random_init(&random, 7);
    for (unsigned i = 0; i < 200; i++) {
        struct qe_strbuf reply;
        for (size_t b = 0; b < sizeof bytes; b++) {
            bytes[b] = (char)(qe_random_next(&random) & 0xff);
        }
        int fd = client_connect(fixture->port);
        qe_strbuf_init(&reply, 0);
        client_send_text(fd, i % 2 == 0 ? "" : "GET /hello HTTP/1.1\r\nHost: ");
        client_send(fd, bytes, sizeof bytes);
        (void)shutdown(fd, SHUT_WR);
        client_read_all(fd, &reply);
        qe_strbuf_deinit(&reply);
        (void)close(fd);
    }
    fixture_assert_serves(fixture, 1);
    fixture_stop(fixture);
}

static void heads_past_the_limit_are_refused(void **state)
{
    struct fixture *fixture = fixture_start(&s_defaults);
    struct qe_strbuf request;

    (void)state;
    for (size_t kib = 7; kib <= 128; kib = kib == 7 ? 9 : kib * 2) {
        qe_strbuf_init(&request, 0);
        (void)qe_strbuf_append_text(&request, "GET /some HTTP/1.0\r\nX: ");
        (void)qe_strbuf_append(&request, fixture->big, kib * 1024);
        (void)qe_strbuf_append_text(&request, "\r\n\r\n");
        char *reply = client_exchange(fixture->port, qe_strbuf_text(&request));
        /* Up to the limit there is room for a page of many parts too. */
        if (kib == 7) {
            assert_int_equal(client_status(reply), 200);
        } else if (kib == 9) {
            assert_int_equal(client_status(reply), 431);
        } else if (reply[0] != '\0') { /* it may have gone before it read all */
            assert_in_range(client_status(reply), 400, 499);
        }
        qe_free(reply);
        qe_strbuf_deinit(&request);
    }
    fixture_assert_serves(fixture, 1);
    fixture_stop(fixture);
}

static void *stop_server(void *fixture)
{
    fixture_stop(fixture);
    return NULL;
}

static void stopping_finishes_the_reply_under_way(void **state)
{
    struct fixture *fixture = fixture_start(&s_defaults);
    struct qe_strbuf reply;
    pthread_t thread;

    (void)state;
    qe_strbuf_init(&reply, 0);
    unsigned port = fixture->port;
    int fd = client_connect_from(port, 1, SLOW_READER_BYTES);
    client_send_text(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_count(&fixture->taken, 1);
    assert_int_equal(pthread_create(&thread, NULL, stop_server, fixture), 0);
    client_read_all(fd, &reply); /* it closes although the connection could live on */
    assert_int_equal(strlen(client_body(qe_strbuf_text(&reply))), BIG_BYTES);
    assert_int_equal(pthread_join(thread, NULL), 0);
    qe_strbuf_deinit(&reply);
    (void)close(fd);
}

static void stopping_does_not_wait_for_ever(void **state)
{
    struct fixture *fixture = fixture_start(&s_defaults);

    (void)state;
    int fd = client_connect_from(fixture->port, 1, SLOW_READER_BYTES);
    client_send_text(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n"); /* and never reads */
    wait_for_count(&fixture->taken, 1);
    int64_t start_ms = qe_clock_mono_ms();
    fixture_stop(fixture);
    assert_in_range(qe_clock_mono_ms() - start_ms, 2900, CLIENT_TIMEOUT_MS);
    (void)close(fd);
}

static void stopping_ends_the_slow_route_and_answers_those_who_wait_for_it(void **state)
{
    struct fixture *fixture = fixture_start(&s_defaults);
    struct qe_strbuf replies[3];
    pthread_t thread;
    int fds[3];

    (void)state;
    (void)pthread_mutex_lock(&fixture->gate);
    for (size_t i = 0; i < 3; i++) {
        qe_strbuf_init(&replies[i], 0);
        fds[i] = client_connect(fixture->port);
        client_send_text(fds[i], "POST /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for_count(&fixture->slow_started, 1);
    }
    fixture_assert_serves(fixture, 2); /* and by then the three are in the server's hands */
    assert_int_equal(pthread_create(&thread, NULL, stop_server, fixture), 0);
    pause_ms(50);
    (void)pthread_mutex_unlock(&fixture->gate);
    for (size_t i = 0; i < 3; i++) {
        client_read_all(fds[i], &replies[i]);
        (void)close(fds[i]);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(client_status(qe_strbuf_text(&replies[0])), 200);
    /* Whoever came to its turn before the stop has been served, the others were told. */
    for (size_t i = 1; i < 3; i++) {
        unsigned status = client_status(qe_strbuf_text(&replies[i]));
        assert_true(status == 503 || status == 200);
    }
    for (size_t i = 0; i < 3; i++) {
        qe_strbuf_deinit(&replies[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_that_dribbles_in_is_cut_off),
        cmocka_unit_test(a_body_that_dribbles_in_is_cut_off),
        cmocka_unit_test(a_second_request_that_dribbles_in_is_cut_off),
        cmocka_unit_test(a_reader_that_never_ends_is_cut_off),
        cmocka_unit_test(clients_that_leave_in_the_middle_leave_nothing_behind),
        cmocka_unit_test(slow_readers_do_not_keep_others_out),
        cmocka_unit_test(a_full_server_says_503),
        cmocka_unit_test(an_idle_connection_makes_room),
        cmocka_unit_test(garbage_is_answered_or_closed_and_forgotten),
        cmocka_unit_test(random_bytes_do_no_harm),
        cmocka_unit_test(heads_past_the_limit_are_refused),
        cmocka_unit_test(stopping_finishes_the_reply_under_way),
        cmocka_unit_test(stopping_does_not_wait_for_ever),
        cmocka_unit_test(stopping_ends_the_slow_route_and_answers_those_who_wait_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
