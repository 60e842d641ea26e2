/* Any bytes as JSON: no crash, no hang, no depth past the limit; and what is read prints to text
 * that reads back to the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"
#include "util/mem.h"
#include "util/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

/* A pointer made of a key finds a value of that key. */
static void point_at(const struct qe_json *parent, const char *key)
{
    char pointer[256] = "/";
    size_t length = 1;

    for (const char *c = key; *c != '\0' && length < sizeof pointer - 2; c++) {
        pointer[length++] = *c == '/' ? '~' : *c;
        if (*c == '~' || *c == '/') {
            pointer[length++] = *c == '~' ? '0' : '1';
        }
    }
    pointer[length] = '\0';
    require(qe_json_pointer_is_valid(pointer), "an escaped key is a pointer");
    const struct qe_json *found = qe_json_at(parent, pointer);

    require(length >= sizeof pointer - 2 || (found != NULL && strcmp(qe_json_key(found), key) == 0),
            "a pointer finds its own");
}

/* Looks at one value with every question there is. */
static void look_at(const struct qe_json *parent, const struct qe_json *value)
{
    const char *text = qe_json_text(value);
    const char *key = qe_json_key(value);
    double number = 0;
    bool yes = false;

    require(qe_text_is_utf8(key, strlen(key)), "keys are UTF-8");
    require(text == NULL || qe_text_is_utf8(text, strlen(text)), "texts are UTF-8");
    require((text != NULL) + qe_json_number(value, &number) + qe_json_bool(value, &yes) +
                    qe_json_is_object(value) + qe_json_is_array(value) <=
                1,
            "a value is of one kind");
    if (qe_json_is_object(parent)) {
        const struct qe_json *found = qe_json_get(parent, key);

        require(found == NULL || strcmp(qe_json_key(found), key) == 0, "a key finds its own");
        point_at(parent, key);
    }
}

/* Walks the whole tree with a stack of its own. */
static void walk(const struct qe_json *root)
{
    const struct qe_json *stack[QE_JSON_DEPTH_MAX + 1] = {root};
    const struct qe_json *next[QE_JSON_DEPTH_MAX + 1] = {qe_json_first(root)};

    look_at(NULL, root);
    for (size_t depth = 0; depth < QE_JSON_DEPTH_MAX + 1;) {
        const struct qe_json *value = next[depth];

        if (value == NULL) {
            if (depth == 0) {
                return;
            }
            depth--;
            continue;
        }
        look_at(stack[depth], value);
        next[depth] = qe_json_next(value);
        if (qe_json_first(value) != NULL) {
            depth++;
            require(depth <= QE_JSON_DEPTH_MAX, "the depth has a limit");
            stack[depth] = value;
            next[depth] = qe_json_first(value);
        }
    }
}

static int count_item(void *context, const struct qe_json *item, struct qe_err *err)
{
    size_t *count = context;

    (void)err;
    require(item != NULL, "an item is a value");
    (*count)++;
    return 0;
}

/* Value by value, a list is what it is as a whole. */
static void compare_each(const char *text, size_t bytes, const struct qe_json *root)
{
    struct qe_err err = {0};
    size_t count = 0;
    const bool is_read = qe_json_each(text, bytes, count_item, &count, &err) == 0;

    require(is_read == qe_json_is_array(root), "a list is read, and nothing else");
    require(!is_read || count == qe_json_count(root), "each value once");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qe_err err = {0};
    struct qe_json *root = qe_json_parse((const char *)data, size, &err);

    compare_each((const char *)data, size, root);
    if (root == NULL) {
        require(err.code == QE_ERR_PROTOCOL && err.message[0] != '\0', "a refusal says why");
        return 0;
    }
    walk(root);
    char *printed = qe_json_print(root);

    require(printed != NULL, "what was read can be printed");
    struct qe_json *again = qe_json_parse(printed, strlen(printed), &err);

    require(again != NULL, "what was printed can be read");
    char *reprinted = qe_json_print(again);

    require(reprinted != NULL && strcmp(printed, reprinted) == 0, "it reads back to the same");
    qe_json_destroy(again);
    qe_free(reprinted);
    struct qe_strbuf indented;

    qe_strbuf_init(&indented, 0);
    qe_json_indent((const char *)data, size, &indented);
    again = qe_json_parse(qe_strbuf_text(&indented), indented.length_bytes, &err);
    require(again != NULL, "what was indented can be read");
    reprinted = qe_json_print(again);
    require(reprinted != NULL && strcmp(printed, reprinted) == 0, "and says the same");
    qe_strbuf_deinit(&indented);
    qe_free(reprinted);
    qe_free(printed);
    qe_json_destroy(again);
    qe_json_destroy(root);
    return 0;
}
