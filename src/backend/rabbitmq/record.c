#include "backend/rabbitmq/record.h"

#include <string.h>

#include "util/hash.h"
#include "util/mem.h"

#define SLOTS_LEAST 64

static uint64_t hash_of(const char *vhost, size_t vhost_bytes, const char *name, size_t name_bytes)
{
    const uint64_t hash = qe_hash_bytes(QE_HASH_START, vhost, vhost_bytes);

    return qe_hash_bytes(qe_hash_bytes(hash, "", 1), name, name_bytes);
}

int qe_rmq_record_lead(struct qe_rmq_record *record, const char *node, int64_t now_mono_ms,
                       struct qe_err *err)
{
    struct qe_rmq_definition *definition = &record->definition;
    char *copy = NULL;

    if (node[0] == '\0' || strcmp(node, definition->node) == 0) {
        return 0;
    }
    copy = qe_strdup(node);
    if (copy == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "leader of queue %s", definition->name);
    }
    if (definition->node[0] != '\0') {
        record->led_mono_ms = now_mono_ms;
    }
    qe_free(definition->node);
    definition->node = copy;
    return 0;
}

struct qe_rmq_table *qe_rmq_table_new(struct qe_err *err)
{
    struct qe_rmq_table *table = qe_calloc(1, sizeof *table);

    if (table != NULL) {
        table->slots = qe_calloc(SLOTS_LEAST, sizeof *table->slots);
        table->slots_count = SLOTS_LEAST;
    }
    if (table == NULL || table->slots == NULL) {
        qe_err_set(err, QE_ERR_NOMEM, "table of queues");
        qe_rmq_table_destroy(table);
        return NULL;
    }
    return table;
}

void qe_rmq_table_destroy(struct qe_rmq_table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->count; i++) {
        qe_rmq_definition_deinit(&table->items[i].definition);
        qe_rmq_history_destroy(table->items[i].history);
    }
    qe_free(table->items);
    qe_free(table->slots);
    qe_free(table);
}

static bool is_text(const char *text, const char *bytes, size_t count)
{
    return strncmp(text, bytes, count) == 0 && text[count] == '\0';
}

/* The slot of a queue: its own, or the free one where it would be. */
static size_t slot_of(const struct qe_rmq_table *table, const char *vhost, size_t vhost_bytes,
                      const char *name, size_t name_bytes)
{
    const size_t mask = table->slots_count - 1;
    size_t at = (size_t)hash_of(vhost, vhost_bytes, name, name_bytes) & mask;

    for (; table->slots[at] != 0; at = (at + 1) & mask) {
        const struct qe_rmq_definition *found = &table->items[table->slots[at] - 1].definition;

        if (is_text(found->name, name, name_bytes) && is_text(found->vhost, vhost, vhost_bytes)) {
            break;
        }
    }
    return at;
}

struct qe_rmq_record *qe_rmq_table_find(const struct qe_rmq_table *table, const char *vhost,
                                        size_t vhost_bytes, const char *name, size_t name_bytes)
{
    const size_t slot = table->slots[slot_of(table, vhost, vhost_bytes, name, name_bytes)];

    return slot == 0 ? NULL : &table->items[slot - 1];
}

struct qe_rmq_record *qe_rmq_table_get(const struct qe_rmq_table *table, const char *vhost,
                                       const char *name)
{
    return qe_rmq_table_find(table, vhost, strlen(vhost), name, strlen(name));
}

static int grow_slots(struct qe_rmq_table *table)
{
    const size_t old_count = table->slots_count;
    size_t *old = table->slots;

    if ((table->count + 1) * 2 <= old_count) {
        return 0;
    }
    table->slots = qe_calloc(old_count * 2, sizeof *table->slots);
    if (table->slots == NULL) {
        table->slots = old;
        return -1;
    }
    table->slots_count = old_count * 2;
    for (size_t i = 0; i < table->count; i++) {
        const struct qe_rmq_definition *each = &table->items[i].definition;

        table->slots[slot_of(table, each->vhost, strlen(each->vhost), each->name,
                             strlen(each->name))] = i + 1;
    }
    qe_free(old);
    return 0;
}

int qe_rmq_table_add_take(struct qe_rmq_table *table, struct qe_rmq_definition *definition,
                          struct qe_err *err)
{
    size_t slot = 0;

    if (grow_slots(table) != 0 || qe_grow(&table->items, table->count, &table->capacity,
                                          QE_QUEUES_MAX, sizeof *table->items) != 0) {
        qe_rmq_definition_deinit(definition);
        return qe_err_set(err, table->count >= QE_QUEUES_MAX ? QE_ERR_LIMIT : QE_ERR_NOMEM,
                          "table of %zu queues", table->count + 1);
    }
    slot = slot_of(table, definition->vhost, strlen(definition->vhost), definition->name,
                   strlen(definition->name));
    if (table->slots[slot] != 0) {
        qe_rmq_definition_deinit(definition);
        return 0;
    }
    table->items[table->count] = (struct qe_rmq_record){.definition = *definition};
    table->count++;
    table->slots[slot] = table->count;
    *definition = (struct qe_rmq_definition){0};
    return 0;
}

void qe_rmq_table_carry_over(struct qe_rmq_table *table, struct qe_rmq_table *old,
                             int64_t now_mono_ms)
{
    for (size_t i = 0; i < table->count; i++) {
        struct qe_rmq_record *record = &table->items[i];
        struct qe_rmq_record *before =
            old == NULL ? NULL
                        : qe_rmq_table_get(old, record->definition.vhost, record->definition.name);

        record->born_mono_ms = now_mono_ms;
        if (before == NULL || before->definition.kind != record->definition.kind) {
            continue;
        }
        struct qe_rmq_definition definition = record->definition;
        struct qe_rmq_definition older = before->definition;
        const bool was_linked = record->was_linked || before->was_linked;
        const bool may_get_dead_letters = record->may_get_dead_letters || was_linked;

        *record = *before;
        record->definition = definition;
        record->was_linked = was_linked;
        record->may_get_dead_letters = may_get_dead_letters;
        if (definition.node[0] != '\0' && older.node[0] != '\0' &&
            strcmp(definition.node, older.node) != 0) {
            record->led_mono_ms = now_mono_ms;
        }
        *before = (struct qe_rmq_record){.definition = older};
    }
}
