#include <string.h>
#include <strings.h>

#include "aws/error_internal.h"
#include "util/json.h"
#include "util/text.h"

#define RAW_MAX_BYTES 200 /* of an answer that is no error of AWS */
#define HEADER_BYTES 512
/* AWS repeats the request it could not verify, and with it the token that came in a header. */
#define TOKEN_HEADER "security-token"

/* --- codes --- */

static bool is_code_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* "com.amazonaws.sqs#QueueDoesNotExist:http://..." -> "QueueDoesNotExist". Ends at the first ':' or
 * ';'; "" when what is left is no code. */
static void copy_code(const char *text, char out[QE_AWS_CODE_BYTES])
{
    const char *end = text + strcspn(text, ":;");
    const char *start = text;
    size_t length = 0;

    for (const char *c = text; c < end; c++) {
        start = *c == '#' ? c + 1 : start;
    }
    while (start + length < end && length < QE_AWS_CODE_BYTES - 1 && is_code_char(start[length])) {
        out[length] = start[length];
        length++;
    }
    out[start + length == end ? length : 0] = '\0';
}

/* --- words --- */

/* One line of printable text: blanks collapse, what cannot be printed goes, and everything from the
 * name of the token's header on. */
static void copy_words(const char *text, size_t bytes, size_t max_bytes, char *out)
{
    size_t used = 0;
    size_t step = 0;
    bool blank = false;

    for (size_t i = 0; i < bytes && used < max_bytes; i += step) {
        const unsigned char c = (unsigned char)text[i];
        step = qe_text_char_bytes(text + i, bytes - i);
        if (step == 0 || c < 0x20 || c == ' ' || c == 0x7f) {
            step = step == 0 ? 1 : step;
            blank = true;
            continue;
        }
        if (used + step + (blank ? 1 : 0) > max_bytes) {
            break;
        }
        if (blank && used > 0) {
            out[used++] = ' ';
        }
        blank = false;
        memcpy(out + used, text + i, step);
        used += step;
    }
    out[used] = '\0';
    for (size_t i = 0; i < used; i++) {
        if (strncasecmp(out + i, TOKEN_HEADER, sizeof TOKEN_HEADER - 1) == 0) {
            out[i] = '\0';
            break;
        }
    }
}

/* AWS's message is its first line: what follows repeats the request. */
static void copy_message(const char *text, size_t bytes, struct qe_aws_error_text *out)
{
    const char *end = memchr(text, '\n', bytes);

    copy_words(text, end == NULL ? bytes : (size_t)(end - text), QE_AWS_MESSAGE_MAX_BYTES,
               out->message);
}

/* --- JSON --- */

static const char *first_text(const struct qe_json *object, const char *const *keys)
{
    const char *text = NULL;

    for (size_t i = 0; keys[i] != NULL && text == NULL; i++) {
        text = qe_json_text(qe_json_get(object, keys[i]));
    }
    return text;
}

static void read_json(const struct qe_strbuf *body, struct qe_aws_error_text *out)
{
    static const char *const code_keys[] = {"__type", "code", "Code", NULL};
    static const char *const message_keys[] = {"message", "Message", "errorMessage", NULL};
    struct qe_err ignored = {0};
    struct qe_json *root = qe_json_parse(body->data, body->length_bytes, &ignored);
    const char *code = first_text(root, code_keys);
    const char *message = first_text(root, message_keys);

    if (code != NULL) {
        copy_code(code, out->code);
    }
    if (message != NULL) {
        copy_message(message, strlen(message), out);
    }
    qe_json_destroy(root);
}

/* --- XML: <ErrorResponse>...<Error><Code>...</Code><Message>... --- */

static size_t decode_entity(const char *text, size_t bytes, char *out)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};

    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
        const size_t length = strlen(entities[i].name);
        if (bytes >= length && memcmp(text, entities[i].name, length) == 0) {
            *out = entities[i].c;
            return length;
        }
    }
    *out = text[0];
    return 1;
}

/* The text of the first element of that name, decoded; false: there is none. */
static bool copy_element(const struct qe_strbuf *body, const char *open, const char *close,
                         char out[HEADER_BYTES])
{
    const char *start = strstr(qe_strbuf_text(body), open);
    const char *end = start == NULL ? NULL : strstr(start, close);
    size_t used = 0;
    size_t step = 0;

    if (end == NULL) {
        return false;
    }
    start += strlen(open);
    for (const char *at = start; at < end && used < HEADER_BYTES - 1; at += step) {
        step = decode_entity(at, (size_t)(end - at), out + used);
        used++;
    }
    out[used] = '\0';
    return true;
}

static void read_xml(const struct qe_strbuf *body, struct qe_aws_error_text *out)
{
    char text[HEADER_BYTES] = "";

    if (copy_element(body, "<Code>", "</Code>", text)) {
        copy_code(text, out->code);
        if (out->code[0] != '\0' && copy_element(body, "<Message>", "</Message>", text)) {
            copy_message(text, strlen(text), out);
        }
    }
}

static char first_char(const struct qe_strbuf *body)
{
    const char *text = qe_strbuf_text(body);

    return text[strspn(text, " \t\r\n\xef\xbb\xbf")]; /* blanks and a byte order mark */
}

void qe_aws_error_text_read(const struct qe_http_reply *reply, struct qe_aws_error_text *out)
{
    char header[HEADER_BYTES];
    const char first = first_char(&reply->body);

    *out = (struct qe_aws_error_text){0};
    if (qe_http_reply_header(reply, "x-amzn-query-error", header, sizeof header)) {
        copy_code(header, out->legacy_code);
    }
    if (first == '{') {
        read_json(&reply->body, out);
    } else if (first == '<') {
        read_xml(&reply->body, out);
    }
    if (out->code[0] == '\0' &&
        qe_http_reply_header(reply, "x-amzn-errortype", header, sizeof header)) {
        copy_code(header, out->code);
    }
    if (out->code[0] == '\0' && out->legacy_code[0] == '\0') {
        copy_words(qe_strbuf_text(&reply->body), reply->body.length_bytes, RAW_MAX_BYTES,
                   out->message);
    }
}
