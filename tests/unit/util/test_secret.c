#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "util/secret.h"

static char s_folder[] = "/tmp/qe-secret-XXXXXX";
static char s_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(s_folder) == NULL) {
        return -1;
    }
    (void)snprintf(s_path, sizeof s_path, "%s/secret", s_folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(s_path);
    return rmdir(s_folder);
}

static void write_file(const char *bytes, size_t count)
{
    FILE *file = fopen(s_path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void a_secret_keeps_its_bytes(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_secret *secret = qe_secret_new("hunter2", 7, &err);
    struct qe_secret *same = qe_secret_new("hunter2", 7, &err);
    struct qe_secret *other = qe_secret_new("hunter3", 7, &err);
    struct qe_secret *shorter = qe_secret_new("hunter", 6, &err);
    struct qe_secret *empty = qe_secret_new("", 0, &err);

    assert_string_equal(qe_secret_bytes(secret), "hunter2");
    assert_int_equal(qe_secret_length(secret), 7);
    assert_true(qe_secret_equal(secret, same));
    assert_false(qe_secret_equal(secret, other));
    assert_false(qe_secret_equal(secret, shorter));
    assert_true(qe_secret_equal(empty, NULL));
    assert_string_equal(qe_secret_bytes(NULL), "");
    assert_int_equal(qe_secret_length(NULL), 0);
    qe_secret_destroy(secret);
    qe_secret_destroy(same);
    qe_secret_destroy(other);
    qe_secret_destroy(shorter);
    qe_secret_destroy(empty);
    qe_secret_destroy(NULL);
}

static void a_file_gives_its_content_without_the_last_line_end(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *secret;
    } rows[] = {{"abc\n", "abc"},
                {"abc\r\n", "abc"},
                {"abc", "abc"},
                {"abc\n\n", "abc\n"},
                {" a b ", " a b "}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qe_err err = {0};

        write_file(rows[i].file, strlen(rows[i].file));
        struct qe_secret *secret = qe_secret_new_from_file(s_path, &err);

        assert_ok(secret == NULL ? -1 : 0, err);
        assert_string_equal(qe_secret_bytes(secret), rows[i].secret);
        assert_int_equal(qe_secret_length(secret), strlen(rows[i].secret));
        qe_secret_destroy(secret);
    }
}

static void check_refused(enum qe_err_code code)
{
    struct qe_err err = {0};

    assert_null(qe_secret_new_from_file(s_path, &err));
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.message, s_path)); /* the path, never the content */
    assert_null(strstr(err.message, "hunter2"));
}

static void a_bad_file_is_refused_by_name(void **state)
{
    (void)state;
    static char big[QE_SECRET_MAX_BYTES + 1];

    (void)unlink(s_path);
    check_refused(QE_ERR_NOT_FOUND);
    write_file("", 0);
    check_refused(QE_ERR_INVALID);
    write_file("\n", 1);
    check_refused(QE_ERR_INVALID);
    write_file("hunter2\0x", 9);
    check_refused(QE_ERR_INVALID);
    memset(big, 'x', sizeof big);
    write_file(big, sizeof big);
    check_refused(QE_ERR_LIMIT);
    (void)unlink(s_path);
    assert_int_equal(mkfifo(s_path, 0600), 0);
    check_refused(QE_ERR_INVALID); /* nobody writes to it: empty, and above all not a hang */
    (void)unlink(s_path);
    assert_int_equal(mkdir(s_path, 0700), 0);
    check_refused(QE_ERR_INVALID);
    assert_int_equal(rmdir(s_path), 0);
}

static void the_longest_secret_is_accepted(void **state)
{
    (void)state;
    static char big[QE_SECRET_MAX_BYTES];
    struct qe_err err = {0};

    memset(big, 'x', sizeof big);
    write_file(big, sizeof big);
    struct qe_secret *secret = qe_secret_new_from_file(s_path, &err);

    assert_ok(secret == NULL ? -1 : 0, err);
    assert_int_equal(qe_secret_length(secret), sizeof big);
    qe_secret_destroy(secret);
    assert_null(qe_secret_new(big, sizeof big + 1, &err));
    assert_int_equal(err.code, QE_ERR_LIMIT);
}

/* The flags of the mapping that holds `address`, as /proc/self/smaps tells: "dd" is "do not dump".
 */
static bool is_kept_out_of_dumps(const char *address)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false;
    bool result = false;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        char *dash = NULL;
        char *blank = NULL;
        uintptr_t begin = (uintptr_t)strtoull(line, &dash, 16);

        if (*dash == '-') {
            uintptr_t end = (uintptr_t)strtoull(dash + 1, &blank, 16);

            inside = *blank == ' ' && (uintptr_t)address >= begin && (uintptr_t)address < end;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            result = strstr(line, " dd") != NULL;
        }
    }
    (void)fclose(maps);
    return result;
}

static void a_secret_stays_out_of_core_dumps(void **state)
{
    (void)state;
    struct qe_err err = {0};
    struct qe_secret *secret = qe_secret_new("hunter2", 7, &err);
    static const char plain[] = "plain";

    if (access("/proc/self/smaps", R_OK) != 0) {
        print_message("no /proc/self/smaps here: not tried\n");
        qe_secret_destroy(secret);
        skip();
    }
    assert_true(is_kept_out_of_dumps(qe_secret_bytes(secret)));
    assert_false(is_kept_out_of_dumps(plain));
    qe_secret_destroy(secret);
}

static void wiping_leaves_nothing(void **state)
{
    (void)state;
    char bytes[8] = "hunter2";

    qe_secret_wipe(bytes, sizeof bytes);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    qe_secret_wipe(NULL, 0);
}

static int build(void *context, struct qe_err *err)
{
    struct qe_secret *secret =
        context != NULL ? qe_secret_new_from_file(context, err) : qe_secret_new("abc", 3, err);

    qe_secret_destroy(secret);
    return secret == NULL ? -1 : 0;
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    write_file("abc", 3);
    qe_check_torture(build, NULL);
    qe_check_torture(build, s_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_keeps_its_bytes),
        cmocka_unit_test(a_file_gives_its_content_without_the_last_line_end),
        cmocka_unit_test(a_bad_file_is_refused_by_name),
        cmocka_unit_test(the_longest_secret_is_accepted),
        cmocka_unit_test(a_secret_stays_out_of_core_dumps),
        cmocka_unit_test(wiping_leaves_nothing),
        cmocka_unit_test(running_out_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
