#include <string.h>

/* Only the files util/json*.c speak to cJSON. */
#include <cjson/cJSON.h>

#include "util/json.h"
#include "util/secret.h"

static void wipe_text(cJSON *node)
{
    if (node->valuestring != NULL) {
        qe_secret_wipe(node->valuestring, strlen(node->valuestring));
    }
}

void qe_json_destroy_wiped(struct qe_json *root)
{
    cJSON *next[QE_JSON_DEPTH_MAX + 1]; /* what is to be done on each level */
    size_t depth = 1;

    next[0] = (void *)root;
    while (root != NULL && depth > 0) {
        cJSON *node = next[depth - 1];

        if (node == NULL) {
            depth--;
            continue;
        }
        wipe_text(node);
        next[depth - 1] = depth == 1 ? NULL : node->next;
        if (node->child != NULL && depth <= QE_JSON_DEPTH_MAX) {
            next[depth++] = node->child;
        }
    }
    cJSON_Delete((void *)root);
}
