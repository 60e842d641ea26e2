#include "consumer/order.h"

/* A longer time without a receive says nothing of the queue. */
#define GAP_MS 1000

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static size_t head_of(uint64_t group_hash)
{
    return (size_t)((group_hash ^ (group_hash >> 32)) % QE_ORDER_HEADS);
}

/* The next one of the group from `place` on; NULL: there is none. */
static const struct qe_order_entry *of_group(const struct qe_order *order, uint32_t place,
                                             uint64_t group_hash)
{
    while (place != 0 && order->entries[place - 1].group_hash != group_hash) {
        place = order->entries[place - 1].next;
    }
    return place == 0 ? NULL : &order->entries[place - 1];
}

static const struct qe_order_entry *first_of(const struct qe_order *order, uint64_t group_hash)
{
    return of_group(order, order->heads[head_of(group_hash)], group_hash);
}

/* What leads to the one with this rank, or to the end of its chain. */
static uint32_t *link_to(struct qe_order *order, uint64_t group_hash, uint64_t rank)
{
    uint32_t *link = &order->heads[head_of(group_hash)];

    while (*link != 0 && order->entries[*link - 1].rank != rank) {
        link = &order->entries[*link - 1].next;
    }
    return link;
}

static bool is_same(const struct qe_order_name *known, const struct qe_order_name *name)
{
    return known->id != 0 ? known->id == name->id : known->content == name->content;
}

uint64_t qe_order_arrive(struct qe_order *order, uint64_t group_hash,
                         const struct qe_order_name *name)
{
    const struct qe_order_entry *found = NULL;

    for (const struct qe_order_entry *entry = first_of(order, group_hash); entry != NULL;
         entry = of_group(order, entry->next, group_hash)) {
        if (is_same(&entry->name, name) && !entry->is_here &&
            (found == NULL || entry->rank < found->rank)) {
            found = entry;
        }
    }
    if (found == NULL) {
        return ++order->ranks;
    }
    order->entries[found - order->entries].is_here = true;
    return found->rank;
}

void qe_order_remove(struct qe_order *order, uint64_t group_hash, uint64_t rank)
{
    uint32_t *link = link_to(order, group_hash, rank);
    const uint32_t place = *link;

    if (place != 0) {
        *link = order->entries[place - 1].next;
        order->nameless -= order->entries[place - 1].name.id == 0 ? 1 : 0;
        order->entries[place - 1] = (struct qe_order_entry){.next = order->unused};
        order->unused = place;
        order->used--;
    }
}

bool qe_order_overtake(struct qe_order *order, uint64_t group_hash, uint64_t rank,
                       int64_t now_mono_ms)
{
    const uint32_t place = *link_to(order, group_hash, rank);
    bool is_any = false;

    if (place == 0 || !order->entries[place - 1].is_delayed ||
        order->entries[place - 1].due_mono_ms > now_mono_ms) {
        return false;
    }
    const int64_t latest_mono_ms = order->entries[place - 1].due_mono_ms - QE_ORDER_GRACE_MS;

    for (const struct qe_order_entry *entry = first_of(order, group_hash); entry != NULL;) {
        const struct qe_order_entry *next = of_group(order, entry->next, group_hash);

        if (entry->rank < rank && !entry->is_here && entry->due_mono_ms <= latest_mono_ms) {
            qe_order_remove(order, group_hash, entry->rank);
            is_any = true;
        }
        entry = next;
    }
    return is_any;
}

/* The one that is missed less. */
static bool matters_less(const struct qe_order_entry *a, const struct qe_order_entry *b)
{
    return a->follows == b->follows ? a->rank > b->rank : a->follows;
}

/* A free place; 0: all are taken by those that matter more. */
static uint32_t take_place(struct qe_order *order, const struct qe_order_entry *wanted)
{
    const struct qe_order_entry *least = wanted;

    if (order->unused == 0 && order->count < QE_ORDER_MAX) {
        return (uint32_t)++order->count;
    }
    for (size_t i = 0; i < QE_ORDER_MAX && order->unused == 0; i++) {
        least = matters_less(&order->entries[i], least) ? &order->entries[i] : least;
    }
    if (least != wanted) {
        qe_order_remove(order, least->group_hash, least->rank);
    }
    const uint32_t place = order->unused;

    order->unused = place == 0 ? 0 : order->entries[place - 1].next;
    return place;
}

void qe_order_add(struct qe_order *order, const struct qe_order_entry *entry)
{
    uint32_t place;

    qe_order_remove(order, entry->group_hash, entry->rank);
    place = take_place(order, entry);
    if (place == 0) {
        return;
    }
    uint32_t *head = &order->heads[head_of(entry->group_hash)];

    order->entries[place - 1] = (struct qe_order_entry){.group_hash = entry->group_hash,
                                                        .name = entry->name,
                                                        .rank = entry->rank,
                                                        .due_mono_ms = entry->due_mono_ms,
                                                        .follows = entry->follows,
                                                        .is_delayed = entry->is_delayed,
                                                        .next = *head};
    *head = place;
    order->used++;
    order->nameless += entry->name.id == 0 ? 1 : 0;
}

bool qe_order_holds(const struct qe_order *order, uint64_t group_hash, uint64_t rank)
{
    const struct qe_order_entry *entry = first_of(order, group_hash);

    while (entry != NULL && entry->rank >= rank) {
        entry = of_group(order, entry->next, group_hash);
    }
    return entry != NULL;
}

struct qe_order_ahead qe_order_ahead(const struct qe_order *order, uint64_t group_hash,
                                     uint64_t rank, int64_t now_mono_ms)
{
    struct qe_order_ahead ahead = {.first_due_mono_ms = INT64_MAX};

    for (const struct qe_order_entry *entry = first_of(order, group_hash); entry != NULL;
         entry = of_group(order, entry->next, group_hash)) {
        if (entry->rank < rank && !entry->is_here) {
            ahead.is_any = true;
            ahead.backs_off =
                ahead.backs_off ||
                (!entry->follows && entry->due_mono_ms - QE_ORDER_BEHIND_MS > now_mono_ms);
            ahead.first_due_mono_ms = entry->due_mono_ms < ahead.first_due_mono_ms
                                          ? entry->due_mono_ms
                                          : ahead.first_due_mono_ms;
            ahead.due_mono_ms = later(ahead.due_mono_ms, entry->due_mono_ms);
        }
    }
    return ahead;
}

static bool is_missing(const struct qe_order *order, const struct qe_order_entry *entry,
                       int64_t now_mono_ms)
{
    const int64_t overdue_ms = now_mono_ms - entry->due_mono_ms;

    return overdue_ms >= QE_ORDER_GRACE_MS && order->drained_mono_ms != INT64_MAX &&
           now_mono_ms - order->drained_mono_ms >= QE_ORDER_GRACE_MS;
}

bool qe_order_note_receive(struct qe_order *order, int64_t began_mono_ms, bool is_full,
                           int64_t now_mono_ms)
{
    const bool is_gap = began_mono_ms - order->received_mono_ms > GAP_MS;
    bool is_any = false;

    if (is_full) {
        order->drained_mono_ms = INT64_MAX;
    } else if (is_gap || order->drained_mono_ms == INT64_MAX) {
        order->drained_mono_ms = began_mono_ms;
    }
    order->received_mono_ms = now_mono_ms;
    for (size_t i = 0; i < order->count && order->used > 0; i++) {
        const struct qe_order_entry *entry = &order->entries[i];

        if (entry->rank != 0 && is_missing(order, entry, now_mono_ms)) {
            qe_order_remove(order, entry->group_hash, entry->rank);
            is_any = true;
        }
    }
    return is_any;
}

int64_t qe_order_end_mono_ms(const struct qe_order *order, int64_t now_mono_ms)
{
    const int64_t drained =
        order->drained_mono_ms == INT64_MAX ? now_mono_ms : order->drained_mono_ms;
    int64_t end = INT64_MAX;

    for (size_t i = 0; i < order->count && order->used > 0; i++) {
        const struct qe_order_entry *entry = &order->entries[i];
        const int64_t its = later(entry->due_mono_ms, drained) + QE_ORDER_GRACE_MS;

        end = entry->rank != 0 && its < end ? its : end;
    }
    return end;
}

void qe_order_move(struct qe_order *order, struct qe_order *from)
{
    for (size_t i = 0; i < from->count && from->used > 0; i++) {
        const struct qe_order_entry entry = from->entries[i];

        if (entry.rank != 0) {
            qe_order_add(order, &entry);
            qe_order_remove(from, entry.group_hash, entry.rank);
        }
    }
    order->ranks = order->ranks > from->ranks ? order->ranks : from->ranks;
}
