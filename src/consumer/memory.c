#include "consumer/memory.h"

#include <string.h>

#include "util/hash.h"
#include "util/mem.h"

static size_t head_of(const char *id)
{
    const uint64_t hash = qe_hash_bytes(QE_HASH_START, id, strlen(id));

    return (size_t)((hash ^ (hash >> 32)) % QE_MEMORY_HEADS);
}

static struct qe_memory_entry *at(const struct qe_memory *memory, uint32_t place)
{
    return &memory->entries[place - 1];
}

static uint32_t find(const struct qe_memory *memory, const char *id)
{
    uint32_t place = memory->heads[head_of(id)];

    while (place != 0 && strcmp(at(memory, place)->id, id) != 0) {
        place = at(memory, place)->next;
    }
    return place;
}

const struct qe_memory_entry *qe_memory_find(const struct qe_memory *memory, const char *id)
{
    uint32_t place = find(memory, id);

    return place == 0 || at(memory, place)->error == NULL ? NULL : at(memory, place);
}

uint32_t qe_memory_unhandled(const struct qe_memory *memory, const char *id)
{
    uint32_t place = find(memory, id);

    return place == 0 ? 0 : at(memory, place)->unhandled;
}

/* Out of its chain and out of the order of ages. */
static void unlink_entry(struct qe_memory *memory, uint32_t place)
{
    struct qe_memory_entry *entry = at(memory, place);
    uint32_t *link = &memory->heads[head_of(entry->id)];

    while (*link != place) {
        link = &at(memory, *link)->next;
    }
    *link = entry->next;
    *(entry->older != 0 ? &at(memory, entry->older)->newer : &memory->oldest) = entry->newer;
    *(entry->newer != 0 ? &at(memory, entry->newer)->older : &memory->newest) = entry->older;
}

static void forget(struct qe_memory *memory, uint32_t place)
{
    struct qe_memory_entry *entry = at(memory, place);

    unlink_entry(memory, place);
    qe_free(entry->id);
    qe_free(entry->error);
    *entry = (struct qe_memory_entry){.next = memory->unused};
    memory->unused = place;
}

/* A place for one more; 0: out of memory. */
static uint32_t take_place(struct qe_memory *memory)
{
    uint32_t place = memory->unused;

    if (place == 0 && memory->count == QE_MEMORY_MESSAGES_MAX) {
        forget(memory, memory->oldest);
        place = memory->unused;
    }
    if (place != 0) {
        memory->unused = at(memory, place)->next;
        return place;
    }
    if (qe_grow(&memory->entries, memory->count, &memory->capacity, QE_MEMORY_MESSAGES_MAX,
                sizeof *memory->entries) != 0) {
        return 0;
    }
    memory->entries[memory->count++] = (struct qe_memory_entry){0};
    return (uint32_t)memory->count;
}

/* The message's place, a new one if it has none; 0: out of memory. */
static uint32_t place_of(struct qe_memory *memory, const char *id)
{
    uint32_t place = find(memory, id);
    char *copy = place == 0 ? qe_strdup(id) : NULL;

    if (place != 0 || copy == NULL) {
        return place;
    }
    place = take_place(memory);
    if (place == 0) {
        qe_free(copy);
        return 0;
    }
    uint32_t *head = &memory->heads[head_of(id)];

    *at(memory, place) =
        (struct qe_memory_entry){.id = copy, .next = *head, .older = memory->newest};
    *(memory->newest != 0 ? &at(memory, memory->newest)->newer : &memory->oldest) = place;
    memory->newest = place;
    *head = place;
    return place;
}

int qe_memory_add(struct qe_memory *memory, const char *id, const char *error,
                  int64_t first_seen_unix_ms, struct qe_err *err)
{
    if (id[0] == '\0' || qe_memory_find(memory, id) != NULL) {
        return 0;
    }
    char *copy = qe_strdup(error);
    uint32_t place = copy != NULL ? place_of(memory, id) : 0;

    if (place == 0) {
        qe_free(copy);
        return qe_err_set(err, QE_ERR_NOMEM, "a message's first error");
    }
    at(memory, place)->error = copy;
    at(memory, place)->first_seen_unix_ms = first_seen_unix_ms;
    return 0;
}

int qe_memory_add_unhandled(struct qe_memory *memory, const char *id, struct qe_err *err)
{
    uint32_t place = id[0] != '\0' ? place_of(memory, id) : 0;

    if (place != 0) {
        at(memory, place)->unhandled++;
    }
    return place != 0 || id[0] == '\0' ? 0 : qe_err_set(err, QE_ERR_NOMEM, "a message's receives");
}

void qe_memory_reset_unhandled(struct qe_memory *memory, const char *id)
{
    uint32_t place = memory->count > 0 && id[0] != '\0' ? find(memory, id) : 0;

    if (place != 0) {
        at(memory, place)->unhandled = 0;
    }
}

void qe_memory_forget(struct qe_memory *memory, const char *id)
{
    uint32_t place = memory->count > 0 && id[0] != '\0' ? find(memory, id) : 0;

    if (place != 0) {
        forget(memory, place);
    }
}

void qe_memory_deinit(struct qe_memory *memory)
{
    for (size_t i = 0; i < memory->count; i++) {
        qe_free(memory->entries[i].id);
        qe_free(memory->entries[i].error);
    }
    qe_free(memory->entries);
    *memory = (struct qe_memory){0};
}
