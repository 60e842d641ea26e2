/* Effectively once while the deduplication store fails. */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "consumer/dedup_store.h"
#include "unit/consumer/rig.h"

static char s_folder[] = "/tmp/qe_once_faults_XXXXXX";
static char s_path[64];
static struct rlimit s_room; /* as it was */

/* Nothing can be written any more, as on a full disk; what is written already can be read. */
static void fill_the_disk(void)
{
    struct rlimit tight = s_room;

    tight.rlim_cur = 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
}

static void free_the_disk(void)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &s_room), 0);
}

static struct rig *rig_once(uint64_t workers)
{
    struct rig *rig = rig_new(workers);

    rig->options.delivery = QE_DELIVERY_EFFECTIVELY_ONCE;
    rig->options.once =
        (struct qe_once_options){.store = s_path, .attribute = "customer", .window_ms = 60000};
    return rig;
}

static void nothing_is_received_while_the_disk_is_full(void **state)
{
    const struct qe_fake_message first = {.customer = "full-1"};
    const struct qe_fake_message second = {.customer = "full-2"};
    struct rig *rig = rig_once(1);

    (void)state;
    qe_fake_send_like(rig->fake, "quick", &first);
    rig_start(rig);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    fill_the_disk();
    qe_fake_send_like(rig->fake, "quick", &second);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->released) == 1); /* it was full before that was known */
    qe_fake_pause_ms(2500);                                  /* several looks */
    assert_int_equal(qe_fake_count_events(rig->fake, QE_FAKE_RECEIVE, 1), 1);
    assert_int_equal(qe_counter_get(&rig->stats->released), 1);
    free_the_disk();
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 2);
    rig_destroy(rig);
}

/* When the claim of the only key that runs ends, in Unix time. */
static int64_t claim_ends_unix_ms(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t ends = 0;

    assert_int_equal(sqlite3_open(s_path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, "SELECT expires_at FROM keys WHERE handled = 0", -1, &statement,
                           NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        ends = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return ends;
}

static void claim_that_cannot_be_renewed_is_tried_again_long_before_it_ends(void **state)
{
    const struct qe_fake_message like = {.customer = "renewed"};
    struct rig *rig = rig_once(1);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    rig->options.once.lease_ms = 8000; /* renewed after 4 s, and then after 1 s */
    qe_fake_send_like(rig->fake, "slow", &like);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    int64_t ends_unix_ms = claim_ends_unix_ms();
    assert_true(ends_unix_ms > 0);
    fill_the_disk();
    QE_WAIT_FOR(qe_log_count(QE_LOG_WARN) > warnings);
    free_the_disk();
    QE_WAIT_FOR(claim_ends_unix_ms() > ends_unix_ms);
    int64_t left_ms = ends_unix_ms - qe_clock_unix_ms();
    print_message("renewed %lld ms before its end\n", (long long)left_ms);
    assert_true(left_ms > 0);
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    rig_destroy(rig);
}

static void claim_of_what_waits_for_a_batch_is_kept_too(void **state)
{
    const struct qe_fake_message like = {.customer = "waiting"};
    struct rig *rig = rig_once(1);

    (void)state;
    rig->options.once.lease_ms = 1000;
    rig->options.batch_size = 2;
    rig->options.batch_wait_ms = 10000;
    qe_fake_send_like(rig->fake, "quick", &like);
    rig_start(rig);
    QE_WAIT_FOR(claim_ends_unix_ms() > 0);
    int64_t ends_unix_ms = claim_ends_unix_ms();
    QE_WAIT_FOR(claim_ends_unix_ms() > ends_unix_ms);
    assert_int_equal(atomic_load(&rig->gate.started), 0);
    rig_destroy(rig);
}

static void what_was_handled_is_settled_though_its_key_cannot_be_written_and_says_so(void **state)
{
    const struct qe_fake_message like = {.customer = "unwritten"};
    struct rig *rig = rig_once(1);
    uint64_t warnings = qe_log_count(QE_LOG_WARN);

    (void)state;
    qe_fake_send_like(rig->fake, "slow", &like);
    rig_start(rig);
    QE_WAIT_FOR(atomic_load(&rig->gate.started) == 1);
    fill_the_disk();
    atomic_store(&rig->gate.open, true);
    QE_WAIT_FOR(qe_counter_get(&rig->stats->processed) == 1);
    assert_true(qe_fake_message(rig->fake, 0).gone);
    free_the_disk();
    assert_in_range(qe_log_count(QE_LOG_WARN) - warnings, 2, 3); /* it fails; it is given up */
    rig_destroy(rig);
}

static void file_is_for_its_owner_only(void **state)
{
    struct stat facts;

    (void)state;
    assert_int_equal(stat(s_path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
}

int main(void)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_received_while_the_disk_is_full),
        cmocka_unit_test(claim_that_cannot_be_renewed_is_tried_again_long_before_it_ends),
        cmocka_unit_test(claim_of_what_waits_for_a_batch_is_kept_too),
        cmocka_unit_test(what_was_handled_is_settled_though_its_key_cannot_be_written_and_says_so),
        cmocka_unit_test(file_is_for_its_owner_only)};
    char path[80];

    qe_log_setup(QE_LOG_INFO, QE_LOG_LOGFMT);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &s_room), 0);
    assert_non_null(mkdtemp(s_folder));
    (void)snprintf(s_path, sizeof s_path, "%s/dedup.db", s_folder);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", s_path, tails[i]);
        (void)unlink(path);
    }
    (void)rmdir(s_folder);
    return rc;
}
