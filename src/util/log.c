#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/text.h"

/* Pipes take this much in one piece: lines of several threads or processes never mix. */
#define LINE_MAX_BYTES 4096
/* Kept free while values are written, so that a cut line still ends well: `..."}` and a newline. */
#define TAIL_BYTES 6
#define UNIT_MAX_BYTES 6 /* "\u001f" */

struct line {
    char data[LINE_MAX_BYTES];
    size_t length;
    bool full; /* something was left out; nothing more is added */
    enum qe_log_format format;
};

static atomic_int s_level = QE_LOG_INFO;
static atomic_int s_format = QE_LOG_LOGFMT;
static atomic_uint_least64_t s_counts[QE_LOG_LEVEL_COUNT];
static const char *const s_level_names[QE_LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

void qe_log_setup(enum qe_log_level level, enum qe_log_format format)
{
    atomic_store(&s_level, (int)level);
    atomic_store(&s_format, (int)format);
}

uint64_t qe_log_count(enum qe_log_level level)
{
    return (unsigned)level < QE_LOG_LEVEL_COUNT ? atomic_load(&s_counts[level]) : 0;
}

bool qe_log_enabled(enum qe_log_level level)
{
    return (unsigned)level < QE_LOG_LEVEL_COUNT && (int)level >= atomic_load(&s_level);
}

const char *qe_log_level_name(enum qe_log_level level)
{
    return (unsigned)level < QE_LOG_LEVEL_COUNT ? s_level_names[level] : "unknown";
}

int qe_log_level_from_name(const char *name, enum qe_log_level *out)
{
    for (unsigned i = 0; i < QE_LOG_LEVEL_COUNT; i++) {
        if (strcmp(name, s_level_names[i]) == 0) {
            *out = (enum qe_log_level)i;
            return 0;
        }
    }
    return -1;
}

static void put(struct line *line, const char *bytes, size_t count)
{
    memcpy(line->data + line->length, bytes, count);
    line->length += count;
}

static bool fits(const struct line *line, size_t count)
{
    return count <= LINE_MAX_BYTES - TAIL_BYTES - line->length;
}

/* The letter behind the backslash for what has a short escape, else NUL. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '"':
    case '\\':
        return (char)c;
    default:
        return '\0';
    }
}

/* The escaped form of the character at the front of `text`; returns its bytes in `text`. Invalid
 * UTF-8 becomes U+FFFD, so that whatever reads the log can read the line. */
static size_t escape(const char *text, size_t count, char out[UNIT_MAX_BYTES], size_t *out_bytes)
{
    static const char hex[] = "0123456789abcdef";
    size_t taken = qe_text_char_bytes(text, count);
    unsigned char c = (unsigned char)text[0];
    char letter = short_escape(c);
    bool is_c1 = taken == 2 && c == 0xc2 && (unsigned char)text[1] < 0xa0; /* U+0080 to U+009F */

    if (taken == 0) {
        out[0] = '\xef';
        out[1] = '\xbf';
        out[2] = '\xbd';
        *out_bytes = 3;
        return 1;
    }
    if (letter != '\0') {
        out[0] = '\\';
        out[1] = letter;
        *out_bytes = 2;
    } else if (c < 0x20 || c == 0x7f || is_c1) {
        c = is_c1 ? (unsigned char)text[1] : c;
        const char code[UNIT_MAX_BYTES] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

        memcpy(out, code, sizeof code);
        *out_bytes = 6;
    } else {
        memcpy(out, text, taken);
        *out_bytes = taken;
    }
    return taken;
}

static void put_quoted(struct line *line, const char *value)
{
    size_t count = strlen(value);

    put(line, "\"", 1);
    for (size_t i = 0; i < count && !line->full;) {
        char unit[UNIT_MAX_BYTES];
        size_t unit_bytes = 0;

        i += escape(value + i, count - i, unit, &unit_bytes);
        if (fits(line, unit_bytes)) {
            put(line, unit, unit_bytes);
        } else {
            put(line, "...", 3);
            line->full = true;
        }
    }
    put(line, "\"", 1);
}

/* What logfmt may show without quotes: printable, no blank, no '=', no '"'. */
static bool is_plain(const char *value)
{
    if (*value == '\0') {
        return false;
    }
    for (const char *c = value; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == '=' || *c == '"' || *c == '\\') {
            return false;
        }
    }
    return true;
}

static void put_pair(struct line *line, const char *key, const char *value)
{
    bool json = line->format == QE_LOG_JSON;
    bool first = line->length == (json ? 1 : 0);
    size_t key_bytes = strlen(key);

    /* Keys are our own literals: plain words. The value needs two quotes at least. */
    if (line->full || !fits(line, key_bytes + 6 + UNIT_MAX_BYTES)) {
        line->full = true;
        return;
    }
    if (!first) {
        put(line, json ? "," : " ", 1);
    }
    if (json) {
        put_quoted(line, key);
        put(line, ":", 1);
    } else {
        put(line, key, key_bytes);
        put(line, "=", 1);
    }
    if (!json && is_plain(value) && fits(line, strlen(value))) {
        put(line, value, strlen(value));
    } else {
        put_quoted(line, value);
    }
}

static void write_line(struct line *line)
{
    int saved_errno = errno; /* logging never changes what the caller is about to report */
    ssize_t wrote = -1;

    if (line->format == QE_LOG_JSON) {
        put(line, "}", 1);
    }
    put(line, "\n", 1);
    do {
        wrote = write(STDERR_FILENO, line->data, line->length);
    } while (wrote < 0 && errno == EINTR);
    /* There is nowhere to report a log that cannot be written. */
    errno = saved_errno;
}

void qe_log(enum qe_log_level level, const char *message, ...)
{
    if (!qe_log_enabled(level)) {
        return;
    }
    struct line line;
    char time[32];
    va_list args;

    line.length = 0;
    line.full = false;
    line.format = (enum qe_log_format)atomic_load(&s_format);
    atomic_fetch_add(&s_counts[level], 1);
    if (line.format == QE_LOG_JSON) {
        put(&line, "{", 1);
    }
    put_pair(&line, "ts", qe_text_from_unix_ms(qe_clock_unix_ms(), time));
    put_pair(&line, "level", s_level_names[level]);
    put_pair(&line, "msg", message);
    va_start(args, message);
    for (const char *key = va_arg(args, const char *); key != NULL;
         key = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);

        if (value != NULL) {
            put_pair(&line, key, value);
        }
    }
    va_end(args);
    write_line(&line);
}
