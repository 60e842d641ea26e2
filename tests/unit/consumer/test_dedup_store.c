#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "consumer/dedup_store.h"
#include "support/check.h"
#include "util/clock.h"

static char s_folder[] = "/tmp/qe_dedup_XXXXXX";
static char s_path[64];

static struct qe_dedup_store *store_new(const char *scope, int64_t window_ms)
{
    struct qe_err err = {0};
    struct qe_dedup_store *store = qe_dedup_store_new(s_path, scope, window_ms, &err);

    assert_non_null(store);
    return store;
}

static struct qe_dedup_claim claim(struct qe_dedup_store *store, const char *key)
{
    struct qe_dedup_claim one = {.key = key};
    struct qe_err err = {0};

    assert_ok(qe_dedup_store_claim(store, &one, 1, &err), err);
    return one;
}

static void finish(struct qe_dedup_store *store, struct qe_dedup_claim *one, bool handled)
{
    struct qe_err err = {0};

    one->handled = handled;
    assert_ok(qe_dedup_store_finish(store, one, 1, &err), err);
}

static void key_that_was_handled_is_a_duplicate_for_every_handle_and_after_a_restart(void **state)
{
    struct qe_dedup_store *store = store_new("s", 60000);
    struct qe_dedup_store *other = store_new("s", 60000);
    struct qe_dedup_claim one = claim(store, "restart");

    (void)state;
    assert_int_equal(one.state, QE_DEDUP_CLAIMED);
    finish(store, &one, true);
    assert_int_equal(claim(other, "restart").state, QE_DEDUP_HANDLED);
    qe_dedup_store_destroy(store);
    qe_dedup_store_destroy(other);
    store = store_new("s", 60000);
    assert_int_equal(claim(store, "restart").state, QE_DEDUP_HANDLED);
    qe_dedup_store_destroy(store);
}

static void key_in_hand_is_busy_for_all_others_until_it_is_finished(void **state)
{
    struct qe_dedup_store *store = store_new("s", 60000);
    struct qe_dedup_store *other = store_new("s", 60000);
    struct qe_dedup_claim one = claim(store, "busy");
    struct qe_dedup_claim two = claim(other, "busy");

    (void)state;
    assert_int_equal(two.state, QE_DEDUP_BUSY);
    assert_in_range(two.busy_ms, 1, QE_DEDUP_LEASE_MS);
    assert_int_equal(claim(store, "busy").state, QE_DEDUP_BUSY); /* also for its own consumer */
    finish(store, &one, false);
    two = claim(other, "busy");
    assert_int_equal(two.state, QE_DEDUP_CLAIMED);
    finish(other, &two, true);
    qe_dedup_store_destroy(store);
    qe_dedup_store_destroy(other);
}

static void one_that_has_lost_its_claim_does_not_undo_the_next_ones(void **state)
{
    struct qe_dedup_store *store = store_new("s", 60000);
    struct qe_dedup_claim one = claim(store, "lost");
    struct qe_dedup_claim two;
    struct qe_err err = {0};

    (void)state;
    finish(store, &one, false);
    two = claim(store, "lost");
    assert_int_equal(two.state, QE_DEDUP_CLAIMED);
    finish(store, &one, false); /* late */
    assert_ok(qe_dedup_store_renew(store, &one, 1, &err), err);
    assert_int_equal(claim(store, "lost").state, QE_DEDUP_BUSY);
    finish(store, &two, true);
    finish(store, &two, false); /* what is handled stays so */
    assert_int_equal(claim(store, "lost").state, QE_DEDUP_HANDLED);
    qe_dedup_store_destroy(store);
}

static void after_its_window_a_key_is_new_again_and_then_gone(void **state)
{
    struct qe_dedup_store *store = store_new("s", 0);
    struct qe_dedup_claim one = claim(store, "window");

    (void)state;
    finish(store, &one, true);
    one = claim(store, "window");
    assert_int_equal(one.state, QE_DEDUP_CLAIMED);
    finish(store, &one, true);
    qe_dedup_store_destroy(store);
}

static void queues_do_not_share_their_keys(void **state)
{
    struct qe_dedup_store *store = store_new("a", 60000);
    struct qe_dedup_store *other = store_new("b", 60000);
    struct qe_dedup_claim one = claim(store, "1");

    (void)state;
    finish(store, &one, true);
    assert_int_equal(claim(other, "1").state, QE_DEDUP_CLAIMED);
    qe_dedup_store_destroy(store);
    qe_dedup_store_destroy(other);
}

static void reply_is_kept_with_its_key(void **state)
{
    struct qe_dedup_store *store = store_new("s", 60000);
    struct qe_dedup_claim one = claim(store, "reply");

    (void)state;
    one.reply = "done\0so";
    one.reply_bytes = 7;
    finish(store, &one, true);
    one = claim(store, "reply");
    assert_int_equal(one.state, QE_DEDUP_HANDLED);
    assert_int_equal(one.old_reply.length_bytes, 7);
    assert_memory_equal(one.old_reply.data, "done\0so", 7);
    qe_strbuf_deinit(&one.old_reply);
    qe_dedup_store_destroy(store);
}

/* The child is killed with a claim in hand, and after it has finished another one. */
static void claim_of_one_who_died_is_busy_and_what_it_finished_is_kept(void **state)
{
    pid_t child = fork();
    int status = 0;

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        struct qe_dedup_store *store = store_new("s", 60000);
        struct qe_dedup_claim done = claim(store, "died-done");

        finish(store, &done, true);
        (void)claim(store, "died-in-hand");
        _exit(7); /* nothing is closed, as after a SIGKILL */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 7);
    struct qe_dedup_store *store = store_new("s", 60000);
    assert_int_equal(claim(store, "died-done").state, QE_DEDUP_HANDLED);
    assert_int_equal(claim(store, "died-in-hand").state, QE_DEDUP_BUSY);
    qe_dedup_store_destroy(store);
}

/* --- what goes wrong --- */

static void assert_claim_fails(const char *path, enum qe_err_code code, const char *words)
{
    struct qe_err err = {0};
    struct qe_dedup_store *store = qe_dedup_store_new(path, "s", 60000, &err);
    struct qe_dedup_claim one = {.key = "k"};

    assert_non_null(store);
    assert_int_equal(qe_dedup_store_claim(store, &one, 1, &err), -1);
    print_message("%s\n", err.message);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.message, words));
    qe_dedup_store_destroy(store);
}

static void file_that_is_something_else_is_left_alone(void **state)
{
    char path[80];
    FILE *file;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/notes.txt", s_folder);
    file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 200; i++) {
        (void)fputs("these are my notes\n", file);
    }
    (void)fclose(file);
    assert_claim_fails(path, QE_ERR_PROTOCOL, "no SQLite file");
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/nowhere/dedup.db", s_folder);
    assert_claim_fails(path, QE_ERR_IO, "directory");
}

static void full_disk_fails_the_claim_and_space_mends_it(void **state)
{
    struct qe_dedup_store *store = store_new("full", 60000);
    struct qe_dedup_claim one = claim(store, "first");
    struct rlimit before;
    struct rlimit tight;
    struct qe_err err = {0};
    static char key[1000];
    int rc = 0;

    (void)state;
    finish(store, &one, true);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)200 * 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    memset(key, 'x', sizeof key - 1);
    for (int i = 0; i < 1000 && rc == 0; i++) {
        (void)snprintf(key, 8, "%07d", i);
        key[7] = 'x';
        one = (struct qe_dedup_claim){.key = key};
        rc = qe_dedup_store_claim(store, &one, 1, &err);
    }
    assert_int_equal(rc, -1);
    print_message("%s\n", err.message);
    tight.rlim_cur = 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    assert_int_equal(qe_dedup_store_look(store, &err), -1); /* before a message is received */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_ok(qe_dedup_store_look(store, &err), err);
    one = claim(store, "after");
    assert_int_equal(one.state, QE_DEDUP_CLAIMED);
    assert_int_equal(claim(store, "first").state, QE_DEDUP_HANDLED);
    qe_dedup_store_destroy(store);
}

/* Fills it to the last page; 0: it took all, or was not full in time. */
static int fill(struct qe_dedup_store *store, int64_t until_mono_ms, struct qe_err *err)
{
    static char key[1000];
    size_t bytes = (size_t)16 << 20;
    int rc = 0;

    for (int i = 0; bytes >= 1024 && qe_clock_mono_ms() < until_mono_ms; i++) {
        char *reply = calloc(1, bytes);
        struct qe_dedup_claim one = {
            .key = key, .handled = true, .reply = reply, .reply_bytes = bytes};

        assert_non_null(reply);
        (void)snprintf(key, sizeof key, "large %d", i);
        rc = qe_dedup_store_finish(store, &one, 1, err);
        bytes = rc == 0 ? bytes : bytes / 4;
        free(reply);
    }
    memset(key, 'x', sizeof key - 1);
    rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++) {
        struct qe_dedup_claim one = {.key = key, .handled = true};

        (void)snprintf(key, 8, "%07d", i);
        key[7] = 'x';
        rc = qe_dedup_store_finish(store, &one, 1, err);
    }
    return rc;
}

static void full_memory_fails_the_claim_until_its_keys_are_past_their_window(void **state)
{
    struct qe_err err = {0};
    struct qe_dedup_store *store = NULL;
    char key[QE_DEDUP_KEY_MAX_BYTES] = "";
    struct qe_dedup_claim one = {.key = key};
    int64_t window_ms = 5000;
    int rc = -1;

    (void)state;
    /* On a busy machine it is not full before the first keys are past their window. */
    for (bool is_full = false; !is_full; window_ms *= 4) {
        qe_dedup_store_destroy(store);
        assert_true(window_ms < 100000);
        store = qe_dedup_store_new(":memory:", "s", window_ms, &err);
        assert_non_null(store);
        is_full = fill(store, qe_clock_mono_ms() + window_ms / 2, &err) == -1;
    }
    const int64_t until = qe_clock_mono_ms() + window_ms;
    print_message("%s\n", err.message);
    assert_int_equal(err.code, QE_ERR_LIMIT);
    assert_non_null(strstr(err.message, "shorter window"));
    memset(key, 'y', sizeof key - 1);
    assert_int_equal(qe_dedup_store_claim(store, &one, 1, &err), -1);
    assert_int_equal(qe_dedup_store_look(store, &err), -1);
    while (rc != 0 && qe_clock_mono_ms() < until) {
        const struct timespec pause = {.tv_nsec = 200000000};

        (void)nanosleep(&pause, NULL);
        rc = qe_dedup_store_look(store, &err); /* as the consumer looks */
    }
    assert_ok(qe_dedup_store_claim(store, &one, 1, &err), err);
    assert_int_equal(rc, 0);
    assert_int_equal(one.state, QE_DEDUP_CLAIMED);
    qe_dedup_store_destroy(store);
}

static void claim_is_never_busy_for_longer_than_a_lease_though_the_clock_is_set_back(void **state)
{
    struct qe_dedup_store *store = store_new("back", 60000);
    const struct qe_dedup_claim before = claim(store, "later");
    sqlite3 *other = NULL;

    (void)state;
    assert_int_equal(before.state, QE_DEDUP_CLAIMED);
    assert_int_equal(sqlite3_open(s_path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other,
                                  "UPDATE keys SET expires_at = expires_at + 86400000"
                                  " WHERE key = 'later'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    const struct qe_dedup_claim one = claim(store, "later");
    assert_int_equal(one.state, QE_DEDUP_BUSY);
    assert_int_equal(one.busy_ms, QE_DEDUP_LEASE_MS);
    qe_dedup_store_destroy(store);
}

static void locked_store_fails_the_claim_in_time_and_says_so(void **state)
{
    struct qe_dedup_store *store = store_new("locked", 60000);
    struct qe_dedup_claim one = {.key = "meanwhile"};
    struct qe_err err = {0};
    sqlite3 *other = NULL;

    (void)state;
    assert_int_equal(claim(store, "before").state, QE_DEDUP_CLAIMED);
    assert_int_equal(sqlite3_open(s_path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(qe_dedup_store_claim(store, &one, 1, &err), -1);
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    assert_non_null(strstr(err.message, "locked"));
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(claim(store, "meanwhile").state, QE_DEDUP_CLAIMED);
    assert_int_equal(claim(store, "before").state, QE_DEDUP_BUSY);
    qe_dedup_store_destroy(store);
}

static int use_once(void *context, struct qe_err *err)
{
    struct qe_dedup_store *store = qe_dedup_store_new(":memory:", "s", 60000, err);

    (void)context;
    qe_dedup_store_destroy(store);
    return store == NULL ? -1 : 0;
}

static void construction_survives_failed_allocations(void **state)
{
    (void)state;
    qe_check_torture(use_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_that_was_handled_is_a_duplicate_for_every_handle_and_after_a_restart),
        cmocka_unit_test(key_in_hand_is_busy_for_all_others_until_it_is_finished),
        cmocka_unit_test(one_that_has_lost_its_claim_does_not_undo_the_next_ones),
        cmocka_unit_test(after_its_window_a_key_is_new_again_and_then_gone),
        cmocka_unit_test(queues_do_not_share_their_keys),
        cmocka_unit_test(reply_is_kept_with_its_key),
        cmocka_unit_test(claim_of_one_who_died_is_busy_and_what_it_finished_is_kept),
        cmocka_unit_test(file_that_is_something_else_is_left_alone),
        cmocka_unit_test(full_disk_fails_the_claim_and_space_mends_it),
        cmocka_unit_test(full_memory_fails_the_claim_until_its_keys_are_past_their_window),
        cmocka_unit_test(claim_is_never_busy_for_longer_than_a_lease_though_the_clock_is_set_back),
        cmocka_unit_test(locked_store_fails_the_claim_in_time_and_says_so),
        cmocka_unit_test(construction_survives_failed_allocations)};
    char wal[80];
    int rc;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_non_null(mkdtemp(s_folder));
    (void)snprintf(s_path, sizeof s_path, "%s/dedup.db", s_folder);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(s_path);
    (void)snprintf(wal, sizeof wal, "%s-wal", s_path);
    (void)unlink(wal);
    (void)snprintf(wal, sizeof wal, "%s-shm", s_path);
    (void)unlink(wal);
    (void)rmdir(s_folder);
    return rc;
}
