/* Keeps the README's two references equal to the tables they are made from.
 * readme FILE: exit 1 when they drifted. readme FILE --write: puts them right. */
#include <stdio.h>
#include <string.h>

#include "app/drivers.h"
#include "config/config.h"
#include "metrics/catalogue.h"
#include "util/strbuf.h"

#define README_MAX_BYTES ((size_t)1 << 20)

static int read_file(const char *path, struct qe_strbuf *out)
{
    FILE *file = fopen(path, "re");
    char block[4096];
    size_t got = 0;

    if (file == NULL) {
        (void)fprintf(stderr, "cannot open %s\n", path);
        return -1;
    }
    do {
        got = fread(block, 1, sizeof block, file);
        (void)qe_strbuf_append(out, block, got);
    } while (got > 0);
    (void)fclose(file);
    return out->failed == QE_OK ? 0 : -1;
}

static int write_file(const char *path, const struct qe_strbuf *text)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        (void)fprintf(stderr, "cannot write %s\n", path);
        return -1;
    }
    size_t put = fwrite(text->data, 1, text->length_bytes, file);
    return fclose(file) == 0 && put == text->length_bytes ? 0 : -1;
}

/* Replaces what stands between the markers of `name` in `text`. */
static int put_section(struct qe_strbuf *text, const char *name, const struct qe_strbuf *section)
{
    char begin[64];
    char end[64];
    struct qe_strbuf next;

    (void)snprintf(begin, sizeof begin, "<!-- begin %s -->\n", name);
    (void)snprintf(end, sizeof end, "<!-- end %s -->\n", name);
    const char *from = strstr(qe_strbuf_text(text), begin);
    const char *to = from != NULL ? strstr(from, end) : NULL;
    if (to == NULL) {
        (void)fprintf(stderr, "no markers %s ... %s", begin, end);
        return -1;
    }
    from += strlen(begin);
    qe_strbuf_init(&next, README_MAX_BYTES);
    (void)qe_strbuf_append(&next, text->data, (size_t)(from - text->data));
    (void)qe_strbuf_append(&next, section->data, section->length_bytes);
    (void)qe_strbuf_append_text(&next, to);
    qe_strbuf_deinit(text);
    *text = next;
    return text->failed == QE_OK ? 0 : -1;
}

static int put_references(struct qe_strbuf *text)
{
    struct qe_strbuf section;
    size_t types_count = 0;
    const struct qe_source_type *types = qe_drivers_types(&types_count);

    qe_strbuf_init(&section, README_MAX_BYTES);
    int rc = qe_config_reference(types, types_count, &section);
    if (rc == 0) {
        rc = put_section(text, "configuration reference", &section);
    }
    qe_strbuf_reset(&section);
    if (rc == 0) {
        rc = qe_catalogue_reference(&section);
    }
    if (rc == 0) {
        rc = put_section(text, "metric reference", &section);
    }
    qe_strbuf_deinit(&section);
    return rc;
}

int main(int argc, char **argv)
{
    struct qe_strbuf before;
    struct qe_strbuf after;

    if (argc < 2) {
        (void)fputs("usage: readme FILE [--write]\n", stderr);
        return 2;
    }
    qe_strbuf_init(&before, README_MAX_BYTES);
    qe_strbuf_init(&after, README_MAX_BYTES);
    int rc = read_file(argv[1], &before);
    if (rc == 0) {
        rc = qe_strbuf_append(&after, before.data, before.length_bytes);
    }
    if (rc == 0) {
        rc = put_references(&after);
    }
    if (rc == 0 && strcmp(qe_strbuf_text(&before), qe_strbuf_text(&after)) != 0) {
        if (argc > 2 && strcmp(argv[2], "--write") == 0) {
            rc = write_file(argv[1], &after);
        } else {
            (void)fprintf(
                stderr,
                "%s: the references drifted from the tables: run this program with --write\n",
                argv[1]);
            rc = -1;
        }
    }
    qe_strbuf_deinit(&before);
    qe_strbuf_deinit(&after);
    return rc == 0 ? 0 : 1;
}
