#include <stdint.h>
#include <string.h>

#include "aws/profile.h"
#include "aws/profile_internal.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/.%@:+"
#define KEY_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-_"
#define KEY_MAX_BYTES 128
#define NOWHERE SIZE_MAX

/* A piece of the text. */
struct piece {
    const char *start;
    size_t bytes;
};

struct parser {
    struct qe_aws_profiles *profiles;
    enum qe_aws_profile_file file;
    const char *path;
    size_t line;
    bool in_section;
    size_t section; /* NOWHERE: in none, or in one that is passed over */
    bool in_property;
    struct qe_strbuf *value; /* of the property; NULL: it is passed over */
    bool is_nested;          /* the property had no value of its own: what follows are keys */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct piece trim(struct piece piece)
{
    while (piece.bytes > 0 && is_blank(piece.start[0])) {
        piece.start++;
        piece.bytes--;
    }
    while (piece.bytes > 0 && is_blank(piece.start[piece.bytes - 1])) {
        piece.bytes--;
    }
    return piece;
}

/* Without a comment behind it, which begins with # or ;, behind a blank or anywhere. */
static struct piece drop_comment(struct piece piece, bool needs_blank)
{
    for (size_t i = 0; i < piece.bytes; i++) {
        if ((piece.start[i] == '#' || piece.start[i] == ';') &&
            (!needs_blank || (i > 0 && is_blank(piece.start[i - 1])))) {
            piece.bytes = i;
        }
    }
    return trim(piece);
}

/* Whether `piece` is made of these characters only, and not empty. */
static bool is_made_of(struct piece piece, const char *characters)
{
    for (size_t i = 0; i < piece.bytes; i++) {
        if (piece.start[i] == '\0' || strchr(characters, piece.start[i]) == NULL) {
            return false;
        }
    }
    return piece.bytes > 0;
}

static bool is_word(struct piece piece, const char *word)
{
    return piece.bytes == strlen(word) && memcmp(piece.start, word, piece.bytes) == 0;
}

/* Never the line itself: it may hold a secret. */
static int complain(const struct parser *parser, const char *what, struct qe_err *err)
{
    return qe_err_set(err, QE_ERR_INVALID, "%s:%zu: %s", parser->path, parser->line, what);
}

/* Goes on in the section of that name; in none when the name cannot be. */
static int enter(struct parser *parser, enum qe_aws_section_kind kind, struct piece name,
                 struct qe_err *err)
{
    if (!is_made_of(name, NAME_CHARACTERS)) {
        return 0;
    }
    parser->section = qe_aws_profiles_want(parser->profiles, kind, name.start, name.bytes, err);
    return parser->section == NOWHERE ? qe_err_wrap(err, "%s:%zu", parser->path, parser->line) : 0;
}

/* "profile x", "services x" and so on of a configuration file; what it does not know, it passes
 * over. */
static int enter_config(struct parser *parser, struct piece inside, struct qe_err *err)
{
    static const struct {
        const char *word;
        enum qe_aws_section_kind kind;
    } s_kinds[] = {{"profile", QE_AWS_SECTION_PROFILE},
                   {"services", QE_AWS_SECTION_SERVICES},
                   {"sso-session", QE_AWS_SECTION_SSO_SESSION}};
    struct piece word = inside;

    if (is_word(inside, "default")) {
        return enter(parser, QE_AWS_SECTION_BARE_DEFAULT, inside, err);
    }
    for (word.bytes = 0; word.bytes < inside.bytes && !is_blank(word.start[word.bytes]);) {
        word.bytes++;
    }
    const struct piece name =
        trim((struct piece){inside.start + word.bytes, inside.bytes - word.bytes});

    for (size_t i = 0; i < sizeof s_kinds / sizeof s_kinds[0]; i++) {
        if (is_word(word, s_kinds[i].word)) {
            return enter(parser, s_kinds[i].kind, name, err);
        }
    }
    return 0;
}

static int parse_section(struct parser *parser, struct piece line, struct qe_err *err)
{
    const struct piece head = drop_comment(line, false);

    if (head.bytes < 2 || head.start[head.bytes - 1] != ']') {
        return complain(parser, "a profile definition must end with ']'", err);
    }
    const struct piece inside = trim((struct piece){head.start + 1, head.bytes - 2});

    parser->in_section = true;
    parser->section = NOWHERE;
    parser->in_property = false;
    parser->value = NULL;
    return parser->file == QE_AWS_FILE_CONFIG ? enter_config(parser, inside, err)
                                              : enter(parser, QE_AWS_SECTION_PROFILE, inside, err);
}

/* In lower case; false for what is no key. */
static bool fold_key(struct piece key, char out[KEY_MAX_BYTES])
{
    if (key.bytes > KEY_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < key.bytes; i++) {
        const char c = key.start[i];

        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return is_made_of((struct piece){out, key.bytes}, KEY_CHARACTERS);
}

static int parse_property(struct parser *parser, struct piece line, struct qe_err *err)
{
    const struct piece text = drop_comment(line, true);
    const char *equals = memchr(text.start, '=', text.bytes);
    char folded[KEY_MAX_BYTES];

    if (!parser->in_section) {
        return complain(parser, "expected a profile definition, like [default], before this", err);
    }
    if (equals == NULL) {
        return complain(parser, "expected an '=' sign defining a property", err);
    }
    const struct piece key = trim((struct piece){text.start, (size_t)(equals - text.start)});
    const struct piece value =
        trim((struct piece){equals + 1, (size_t)(text.start + text.bytes - (equals + 1))});

    if (key.bytes == 0) {
        return complain(parser, "the property did not have a name", err);
    }
    parser->in_property = true;
    parser->is_nested = value.bytes == 0;
    parser->value = NULL;
    if (parser->section == NOWHERE || !fold_key(key, folded)) {
        return 0;
    }
    struct qe_aws_property *property =
        qe_aws_section_want(&parser->profiles->sections[parser->section], folded, key.bytes, err);

    if (property == NULL) {
        return qe_err_wrap(err, "%s:%zu", parser->path, parser->line);
    }
    parser->value = &property->value;
    return qe_strbuf_append(parser->value, value.start, value.bytes) == 0
               ? 0
               : qe_strbuf_error(parser->value, err);
}

static int parse_continuation(struct parser *parser, struct piece line, struct qe_err *err)
{
    const char *equals = memchr(line.start, '=', line.bytes);

    if (!parser->in_section) {
        return complain(parser, "expected a profile definition, found a continuation", err);
    }
    if (!parser->in_property) {
        return complain(parser, "expected a property definition, found continuation", err);
    }
    if (parser->is_nested && equals == NULL) {
        return complain(parser, "expected an '=' sign defining a sub-property", err);
    }
    if (parser->is_nested && equals == line.start) {
        return complain(parser, "the sub-property did not have a name", err);
    }
    if (parser->value == NULL) {
        return 0;
    }
    (void)qe_strbuf_append_char(parser->value, '\n');
    return qe_strbuf_append(parser->value, line.start, line.bytes) == 0
               ? 0
               : qe_strbuf_error(parser->value, err);
}

static int parse_line(struct parser *parser, struct piece line, struct qe_err *err)
{
    const struct piece text = trim(line);

    if (memchr(line.start, '\0', line.bytes) != NULL) {
        return complain(parser, "a NUL byte, which no settings file has", err);
    }
    /* An indented comment is one too, as AWS's command line takes it. */
    if (text.bytes == 0 || text.start[0] == '#' || text.start[0] == ';') {
        return 0;
    }
    if (is_blank(line.start[0])) {
        return parse_continuation(parser, text, err);
    }
    return line.start[0] == '[' ? parse_section(parser, text, err)
                                : parse_property(parser, text, err);
}

int qe_aws_profiles_add(struct qe_aws_profiles *profiles, enum qe_aws_profile_file file,
                        const char *path, const char *text, size_t bytes, struct qe_err *err)
{
    struct parser parser = {.profiles = profiles, .file = file, .path = path, .section = NOWHERE};
    const size_t mark = bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* of Windows */
    size_t next = 0;

    if (bytes > QE_AWS_PROFILE_FILE_MAX_BYTES) {
        return qe_err_set(err, QE_ERR_LIMIT, "%s: larger than %zu bytes", path,
                          QE_AWS_PROFILE_FILE_MAX_BYTES);
    }
    for (size_t start = mark; start < bytes; start = next) {
        const char *end = memchr(text + start, '\n', bytes - start);
        const size_t line_bytes = end == NULL ? bytes - start : (size_t)(end - (text + start));

        next = start + line_bytes + 1;
        parser.line++;
        if (parse_line(&parser, (struct piece){text + start, line_bytes}, err) != 0) {
            return -1;
        }
    }
    return file == QE_AWS_FILE_CONFIG ? qe_aws_profiles_settle_default(profiles, err) : 0;
}
