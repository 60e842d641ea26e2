/* The queues a handle knows, findable by URL, by label and by ARN. */
#include <string.h>

#include "backend/sqs/watch.h"
#include "util/mem.h"
#include "util/text.h"

#define FIRST_SLOTS 64

static const char *key_of(const struct qe_sqs_record *record, enum qe_sqs_key key)
{
    return key == QE_SQS_BY_URL     ? record->url
           : key == QE_SQS_BY_LABEL ? record->label
                                    : record->arn;
}

/* FNV-1a. */
static uint32_t hash_text(const char *text)
{
    uint32_t hash = 2166136261u;

    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    }
    return hash;
}

/* The slot that holds `value`, or the empty one where it would go. The index has room. */
static size_t slot_of(const struct qe_sqs_index *index, enum qe_sqs_key key, const char *value)
{
    const size_t mask = index->slots_count - 1;
    size_t at = hash_text(value) & mask;

    for (; index->slots[at] != NULL && strcmp(key_of(index->slots[at], key), value) != 0;
         at = (at + 1) & mask) {
    }
    return at;
}

/* Puts every record that has the key into slots that are empty; the first of two wins. */
static void fill_index(struct qe_sqs_registry *registry, enum qe_sqs_key key)
{
    struct qe_sqs_index *index = &registry->indexes[key];

    index->count = 0;
    for (size_t i = 0; i < registry->count; i++) {
        struct qe_sqs_record *record = registry->items[i];

        if (key_of(record, key) == NULL) {
            continue;
        }
        size_t at = slot_of(index, key, key_of(record, key));
        if (index->slots[at] == NULL) {
            index->slots[at] = record;
            index->count++;
        }
    }
}

/* Room for one more, in one index. */
static int grow_index(struct qe_sqs_registry *registry, enum qe_sqs_key key, struct qe_err *err)
{
    struct qe_sqs_index *index = &registry->indexes[key];

    if (2 * (index->count + 1) <= index->slots_count) {
        return 0;
    }
    size_t slots_count = index->slots_count == 0 ? FIRST_SLOTS : 2 * index->slots_count;
    struct qe_sqs_record **slots = qe_calloc(slots_count, sizeof(struct qe_sqs_record *));
    if (slots == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "index of %zu queues", registry->count);
    }
    qe_free(index->slots);
    index->slots = slots;
    index->slots_count = slots_count;
    fill_index(registry, key);
    return 0;
}

static void rebuild_index(struct qe_sqs_registry *registry, enum qe_sqs_key key)
{
    struct qe_sqs_index *index = &registry->indexes[key];

    if (index->slots_count > 0) {
        memset(index->slots, 0, index->slots_count * sizeof(struct qe_sqs_record *));
        fill_index(registry, key);
    }
}

static void destroy_record(struct qe_sqs_record *record)
{
    if (record == NULL) {
        return;
    }
    for (size_t i = 0; i < record->tags_count; i++) {
        qe_free(record->tags[i].key);
        qe_free(record->tags[i].value);
    }
    qe_free(record->tags);
    qe_free(record->fresh);
    qe_free(record->url);
    qe_free(record->name);
    qe_free(record->label);
    qe_free(record->arn);
    qe_free(record->dead_letter_arn);
    qe_free(record);
}

void qe_sqs_registry_deinit(struct qe_sqs_registry *registry)
{
    for (size_t i = 0; i < registry->count; i++) {
        destroy_record(registry->items[i]);
    }
    for (size_t i = 0; i < QE_SQS_KEY_COUNT; i++) {
        qe_free(registry->indexes[i].slots);
    }
    qe_free(registry->items);
    *registry = (struct qe_sqs_registry){0};
}

struct qe_sqs_record *qe_sqs_registry_find(const struct qe_sqs_registry *registry,
                                           enum qe_sqs_key key, const char *value)
{
    const struct qe_sqs_index *index = &registry->indexes[key];

    return index->slots_count == 0 ? NULL : index->slots[slot_of(index, key, value)];
}

struct qe_sqs_record *qe_sqs_registry_add(struct qe_sqs_registry *registry, const char *url,
                                          const char *name, struct qe_err *err)
{
    struct qe_sqs_record *record = qe_calloc(1, sizeof *record);

    if (record == NULL || (record->name = qe_strdup(name)) == NULL ||
        (url != NULL && (record->url = qe_strdup(url)) == NULL) ||
        grow_index(registry, QE_SQS_BY_URL, err) != 0 ||
        qe_grow(&registry->items, registry->count, &registry->capacity, QE_QUEUES_MAX,
                sizeof(struct qe_sqs_record *)) != 0) {
        destroy_record(record);
        (void)qe_err_set(err, registry->count >= QE_QUEUES_MAX ? QE_ERR_LIMIT : QE_ERR_NOMEM,
                         "queue %s: no room for it", name);
        return NULL;
    }
    record->spread = hash_text(name);
    registry->items[registry->count++] = record;
    if (url != NULL) {
        struct qe_sqs_index *index = &registry->indexes[QE_SQS_BY_URL];
        size_t at = slot_of(index, QE_SQS_BY_URL, url);

        index->count += index->slots[at] == NULL ? 1 : 0;
        index->slots[at] = record;
    }
    return record;
}

bool qe_sqs_url_split(const char *url, const char **out_account, size_t *out_account_bytes,
                      const char **out_name)
{
    const char *host = strstr(url, "://");
    const char *name = strrchr(url, '/');

    if (host == NULL || name < host + 3 || name[1] == '\0' || strlen(url) >= QE_SQS_URL_BYTES) {
        return false;
    }
    const char *account = name;

    for (; account > host + 3 && account[-1] != '/'; account--) {
    }
    if (account == host + 3) {
        account = name; /* that would be the host itself */
    }
    *out_account = account;
    *out_account_bytes = (size_t)(name - account);
    *out_name = name + 1;
    return true;
}

struct qe_sqs_record *qe_sqs_registry_url(struct qe_sqs_registry *registry, const char *url,
                                          struct qe_err *err)
{
    struct qe_sqs_record *record = qe_sqs_registry_find(registry, QE_SQS_BY_URL, url);
    const char *account = NULL;
    size_t account_bytes = 0;
    const char *name = NULL;

    if (record != NULL) {
        return record;
    }
    if (!qe_sqs_url_split(url, &account, &account_bytes, &name)) {
        (void)qe_err_set(err, QE_ERR_PROTOCOL, "\"%.200s\" is not the URL of a queue", url);
        return NULL;
    }
    return qe_sqs_registry_add(registry, url, name, err);
}

int qe_sqs_registry_set(struct qe_sqs_registry *registry, struct qe_sqs_record *record,
                        enum qe_sqs_key key, const char *value, struct qe_err *err)
{
    char **slot = key == QE_SQS_BY_URL     ? &record->url
                  : key == QE_SQS_BY_LABEL ? &record->label
                                           : &record->arn;
    const bool had_one = *slot != NULL;

    if (had_one && strcmp(*slot, value) == 0) {
        return 0;
    }
    char *copy = qe_strdup(value);
    if (copy == NULL || grow_index(registry, key, err) != 0) {
        qe_free(copy);
        return qe_err_set(err, QE_ERR_NOMEM, "queue %s", record->name);
    }
    qe_free(*slot);
    *slot = copy;
    if (had_one) {
        rebuild_index(registry, key); /* rare: a queue was made anew, or names changed hands */
        return 0;
    }
    struct qe_sqs_index *index = &registry->indexes[key];
    size_t at = slot_of(index, key, copy);

    if (index->slots[at] == NULL) {
        index->slots[at] = record;
        index->count++;
    }
    return 0;
}

void qe_sqs_registry_sweep(struct qe_sqs_registry *registry, uint64_t generation)
{
    size_t kept = 0;

    for (size_t i = 0; i < registry->count; i++) {
        if (registry->items[i]->generation < generation) {
            destroy_record(registry->items[i]);
            continue;
        }
        registry->items[kept++] = registry->items[i];
    }
    if (kept == registry->count) {
        return;
    }
    registry->count = kept;
    for (size_t i = 0; i < QE_SQS_KEY_COUNT; i++) {
        rebuild_index(registry, (enum qe_sqs_key)i);
    }
}
