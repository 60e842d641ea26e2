#include "util/regex.h"

#include <stdint.h>
#include <string.h>

/* The one file that speaks to PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "util/mem.h"

#define PATTERN_MAX_BYTES 4096
/* Enough for any sane pattern on a queue name (at most some hundred bytes), and a few milliseconds
 * for the insane: (a+)+b. */
#define MATCH_LIMIT 100000
#define DEPTH_LIMIT 1000
#define HEAP_LIMIT_KIB 1024
/* Of a search, which begins anew at each byte of up to 16 MiB: a second or so for the insane. */
#define SEARCH_MATCH_LIMIT 20000000
#define SEARCH_HEAP_LIMIT_KIB (16 * 1024)

struct qe_regex {
    char *pattern; /* owned */
    pcre2_code *code;
    bool is_search;
    pcre2_match_context *limits; /* never written after qe_regex_new: threads share it */
};

static void *allocate(size_t size_bytes, void *unused)
{
    (void)unused;
    return qe_reallocarray(NULL, 1, size_bytes);
}

static void release(void *block, void *unused)
{
    (void)unused;
    qe_free(block);
}

/* People count characters, PCRE2 bytes. */
static size_t character_at(const char *pattern, size_t offset_bytes)
{
    size_t character = 1;

    for (size_t i = 0; i < offset_bytes && pattern[i] != '\0'; i++) {
        if (((unsigned char)pattern[i] & 0xc0) != 0x80) {
            character++;
        }
    }
    return character;
}

static int compile(struct qe_regex *regex, pcre2_general_context *memory, struct qe_err *err)
{
    /* The whole text must match, and `.` is any character: as in Prometheus. \C would split a
     * UTF-8 character. */
    const uint32_t whole = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL |
                           PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    const uint32_t options =
        regex->is_search ? PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C : whole;
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(memory);

    if (context == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for a regular expression");
    }
    regex->code = pcre2_compile((PCRE2_SPTR)regex->pattern, PCRE2_ZERO_TERMINATED, options, &error,
                                &offset, context);
    pcre2_compile_context_free(context);
    if (regex->code != NULL) {
        return 0;
    }
    if (error == PCRE2_ERROR_HEAP_FAILED) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for a regular expression");
    }
    char reason[160] = "";

    (void)pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason);
    return qe_err_set(err, QE_ERR_INVALID, "regular expression is wrong at character %zu: %s",
                      character_at(regex->pattern, offset), reason);
}

static int build(struct qe_regex *regex, const char *pattern, pcre2_general_context *memory,
                 struct qe_err *err)
{
    regex->pattern = qe_strdup(pattern);
    if (regex->pattern == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for a regular expression");
    }
    if (compile(regex, memory, err) != 0) {
        return -1;
    }
    regex->limits = pcre2_match_context_create(memory);
    if (regex->limits == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for a regular expression");
    }
    (void)pcre2_set_match_limit(regex->limits, regex->is_search ? SEARCH_MATCH_LIMIT : MATCH_LIMIT);
    (void)pcre2_set_depth_limit(regex->limits, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(regex->limits,
                               regex->is_search ? SEARCH_HEAP_LIMIT_KIB : HEAP_LIMIT_KIB);
    /* Where there is no JIT (hardened kernels forbid it), the interpreter does the same slower. */
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return 0;
}

static struct qe_regex *new_regex(const char *pattern, bool is_search, struct qe_err *err)
{
    if (strnlen(pattern, PATTERN_MAX_BYTES + 1) > PATTERN_MAX_BYTES) {
        qe_err_set(err, QE_ERR_INVALID, "regular expression is longer than %d bytes",
                   PATTERN_MAX_BYTES);
        return NULL;
    }
    struct qe_regex *regex = qe_calloc(1, sizeof *regex);
    pcre2_general_context *memory = pcre2_general_context_create(allocate, release, NULL);
    int rc = -1;

    if (regex == NULL || memory == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "out of memory for a regular expression");
    } else {
        regex->is_search = is_search;
        rc = build(regex, pattern, memory, err);
    }
    pcre2_general_context_free(memory); /* code and limits keep what they need of it */
    if (rc != 0) {
        qe_regex_destroy(regex);
        return NULL;
    }
    return regex;
}

struct qe_regex *qe_regex_new(const char *pattern, struct qe_err *err)
{
    return new_regex(pattern, false, err);
}

struct qe_regex *qe_regex_new_search(const char *pattern, struct qe_err *err)
{
    return new_regex(pattern, true, err);
}

void qe_regex_destroy(struct qe_regex *regex)
{
    if (regex == NULL) {
        return;
    }
    pcre2_match_context_free(regex->limits);
    pcre2_code_free(regex->code);
    qe_free(regex->pattern);
    qe_free(regex);
}

const char *qe_regex_pattern(const struct qe_regex *regex)
{
    return regex->pattern;
}

static int match_bytes(const struct qe_regex *regex, const char *bytes, size_t count)
{
    /* From PCRE2's own allocator, one per call: what a match writes must not be shared. */
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);

    if (match == NULL) {
        return PCRE2_ERROR_NOMEMORY;
    }
    PCRE2_SPTR subject = (PCRE2_SPTR)bytes;
    int rc = pcre2_match(regex->code, subject, count, 0, 0, match, regex->limits);

    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) { /* 32 KiB: long texts under nested groups */
        rc = pcre2_match(regex->code, subject, count, 0, PCRE2_NO_JIT, match, regex->limits);
    }
    pcre2_match_data_free(match);
    return rc;
}

bool qe_regex_matches(const struct qe_regex *regex, const char *text)
{
    return match_bytes(regex, text, strlen(text)) >= 0;
}

int qe_regex_found(const struct qe_regex *regex, const char *bytes, size_t count,
                   struct qe_err *err)
{
    int rc = match_bytes(regex, bytes, count);

    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) {
        return rc >= 0;
    }
    if (rc == PCRE2_ERROR_NOMEMORY) {
        return qe_err_set(err, QE_ERR_NOMEM, "out of memory for a regular expression");
    }
    return qe_err_set(err, QE_ERR_LIMIT, "the regular expression takes too long on %zu bytes",
                      count);
}
