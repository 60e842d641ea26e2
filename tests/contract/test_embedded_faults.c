/* The file fails in every way a disk knows; each time the error says what is wrong, and the same
 * handle works again when the cause is gone. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "contract/embedded_fixture.h"
#include "support/check.h"
#include "util/clock.h"

struct fault {
    struct embedded_fixture store;
    struct qe_queue queue;
    void *handle;
};

static int setup(void **state)
{
    static struct fault s_fault;
    struct qe_err err = {0};

    s_fault = (struct fault){0};
    assert_int_equal(embedded_fixture_init(&s_fault.store, false), 0);
    assert_ok(qe_queue_init(&s_fault.queue, NULL, "work", QE_KIND_EMBEDDED, &err), err);
    *state = &s_fault;
    return 0;
}

static int teardown(void **state)
{
    struct fault *fault = *state;

    qe_driver_embedded.destroy(fault->handle);
    qe_queue_deinit(&fault->queue);
    embedded_fixture_deinit(&fault->store);
    return 0;
}

static int try_send(struct fault *fault, size_t body_bytes, int64_t within_ms, struct qe_err *err)
{
    static const char s_body[65536] = {0};
    struct qe_outgoing message = {.body = s_body, .body_bytes = body_bytes, .delay_ms = -1};

    return qe_driver_embedded.send(fault->handle, &fault->queue, &message, 1,
                                   qe_clock_mono_ms() + within_ms, err);
}

static int try_create(struct fault *fault, struct qe_err *err)
{
    const struct qe_deps deps = {.source = "local"};

    return qe_driver_embedded.create(&fault->store.settings, &deps, &fault->handle, err);
}

static size_t count_messages(struct fault *fault)
{
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    assert_ok(qe_driver_embedded.peek(fault->handle, &fault->queue, 100000,
                                      qe_clock_mono_ms() + 5000, &list, &err),
              err);
    const size_t count = list.count;
    qe_message_list_deinit(&list);
    return count;
}

/* A poll of a store with one queue: reads it, and says in *out_why whether it counts as down. */
static int try_sample(struct fault *fault, int64_t within_ms, struct qe_err *out_why,
                      struct qe_err *err)
{
    struct qe_queue_list list = {0};
    struct qe_queue_set *set = NULL;
    struct qe_batch batch = {0};
    int rc = qe_driver_embedded.list(fault->handle, qe_clock_mono_ms() + within_ms, &list, err);

    if (rc == 0) {
        set = qe_queue_set_new_take(&list, err);
        rc = set == NULL ? -1 : qe_batch_init(&batch, set, err);
    }
    if (rc == 0) {
        rc = qe_driver_embedded.sample(fault->handle, qe_clock_mono_ms() + within_ms, &batch, err);
    }
    if (rc == 0) {
        *out_why = batch.source_error;
        rc = batch.entries[0].error == QE_OK ? 0 : -1;
    }
    qe_batch_deinit(&batch);
    qe_queue_set_release(set);
    qe_queue_list_deinit(&list);
    return rc;
}

static void assert_names_the_file(const struct fault *fault, const struct qe_err *err)
{
    assert_non_null(strstr(err->message, fault->store.path));
}

/* --- locked --- */

static sqlite3 *lock_elsewhere(const struct fault *fault)
{
    sqlite3 *other = NULL;

    assert_int_equal(sqlite3_open(fault->store.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return other;
}

struct busy {
    const char *path;
    atomic_bool stop;
};

/* Commits every 20 ms and has the lock again at once: nobody else gets it in time. */
static void *write_without_pause(void *argument)
{
    struct busy *busy = argument;
    const struct timespec pause = {.tv_nsec = 20000000};
    sqlite3 *other = NULL;
    bool good = sqlite3_open(busy->path, &other) == SQLITE_OK &&
                sqlite3_busy_timeout(other, 5000) == SQLITE_OK;

    while (good && !atomic_load(&busy->stop)) {
        good = sqlite3_exec(other, "BEGIN IMMEDIATE; UPDATE queues SET delay_ms = delay_ms + 1",
                            NULL, NULL, NULL) == SQLITE_OK;
        (void)nanosleep(&pause, NULL);
        good = good && sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    }
    (void)sqlite3_close(other);
    return good ? busy : NULL;
}

static void a_busy_file_is_not_down(void **state)
{
    struct fault *fault = *state;
    struct busy busy = {.path = fault->store.path};
    struct qe_err err = {0};
    pthread_t thread;
    void *good = NULL;

    fault->handle = embedded_fixture_open(&fault->store);
    assert_int_equal(pthread_create(&thread, NULL, write_without_pause, &busy), 0);
    for (int i = 0; i < 20; i++) {
        struct qe_err why = {0};

        assert_ok(try_sample(fault, 200, &why, &err), err);
        assert_int_equal(why.code, QE_OK);
    }
    atomic_store(&busy.stop, true);
    assert_int_equal(pthread_join(thread, &good), 0);
    assert_ptr_equal(good, &busy);
}

static void a_locked_file_times_out_at_the_deadline_and_recovers(void **state)
{
    struct fault *fault = *state;
    struct qe_err err = {0};

    fault->handle = embedded_fixture_open(&fault->store);
    sqlite3 *other = lock_elsewhere(fault);
    const int64_t start = qe_clock_mono_ms();
    assert_int_equal(try_send(fault, 1, 200, &err), -1);
    const int64_t spent = qe_clock_mono_ms() - start;
    assert_int_equal(err.code, QE_ERR_TIMEOUT);
    assert_names_the_file(fault, &err);
    assert_in_range(spent, 190, 450);           /* 200, and what backend.h and a busy machine add */
    assert_int_equal(count_messages(fault), 0); /* readers are not held up */
    struct qe_err why = {0};
    assert_ok(try_sample(fault, 400, &why, &err), err); /* the samples are good */
    assert_int_equal(why.code, QE_ERR_TIMEOUT);         /* and the source is down all the same */
    assert_names_the_file(fault, &why);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_ok(try_send(fault, 1, 5000, &err), err);
    assert_int_equal(count_messages(fault), 1);
    assert_ok(try_sample(fault, 5000, &why, &err), err);
    assert_int_equal(why.code, QE_OK);
}

/* --- not there, not allowed --- */

static void a_missing_directory_is_not_found(void **state)
{
    struct fault *fault = *state;
    char path[128];
    struct qe_err err = {0};

    (void)snprintf(path, sizeof(path), "%s/none/queues.db", fault->store.directory);
    fault->store.settings.path = path;
    assert_int_equal(try_create(fault, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_null(fault->handle);
}

static void a_directory_in_its_place_is_invalid(void **state)
{
    struct fault *fault = *state;
    struct qe_err err = {0};

    fault->store.settings.path = fault->store.directory;
    assert_int_equal(try_create(fault, &err), -1);
    assert_int_equal(err.code, QE_ERR_INVALID);
}

/* Root may write everything, so the child becomes somebody else first. 0: as promised. */
static int read_only_child(struct fault *fault)
{
    struct qe_err err = {0};

    if (getuid() == 0 && setuid(65534) != 0) {
        return 10;
    }
    if (try_create(fault, &err) != -1 || err.code != QE_ERR_AUTH ||
        strstr(err.message, fault->store.path) == NULL) {
        (void)fprintf(stderr, "%s: %s\n", qe_err_code_name(err.code), err.message);
        return 11;
    }
    return 0;
}

static int run_child(struct fault *fault, int (*body)(struct fault *fault))
{
    int status = -1;
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        _exit(body(fault));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_read_only_file_is_refused_and_works_when_writable_again(void **state)
{
    struct fault *fault = *state;
    struct qe_err err = {0};

    qe_driver_embedded.destroy(embedded_fixture_open(&fault->store));
    assert_int_equal(chmod(fault->store.directory, 0555), 0);
    assert_int_equal(chmod(fault->store.path, 0444), 0);
    const int as_promised = run_child(fault, read_only_child);
    assert_int_equal(chmod(fault->store.directory, 0700), 0);
    assert_int_equal(chmod(fault->store.path, 0600), 0);
    assert_int_equal(as_promised, 0);
    assert_ok(try_create(fault, &err), err);
    assert_ok(try_send(fault, 1, 5000, &err), err);
}

/* --- corrupt --- */

static void write_nonsense(const char *path, off_t from)
{
    char bytes[4096];
    const int file = open(path, O_WRONLY);

    assert_true(file >= 0);
    memset(bytes, 0xa5, sizeof(bytes));
    for (int i = 0; i < 16; i++) {
        assert_int_equal(pwrite(file, bytes, sizeof(bytes), from + i * (off_t)sizeof(bytes)),
                         sizeof(bytes));
    }
    assert_int_equal(close(file), 0);
}

static void a_corrupt_file_is_told_and_a_new_one_taken_up(void **state)
{
    struct fault *fault = *state;
    struct qe_err err = {0};

    qe_driver_embedded.destroy(embedded_fixture_open(&fault->store));
    write_nonsense(fault->store.path, 0);
    assert_int_equal(try_create(fault, &err), -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    assert_names_the_file(fault, &err);
    assert_int_equal(unlink(fault->store.path), 0);
    assert_ok(try_create(fault, &err), err);
    assert_ok(try_send(fault, 1, 5000, &err), err);
}

static void a_file_that_rots_under_an_open_handle_is_told(void **state)
{
    struct fault *fault = *state;
    struct qe_err err = {0};

    fault->handle = embedded_fixture_open(&fault->store);
    qe_driver_embedded.destroy(fault->handle); /* the log is folded into the file */
    fault->handle = embedded_fixture_open(&fault->store);
    write_nonsense(fault->store.path, 4096); /* every page but the first */
    int rc = 0;
    for (int i = 0; rc == 0 && i < 10; i++) {
        rc = try_send(fault, 60000, 5000, &err);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(err.code, QE_ERR_PROTOCOL);
    char wal[128];
    (void)snprintf(wal, sizeof(wal), "%s-wal", fault->store.path);
    assert_int_equal(unlink(fault->store.path), 0);
    (void)unlink(wal);
    assert_ok(try_send(fault, 1, 5000, &err), err);
    assert_int_equal(count_messages(fault), 1);
}

/* --- full --- */

/* Fills what the failed send left, and sees the source go down and stay so. 0, or the exit code. */
static int poll_until_full(struct fault *fault, struct qe_err *err)
{
    struct qe_err why = {0};

    /* The failed send let SQLite empty its log into the file: a poll's page at a time fills it. */
    for (int i = 0; i < 1000 && why.code == QE_OK; i++) {
        if (try_sample(fault, 5000, &why, err) != 0) {
            return 28;
        }
    }
    if (why.code != QE_ERR_LIMIT) {
        (void)fprintf(stderr, "poll: %s: %s\n", qe_err_code_name(why.code), why.message);
        return 26; /* it can be read, and is down */
    }
    for (int i = 0; i < 5; i++) { /* and stays down, although the log could be emptied */
        if (try_sample(fault, 5000, &why, err) != 0 || why.code != QE_ERR_LIMIT) {
            return 29;
        }
    }
    return 0;
}

static int full_child(struct fault *fault)
{
    struct rlimit limit = {0};
    struct qe_err err = {0};
    struct qe_err why = {0};
    int sent = 0;
    int rc = 0;

    if (try_create(fault, &err) != 0 || getrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        signal(SIGXFSZ, SIG_IGN) == SIG_ERR) {
        return 20;
    }
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 1 << 20; /* a disk of 1 MiB per file */
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 21;
    }
    for (; sent < 1000 && try_send(fault, 60000, 5000, &err) == 0; sent++) {
    }
    if (err.code != QE_ERR_LIMIT || strstr(err.message, "disk full") == NULL ||
        strstr(err.message, fault->store.path) == NULL) {
        (void)fprintf(stderr, "%s: %s\n", qe_err_code_name(err.code), err.message);
        return 22;
    }
    rc = poll_until_full(fault, &err);
    if (rc != 0) {
        return rc;
    }
    limit.rlim_cur = before;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 23;
    }
    if (try_send(fault, 60000, 5000, &err) != 0) {
        (void)fprintf(stderr, "after: %s\n", err.message);
        return 24;
    }
    if (try_sample(fault, 5000, &why, &err) != 0 || why.code != QE_OK) {
        return 27;
    }
    return count_messages(fault) == (size_t)sent + 1 ? 0 : 25; /* none lost, none half there */
}

static void a_full_disk_is_told_loses_nothing_and_recovers(void **state)
{
    assert_int_equal(run_child(*state, full_child), 0);
}

/* --- removed, replaced, newer --- */

static void a_removed_file_is_told_once_and_made_anew(void **state)
{
    struct fault *fault = *state;
    struct qe_err err = {0};

    fault->handle = embedded_fixture_open(&fault->store);
    assert_ok(try_send(fault, 1, 5000, &err), err);
    assert_int_equal(unlink(fault->store.path), 0);
    assert_int_equal(try_send(fault, 1, 5000, &err), -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_names_the_file(fault, &err);
    assert_ok(try_send(fault, 1, 5000, &err), err);
    assert_int_equal(count_messages(fault), 1); /* the new file's only one */
}

static void a_removal_ends_a_waiting_receive(void **state)
{
    struct fault *fault = *state;
    struct qe_message_list list = {0};
    struct qe_err err = {0};

    fault->handle = embedded_fixture_open(&fault->store);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct timespec pause = {.tv_nsec = 150000000};

        (void)nanosleep(&pause, NULL);
        _exit(unlink(fault->store.path) == 0 ? 0 : 1);
    }
    const int64_t start = qe_clock_mono_ms();
    assert_int_equal(
        qe_driver_embedded.receive(fault->handle, &fault->queue, 1, start + 10000, &list, &err),
        -1);
    assert_int_equal(err.code, QE_ERR_NOT_FOUND);
    assert_true(qe_clock_mono_ms() - start < 2000);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_newer_schema_is_refused(void **state)
{
    struct fault *fault = *state;
    struct qe_err err = {0};
    sqlite3 *other = NULL;

    qe_driver_embedded.destroy(embedded_fixture_open(&fault->store));
    assert_int_equal(sqlite3_open(fault->store.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "PRAGMA user_version = 7", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(try_create(fault, &err), -1);
    assert_int_equal(err.code, QE_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "schema version 7"));
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_busy_file_is_not_down),
        ROW(a_locked_file_times_out_at_the_deadline_and_recovers),
        ROW(a_missing_directory_is_not_found),
        ROW(a_directory_in_its_place_is_invalid),
        ROW(a_read_only_file_is_refused_and_works_when_writable_again),
        ROW(a_corrupt_file_is_told_and_a_new_one_taken_up),
        ROW(a_file_that_rots_under_an_open_handle_is_told),
        ROW(a_full_disk_is_told_loses_nothing_and_recovers),
        ROW(a_removed_file_is_told_once_and_made_anew),
        ROW(a_removal_ends_a_waiting_receive),
        ROW(a_newer_schema_is_refused),
    };

    return cmocka_run_group_tests_name("embedded store, faults", tests, NULL, NULL);
}
