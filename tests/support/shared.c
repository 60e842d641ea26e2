#include "support/shared.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support/check.h"
#include "util/mem.h"

#define NAMES_MAX 10000
#define SKIPPED 77 /* CTest's SKIP_RETURN_CODE */

static bool s_has_skipped;

bool qe_shared_path(const char *relative, char out[QE_SHARED_PATH_BYTES])
{
    const char *root = getenv("QE_SHARED"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    struct stat status;
    int length = snprintf(out, QE_SHARED_PATH_BYTES, "%s/%s",
                          root == NULL || root[0] == '\0' ? QE_SHARED : root, relative);

    assert_in_range(length, 1, QE_SHARED_PATH_BYTES - 1);
    return stat(out, &status) == 0;
}

void qe_shared_skip(const char *relative)
{
    char path[QE_SHARED_PATH_BYTES];

    (void)qe_shared_path(relative, path);
    print_message("skipped: there is no %s (QE_SHARED names another place)\n", path);
    s_has_skipped = true;
    skip();
}

int qe_shared_result(int failures)
{
    return failures == 0 && s_has_skipped ? SKIPPED : failures;
}

void qe_shared_read(const char *path, struct qe_strbuf *out)
{
    FILE *file = fopen(path, "rbe");

    if (file == NULL) {
        fail_msg("cannot open %s", path);
        return;
    }
    for (size_t got = 1; got > 0;) {
        char window[4096];
        got = fread(window, 1, sizeof window, file);
        assert_int_equal(qe_strbuf_append(out, window, got), 0);
    }
    assert_int_equal(ferror(file), 0);
    (void)fclose(file);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **qe_shared_names(const char *folder)
{
    DIR *directory = opendir(folder);
    char **names = NULL;
    size_t count = 0;
    size_t capacity = 0;

    if (directory == NULL) {
        fail_msg("cannot open %s", folder);
        return NULL;
    }
    /* One thread: the static entry of readdir is nobody else's. */
    struct dirent *entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe) */

    while (entry != NULL) {
        if (entry->d_name[0] != '.') {
            assert_int_equal(qe_grow(&names, count + 1, &capacity, NAMES_MAX, sizeof names[0]), 0);
            names[count] = qe_strdup(entry->d_name);
            assert_non_null(names[count]);
            count++;
        }
        entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe) */
    }
    (void)closedir(directory);
    if (names == NULL) {
        fail_msg("%s is empty", folder);
        return NULL;
    }
    names[count] = NULL;
    qsort(names, count, sizeof names[0], compare_names);
    return names;
}

void qe_shared_free_names(char **names)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        qe_free(names[i]);
    }
    qe_free(names);
}
