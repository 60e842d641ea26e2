#include "config/expand.h"

#include <stdlib.h>
#include <string.h>

#include "util/text.h"

#define NAME_MAX_BYTES 128

bool qe_expand_needed(const char *text)
{
    return strstr(text, "${") != NULL || strstr(text, "$$") != NULL;
}

static bool is_name_char(char c, size_t index)
{
    bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';

    return is_letter || (index > 0 && c >= '0' && c <= '9');
}

static int append_value(const char *name, const char *fallback, size_t fallback_bytes,
                        struct qe_strbuf *out, struct qe_err *err)
{
    /* Nothing in this process ever changes its environment. */
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe) */

    if (fallback != NULL && (value == NULL || value[0] == '\0')) {
        (void)qe_strbuf_append(out, fallback, fallback_bytes);
        return 0;
    }
    if (value == NULL) {
        return qe_err_set(err, QE_ERR_INVALID,
                          "environment variable %s is not set (${%s:-...} gives a default)", name,
                          name);
    }
    if (!qe_text_is_utf8(value, strlen(value))) {
        return qe_err_set(err, QE_ERR_INVALID, "environment variable %s is not UTF-8", name);
    }
    (void)qe_strbuf_append_text(out, value);
    return 0;
}

/* `at` stands behind "${"; *out_end behind the closing brace. */
static int expand_one(const char *at, const char **out_end, struct qe_strbuf *out,
                      struct qe_err *err)
{
    char name[NAME_MAX_BYTES];
    size_t length = 0;

    while (length + 1 < sizeof name && is_name_char(at[length], length)) {
        name[length] = at[length];
        length++;
    }
    name[length] = '\0';
    const char *rest = at + length;
    const char *fallback = qe_text_starts_with(rest, ":-") ? rest + 2 : NULL;
    const char *close = fallback == NULL ? rest : strchr(fallback, '}');
    if (length == 0 || close == NULL || *close != '}') {
        return qe_err_set(err, QE_ERR_INVALID,
                          "expected ${NAME} or ${NAME:-default} (a literal ${ is written $${)");
    }
    *out_end = close + 1;
    return append_value(name, fallback, fallback == NULL ? 0 : (size_t)(close - fallback), out,
                        err);
}

/* Appends what `at` begins with and returns what follows; NULL with *err. */
static const char *expand_step(const char *at, struct qe_strbuf *out, struct qe_err *err)
{
    if (at[0] == '$' && at[1] == '{') {
        const char *end = NULL;

        return expand_one(at + 2, &end, out, err) == 0 ? end : NULL;
    }
    if (at[0] == '$' && at[1] == '$') {
        (void)qe_strbuf_append_char(out, '$');
        return at + 2;
    }
    size_t plain = 1 + strcspn(at + 1, "$");
    (void)qe_strbuf_append(out, at, plain);
    return at + plain;
}

int qe_expand(const char *text, struct qe_strbuf *out, struct qe_err *err)
{
    (void)qe_strbuf_reserve(out, QE_EXPAND_MAX_BYTES);
    for (const char *at = text; *at != '\0';) {
        at = expand_step(at, out, err);
        if (at == NULL) {
            return -1;
        }
    }
    if (out->failed == QE_ERR_LIMIT) {
        return qe_err_set(err, QE_ERR_INVALID, "longer than 16 KiB after expansion");
    }
    return qe_strbuf_error(out, err);
}
