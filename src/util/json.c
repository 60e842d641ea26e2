#include "util/json.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* Only the files util/json*.c speak to cJSON. */
#include <cjson/cJSON.h>

#include "util/json_internal.h"
#include "util/mem.h"
#include "util/number.h"

static pthread_once_t s_hooks_once = PTHREAD_ONCE_INIT;
static _Thread_local bool s_ran_out;

static void *allocate(size_t size_bytes)
{
    void *block = qe_reallocarray(NULL, 1, size_bytes);

    s_ran_out = s_ran_out || block == NULL;
    return block;
}

static void set_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = qe_free};

    cJSON_InitHooks(&hooks);
}

void qe_json_prepare(void)
{
    (void)pthread_once(&s_hooks_once, set_hooks);
    s_ran_out = false;
}

bool qe_json_ran_out(void)
{
    return s_ran_out;
}

/* struct qe_json is never defined: a qe_json is a cJSON under another name. */
static struct qe_json *to_qe(cJSON *node)
{
    return (void *)node;
}

static cJSON *to_node(struct qe_json *json)
{
    return (void *)json;
}

struct qe_json *qe_json_new_object(void)
{
    qe_json_prepare();
    return to_qe(cJSON_CreateObject());
}

struct qe_json *qe_json_new_array(void)
{
    qe_json_prepare();
    return to_qe(cJSON_CreateArray());
}

void qe_json_destroy(struct qe_json *root)
{
    cJSON_Delete(to_node(root));
}

/* Owns `child` also on failure. */
static int add(cJSON *parent, const char *key, cJSON *child)
{
    if (parent != NULL && child != NULL) {
        cJSON_bool added = key == NULL ? cJSON_AddItemToArray(parent, child)
                                       : cJSON_AddItemToObject(parent, key, child);

        if (added) {
            return 0;
        }
    }
    cJSON_Delete(child);
    return -1;
}

int qe_json_add_text(struct qe_json *object, const char *key, const char *text)
{
    return object == NULL ? -1 : add(to_node(object), key, cJSON_CreateString(text));
}

int qe_json_add_number(struct qe_json *object, const char *key, double number)
{
    char text[QE_NUMBER_MAX_BYTES + 1];

    if (!isfinite(number)) { /* JSON has no word for it */
        return qe_json_add_null(object, key);
    }
    /* cJSON's own form would depend on the size of the number; ours is the one of /metrics. */
    text[qe_number_write_double(number, text)] = '\0';
    return object == NULL ? -1 : add(to_node(object), key, cJSON_CreateRaw(text));
}

int qe_json_add_bool(struct qe_json *object, const char *key, bool value)
{
    return object == NULL ? -1 : add(to_node(object), key, cJSON_CreateBool(value));
}

int qe_json_add_null(struct qe_json *object, const char *key)
{
    return object == NULL ? -1 : add(to_node(object), key, cJSON_CreateNull());
}

int qe_json_add_take(struct qe_json *parent, const char *key, struct qe_json *child)
{
    return add(to_node(parent), key, to_node(child));
}

char *qe_json_print(const struct qe_json *root)
{
    const void *node = root;

    return node == NULL ? NULL : cJSON_PrintUnformatted(node);
}
