/* The main of a fuzz target where there is no libFuzzer: feeds it every file of a folder once. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "util/mem.h"

#define INPUT_MAX_BYTES ((size_t)2 << 20)
#define PATH_MAX_BYTES 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *folder, const char *name, uint8_t *buffer)
{
    char path[PATH_MAX_BYTES];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "%s: cannot open\n", path);
        return -1;
    }
    size_t size = fread(buffer, 1, INPUT_MAX_BYTES, file);
    (void)fclose(file);
    /* A copy of the exact size, so that a sanitizer sees a read past the end. An empty input is one
     * byte long in memory and none to the target. */
    uint8_t *data = qe_memdup(buffer, size == 0 ? 1 : size);
    if (data != NULL) {
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    qe_free(data);
    return data == NULL ? -1 : 0;
}

static int replay_folder(const char *folder, uint8_t *buffer, size_t *files_count)
{
    DIR *directory = opendir(folder);
    int rc = 0;

    if (directory == NULL) {
        (void)fprintf(stderr, "%s: not a folder\n", folder);
        return -1;
    }
    /* One thread: the static entry of readdir is nobody else's. */
    struct dirent *entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe) */
    while (entry != NULL && rc == 0) {
        if (entry->d_name[0] != '.') {
            rc = replay_file(folder, entry->d_name, buffer);
            *files_count += 1;
        }
        entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe) */
    }
    (void)closedir(directory);
    return rc;
}

int main(int argc, char **argv)
{
    uint8_t *buffer = qe_calloc(INPUT_MAX_BYTES, 1);
    size_t files_count = 0;
    int rc = buffer == NULL || argc < 2 ? -1 : 0;

    for (int i = 1; i < argc && rc == 0; i++) {
        rc = replay_folder(argv[i], buffer, &files_count);
    }
    qe_free(buffer);
    (void)printf("%zu inputs\n", files_count);
    /* A corpus that is not found must not look like one that passes. */
    return rc == 0 && files_count > 0 ? 0 : 1;
}
