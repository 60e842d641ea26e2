#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/guard.h"
#include "support/check.h"

static const struct qe_guard_options s_options = {
    .slots = 6,
    .max_active = 3,
    .max_per_client = 2,
    .head_ms = 100,
    .idle_ms = 1000,
    .reply_ms = 10000,
    .refused_ms = 50,
};

static struct sockaddr_storage client_v4(unsigned char last)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_storage out = {0};

    v4.sin_addr.s_addr = htonl(0x7f000000u + last);
    memcpy(&out, &v4, sizeof v4);
    return out;
}

static struct sockaddr_storage client_v6(unsigned char network, unsigned char host)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_storage out = {0};

    v6.sin6_addr.s6_addr[0] = 0x20;
    v6.sin6_addr.s6_addr[7] = network;
    v6.sin6_addr.s6_addr[15] = host;
    memcpy(&out, &v6, sizeof v6);
    return out;
}

static struct qe_guard *guard_new(void)
{
    struct qe_err err = {0};
    struct qe_guard *guard = qe_guard_new(&s_options, &err);

    assert_ok(guard == NULL ? -1 : 0, err);
    return guard;
}

static struct qe_guard_slot *open_at(struct qe_guard *guard, struct sockaddr_storage peer, int fd,
                                     int64_t now_ms)
{
    return qe_guard_open(guard, fd, (const struct sockaddr *)(const void *)&peer, now_ms);
}

/* True when the peer of a socketpair has been shut down. */
static bool is_cut(int peer_fd)
{
    char byte;

    return recv(peer_fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void a_request_that_does_not_arrive_in_time_is_cut(void **state)
{
    struct qe_guard *guard = guard_new();
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct qe_guard_slot *slot = open_at(guard, client_v4(1), pair[0], 1000);
    assert_int_equal(qe_guard_sweep(guard, 1099), 0);
    assert_false(is_cut(pair[1]));
    assert_int_equal(qe_guard_sweep(guard, 1100), 1);
    assert_true(is_cut(pair[1]));
    assert_int_equal(qe_guard_sweep(guard, 9999), 0); /* once is enough */
    qe_guard_close(guard, slot);
    assert_int_equal(qe_guard_count(guard).open, 0);
    qe_guard_destroy(guard);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void each_state_has_its_own_deadline(void **state)
{
    struct qe_guard *guard = guard_new();

    (void)state;
    struct qe_guard_slot *slot = open_at(guard, client_v4(1), -1, 0);
    qe_guard_busy(guard, slot, 50);
    assert_int_equal(qe_guard_count(guard).busy, 1);
    assert_int_equal(qe_guard_sweep(guard, 10049), 0);
    qe_guard_pause(guard, slot);
    assert_int_equal(qe_guard_sweep(guard, INT64_C(1) << 60), 0);
    qe_guard_idle(guard, slot, 20000);
    assert_int_equal(qe_guard_count(guard).busy, 0);
    assert_int_equal(qe_guard_sweep(guard, 21099), 0); /* idle time, then time for a head */
    assert_int_equal(qe_guard_sweep(guard, 21100), 1);
    qe_guard_destroy(guard);
}

static void a_client_over_its_share_is_refused_and_others_are_not(void **state)
{
    struct qe_guard *guard = guard_new();

    (void)state;
    assert_false(qe_guard_is_refused(guard, open_at(guard, client_v4(1), -1, 0)));
    assert_false(qe_guard_is_refused(guard, open_at(guard, client_v4(1), -1, 0)));
    struct qe_guard_slot *third = open_at(guard, client_v4(1), -1, 0);
    assert_true(qe_guard_is_refused(guard, third));
    assert_false(qe_guard_is_refused(guard, open_at(guard, client_v4(2), -1, 0)));
    /* Being served does not make it welcome, and its time is short. */
    qe_guard_busy(guard, third, 0);
    assert_true(qe_guard_is_refused(guard, third));
    assert_int_equal(qe_guard_sweep(guard, 50), 1);
    qe_guard_destroy(guard);
}

static void a_v6_network_is_one_client_and_mapped_v4_is_v4(void **state)
{
    struct qe_guard *guard = guard_new();
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    struct sockaddr_storage storage = {0};

    (void)state;
    (void)open_at(guard, client_v6(1, 1), -1, 0);
    (void)open_at(guard, client_v6(1, 2), -1, 0);
    assert_true(qe_guard_is_refused(guard, open_at(guard, client_v6(1, 3), -1, 0)));
    assert_false(qe_guard_is_refused(guard, open_at(guard, client_v6(2, 1), -1, 0)));
    qe_guard_destroy(guard);

    guard = guard_new();
    (void)open_at(guard, client_v4(1), -1, 0);
    (void)open_at(guard, client_v4(1), -1, 0);
    mapped.sin6_addr.s6_addr[10] = 0xff;
    mapped.sin6_addr.s6_addr[11] = 0xff;
    mapped.sin6_addr.s6_addr[12] = 127;
    mapped.sin6_addr.s6_addr[15] = 1;
    memcpy(&storage, &mapped, sizeof mapped);
    assert_true(qe_guard_is_refused(guard, open_at(guard, storage, -1, 0)));
    qe_guard_destroy(guard);
}

static void the_longest_idle_makes_room(void **state)
{
    struct qe_guard *guard = guard_new();
    int older[2];
    int newer[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, older), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, newer), 0);
    struct qe_guard_slot *first = open_at(guard, client_v4(1), newer[0], 0);
    struct qe_guard_slot *second = open_at(guard, client_v4(2), older[0], 0);
    (void)open_at(guard, client_v4(3), -1, 0);
    qe_guard_idle(guard, second, 10);
    qe_guard_idle(guard, first, 20);
    assert_false(qe_guard_is_refused(guard, open_at(guard, client_v4(4), -1, 30)));
    assert_true(is_cut(older[1]));
    assert_false(is_cut(newer[1]));
    qe_guard_destroy(guard);
    for (size_t i = 0; i < 2; i++) {
        (void)close(older[i]);
        (void)close(newer[i]);
    }
}

static void a_client_at_its_share_gives_up_its_own_idle_connection(void **state)
{
    struct qe_guard *guard = guard_new();

    (void)state;
    struct qe_guard_slot *other = open_at(guard, client_v4(9), -1, 0);
    struct qe_guard_slot *own = open_at(guard, client_v4(1), -1, 0);
    (void)open_at(guard, client_v4(1), -1, 0);
    qe_guard_idle(guard, other, 1);
    assert_true(qe_guard_is_refused(guard, open_at(guard, client_v4(1), -1, 2)));
    qe_guard_idle(guard, own, 3);
    assert_false(qe_guard_is_refused(guard, open_at(guard, client_v4(1), -1, 4)));
    qe_guard_destroy(guard);
}

static void without_a_slot_everything_is_refused_quietly(void **state)
{
    struct qe_guard *guard = guard_new();

    (void)state;
    for (unsigned char i = 0; i < s_options.slots; i++) {
        assert_non_null(open_at(guard, client_v4(i), -1, 0));
    }
    assert_null(open_at(guard, client_v4(99), -1, 0));
    assert_true(qe_guard_is_refused(guard, NULL));
    qe_guard_busy(guard, NULL, 0);
    qe_guard_idle(guard, NULL, 0);
    qe_guard_close(guard, NULL);
    qe_guard_destroy(guard);
    qe_guard_destroy(NULL);
}

static int build_guard(void *context, struct qe_err *err)
{
    struct qe_guard *guard = qe_guard_new(context, err);

    if (guard == NULL) {
        return -1;
    }
    qe_guard_destroy(guard);
    return 0;
}

static void running_out_of_memory_is_reported(void **state)
{
    struct qe_guard_options options = s_options;

    (void)state;
    qe_check_torture(build_guard, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_does_not_arrive_in_time_is_cut),
        cmocka_unit_test(each_state_has_its_own_deadline),
        cmocka_unit_test(a_client_over_its_share_is_refused_and_others_are_not),
        cmocka_unit_test(a_v6_network_is_one_client_and_mapped_v4_is_v4),
        cmocka_unit_test(the_longest_idle_makes_room),
        cmocka_unit_test(a_client_at_its_share_gives_up_its_own_idle_connection),
        cmocka_unit_test(without_a_slot_everything_is_refused_quietly),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
