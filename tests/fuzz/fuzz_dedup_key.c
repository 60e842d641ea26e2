/* Any bytes as a message's body, behind a line that is the JSON pointer to its key: the key is the
 * same each time, has its limit, says by its kind where it is from, and says exactly what stands
 * there. What says exactly what it stands for is never the same for two values. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/dedup_key.h"
#include "consumer/dedup_store.h"
#include "util/json.h"
#include "util/mem.h"

#define INPUT_MAX_BYTES 4096
#define WHOLE_MAX_BYTES 20 /* sixteen digits, and a sign */
#define SHIFT_MAX 10000L   /* beyond any that such an input can make up for */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what, const char *key)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s: %s\n", what, key);
        abort();
    }
}

static struct qe_strbuf key_of(const char *body, size_t bytes, const char *pointer,
                               bool *out_fell_back)
{
    char id[] = "m1";
    char *copy = qe_memdup(body, bytes);
    const struct qe_message message = {.id = id, .body = copy, .body_bytes = bytes};
    const struct qe_dedup_by by = {.pointer = pointer};
    struct qe_strbuf key = {0};

    require(copy != NULL && qe_dedup_key(&by, &message, &key, out_fell_back), "there is an id", "");
    qe_free(copy);
    return key;
}

/* "-12.50e3" -> "-12500", by its digits alone, behind which there is no other; false: it is not
 * whole, or too long for a key. */
static bool write_out(const char *number, size_t bytes, char out[WHOLE_MAX_BYTES])
{
    const size_t mantissa = strcspn(number, "eE") < bytes ? strcspn(number, "eE") : bytes;
    long shift = mantissa < bytes ? strtol(number + mantissa + 1, NULL, 10) : 0;

    shift = shift < -SHIFT_MAX ? -SHIFT_MAX : shift;
    shift = shift > SHIFT_MAX ? SHIFT_MAX : shift;
    char digits[INPUT_MAX_BYTES];
    size_t count = 0;
    bool is_behind = false;

    for (size_t i = 0; i < mantissa; i++) {
        if (number[i] == '.') {
            is_behind = true;
        } else if (number[i] != '-') {
            shift -= is_behind ? 1 : 0;
            digits[count] = number[i];
            count += count > 0 || number[i] != '0' ? 1 : 0;
        }
    }
    for (; count > 0 && digits[count - 1] == '0'; count--) {
        shift++;
    }
    if (count > 0 && (shift < 0 || count > 16 || shift > (long)(16 - count))) {
        return false;
    }
    if (count == 0) { /* nothing but 0, to whatever power */
        digits[count++] = '0';
        shift = 0;
    }
    (void)snprintf(out, WHOLE_MAX_BYTES, "%s%.*s%.*s", number[0] == '-' ? "-" : "", (int)count,
                   digits, (int)shift, "0000000000000000");
    return true;
}

static void check_number(const char *written, size_t bytes, const char *key, bool fell_back)
{
    if (!fell_back) {
        char whole[WHOLE_MAX_BYTES] = "";

        require(write_out(written, bytes, whole) && strcmp(key, whole) == 0, "exactly the number",
                key);
    } else if (strspn(written, "0123456789") == bytes) { /* plain digits */
        require(bytes > 15, "all but long numbers can be a key", key);
    }
}

static void check_value(const char *body, size_t bytes, const struct qe_json *root,
                        const char *pointer, const char *key, bool fell_back)
{
    const struct qe_json *value = qe_json_at(root, pointer);
    size_t written_bytes = 0;
    const char *written = qe_json_written_at(body, bytes, root, pointer, &written_bytes);
    const char *text = qe_json_text(value);
    double number;
    bool yes;

    require((value == NULL) == (written == NULL), "what is there is written there", key);
    if (qe_json_number(value, &number)) {
        check_number(written, written_bytes, key + strlen("number:"), fell_back);
    }
    if (fell_back) {
        require(text == NULL || *text == '\0' || strlen(text) > QE_DEDUP_KEY_MAX_BYTES,
                "a text is a key", key);
        return;
    }
    if (text != NULL) {
        require(strncmp(key, "text:", 5) == 0 && strcmp(key + 5, text) == 0, "the text", key);
    } else if (qe_json_bool(value, &yes)) {
        require(strcmp(key, yes ? "bool:true" : "bool:false") == 0, "the word", key);
    } else {
        require(strncmp(key, "number:", 7) == 0, "there is no fourth kind", key);
    }
    /* The same value alone, in a list: how it is wrapped is of no matter. */
    struct qe_strbuf alone = {0};
    bool alone_fell_back = true;

    (void)qe_strbuf_append_text(&alone, "[");
    (void)qe_strbuf_append(&alone, written, written_bytes);
    (void)qe_strbuf_append_text(&alone, "]");
    struct qe_strbuf again = key_of(alone.data, alone.length_bytes, "/0", &alone_fell_back);

    require(!alone_fell_back && strcmp(again.data, key) == 0, "and nothing but the value", key);
    qe_strbuf_deinit(&again);
    qe_strbuf_deinit(&alone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = qe_memdup(data, size); /* ended by a NUL */
    require(text != NULL, "memory", "");
    if (size > INPUT_MAX_BYTES) {
        qe_free(text);
        return 0;
    }
    char *line_end = memchr(text, '\n', size);
    const char *body = line_end != NULL ? line_end + 1 : text + size;
    const size_t bytes = size - (size_t)(body - text);
    const char *pointer = text;
    struct qe_err ignored = {0};
    bool fell_back = false;
    bool fell_back_again = false;

    if (line_end != NULL) {
        *line_end = '\0';
    }
    if (pointer[0] != '\0' && qe_json_pointer_is_valid(pointer)) {
        struct qe_json *root = qe_json_parse(body, bytes, &ignored);
        struct qe_strbuf key = key_of(body, bytes, pointer, &fell_back);
        struct qe_strbuf again = key_of(body, bytes, pointer, &fell_back_again);

        require(fell_back == fell_back_again && strcmp(key.data, again.data) == 0,
                "the same each time", key.data);
        require(key.length_bytes <= QE_DEDUP_KEY_MAX_BYTES + strlen("number:"), "a key has a limit",
                key.data);
        require(fell_back == (strcmp(key.data, "id:m1") == 0), "else it is the id", key.data);
        check_value(body, bytes, root, pointer, key.data, fell_back);
        qe_strbuf_deinit(&again);
        qe_strbuf_deinit(&key);
        qe_json_destroy(root);
    }
    qe_free(text);
    return 0;
}
