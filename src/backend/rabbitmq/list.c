/* list(): which queues there are, what they are, and where they dead-letter. Asked every few
 * minutes, so it may cost more than a poll. */
#include <stdlib.h>
#include <string.h>

#include "backend/rabbitmq/dead_letter.h"
#include "backend/rabbitmq/list_internal.h"
#include "util/mem.h"
#include "util/text.h"

void qe_rmq_forget_vhosts(struct qe_rmq *self)
{
    for (size_t i = 0; i < self->vhosts_count; i++) {
        qe_free(self->vhosts[i]);
    }
    qe_free(self->vhosts);
    self->vhosts = NULL;
    self->vhosts_count = 0;
}

static void listing_deinit(struct qe_rmq_listing *listing)
{
    qe_rmq_listing_drop_calls(listing);
    qe_rmq_table_destroy(listing->table);
    qe_rmq_policies_deinit(&listing->policies);
    qe_rmq_policies_deinit(&listing->operator_policies);
    qe_rmq_topology_deinit(&listing->topology);
    for (size_t i = 0; i < listing->vhosts_count; i++) {
        qe_free(listing->vhosts[i]);
    }
    qe_free(listing->vhosts);
    qe_free(listing->vhost_is_blind);
    qe_free(listing->vhost_is_flooded);
}

void qe_rmq_note_incomplete(struct qe_rmq_listing *listing, const struct qe_err *why)
{
    if (listing->self->incomplete.code == QE_OK) {
        listing->self->incomplete = *why;
    }
}

size_t qe_rmq_listing_vhost(const struct qe_rmq_listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->vhosts_count; i++) {
        if (strcmp(listing->vhosts[i], name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static int apply_policies(struct qe_rmq_listing *listing, struct qe_err *err)
{
    for (size_t i = 0; i < listing->table->count; i++) {
        if (qe_rmq_definition_apply(&listing->table->items[i].definition, &listing->policies,
                                    &listing->operator_policies, listing->self->version_major,
                                    err) != 0) {
            return -1;
        }
    }
    if (listing->policies.doubtful.code != QE_OK) {
        qe_rmq_note_incomplete(listing, &listing->policies.doubtful);
    }
    if (listing->operator_policies.doubtful.code != QE_OK) {
        qe_rmq_note_incomplete(listing, &listing->operator_policies.doubtful);
    }
    return 0;
}

/* --- what it says --- */

static void mark(const struct qe_rmq_listing *listing, const char *vhost, const char *name)
{
    struct qe_rmq_record *record = qe_rmq_table_get(listing->table, vhost, name);

    if (record != NULL) {
        record->may_get_dead_letters = record->was_linked = true;
    }
}

/* What comes by way of our delays, whose last queue may hand on to any: only to those that a
 * landing queue has led to, or the plugin's exchange leads to. False: which these are cannot be
 * told. */
static bool mark_delayed(struct qe_rmq_listing *listing, const struct qe_rmq_definition *missing,
                         size_t vhost)
{
    struct qe_rmq_targets targets = {0};

    if (listing->vhost_is_blind[vhost]) {
        return false;
    }
    qe_rmq_topology_reach(&listing->topology, missing->vhost, QE_RMQ_DELAY_EXCHANGE, NULL,
                          &targets);
    for (size_t i = 0; i < targets.count; i++) {
        mark(listing, missing->vhost, targets.names[i]);
    }
    return !targets.is_cut;
}

/* Which queues get messages that nobody counts as published. */
static void mark_receivers(struct qe_rmq_listing *listing,
                           const struct qe_rmq_definition *definition,
                           const struct qe_rmq_dead_letters *letters)
{
    const size_t vhost = qe_rmq_listing_vhost(listing, definition->vhost);

    for (size_t i = 0; i < letters->targets.count; i++) {
        mark(listing, definition->vhost, letters->targets.names[i]);
    }
    if (letters->may_reach_itself) {
        mark(listing, definition->vhost, definition->name);
    }
    if (definition->is_doubtful && vhost != SIZE_MAX) {
        listing->vhost_is_flooded[vhost] = true;
    }
    if (letters->may_reach_others && vhost != SIZE_MAX &&
        (strcmp(definition->name, QE_RMQ_DELAY_MISSING) != 0 ||
         !mark_delayed(listing, definition, vhost))) {
        listing->vhost_is_flooded[vhost] = true;
    }
}

static void find_dead_letters(struct qe_rmq_listing *listing,
                              const struct qe_rmq_definition *definition,
                              struct qe_rmq_dead_letters *out)
{
    const size_t vhost = qe_rmq_listing_vhost(listing, definition->vhost);
    const bool is_blind = vhost == SIZE_MAX || listing->vhost_is_blind[vhost];

    qe_rmq_dead_letters_find(is_blind ? NULL : &listing->topology, listing->table, definition, out);
    mark_receivers(listing, definition, out);
}

/* After the last of them: where dead letters may go anywhere. */
static void mark_flooded(struct qe_rmq_listing *listing)
{
    for (size_t i = 0; i < listing->table->count; i++) {
        struct qe_rmq_record *record = &listing->table->items[i];
        const size_t vhost = qe_rmq_listing_vhost(listing, record->definition.vhost);

        if (!listing->policies_known || vhost == SIZE_MAX || listing->vhost_is_flooded[vhost]) {
            record->may_get_dead_letters = true;
        }
    }
}

static int fill_queue(const struct qe_rmq_listing *listing,
                      const struct qe_rmq_definition *definition,
                      const struct qe_rmq_dead_letters *letters, struct qe_queue *queue,
                      struct qe_err *err)
{
    if (qe_queue_init(queue, definition->vhost, definition->name, definition->kind, err) != 0) {
        return -1;
    }
    qe_rmq_definition_tell(definition, queue);
    /* A policy that cannot be read may say otherwise. */
    queue->dead_letter_known =
        letters->is_known && listing->policies_known && !definition->is_doubtful;
    queue->is_delay_queue =
        strncmp(definition->name, QE_RMQ_DELAY_PREFIX, sizeof QE_RMQ_DELAY_PREFIX - 1) == 0;
    if (queue->is_delay_queue) {
        return 0; /* what goes on from there, after its time, is no dead letter */
    }
    queue->dead_letter_unroutable = letters->is_unroutable && queue->dead_letter_known;
    queue->returns_by_time = definition->rules.message_ttl_ms >= 0 && letters->targets.count > 0;
    for (size_t i = 0; i < letters->targets.count; i++) {
        if (qe_queue_add_link(queue, definition->vhost, letters->targets.names[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int show_all(struct qe_rmq_listing *listing, struct qe_queue_list *out, struct qe_err *err)
{
    const size_t before = out->count;

    for (size_t i = 0; i < listing->table->count; i++) {
        const struct qe_rmq_definition *definition = &listing->table->items[i].definition;
        struct qe_rmq_dead_letters letters;
        struct qe_queue *queue = NULL;

        find_dead_letters(listing, definition, &letters);
        if (definition->is_exclusive && !listing->self->settings->exclusive_queues) {
            continue;
        }
        queue = qe_queue_list_add(out, err);
        if (queue == NULL || fill_queue(listing, definition, &letters, queue, err) != 0) {
            for (; out->count > before; out->count--) {
                qe_queue_deinit(&out->items[out->count - 1]);
            }
            return -1;
        }
    }
    mark_flooded(listing);
    return 0;
}

/* What the polls go on. */
static void adopt(struct qe_rmq_listing *listing)
{
    struct qe_rmq *self = listing->self;

    qe_rmq_table_carry_over(listing->table, self->table, qe_clock_mono_ms());
    qe_rmq_table_destroy(self->table);
    qe_rmq_forget_places(self);
    self->table = listing->table;
    listing->table = NULL;
    for (size_t i = 0; i < self->endpoints_count; i++) {
        qe_rmq_told_forget(&self->endpoints[i].told); /* the table's queues are other ones */
    }
    qe_rmq_forget_vhosts(self);
    self->vhosts = listing->vhosts;
    self->vhosts_count = listing->vhosts_count;
    listing->vhosts = NULL;
    listing->vhosts_count = 0;
    self->metrics_failed = false;
    self->management_failed = false;
}

/* While a node of the cluster hangs, lists do, too; nodes' own metrics can still be read then, if
 * there is time left for it in this poll. */
static int64_t list_deadline(const struct qe_rmq *self, int64_t deadline_mono_ms)
{
    const int64_t now_mono_ms = qe_clock_mono_ms();

    return self->table == NULL || deadline_mono_ms <= now_mono_ms
               ? deadline_mono_ms
               : now_mono_ms + (deadline_mono_ms - now_mono_ms) / 2;
}

int qe_rmq_list(void *handle, int64_t deadline_mono_ms, struct qe_queue_list *out,
                struct qe_err *err)
{
    struct qe_rmq *self = handle;
    struct qe_rmq_listing listing = {.self = self,
                                     .deadline_mono_ms = list_deadline(self, deadline_mono_ms)};
    struct qe_err incomplete = self->incomplete;
    int rc = -1;

    self->incomplete = (struct qe_err){0};
    listing.table = qe_rmq_table_new(err);
    if (listing.table != NULL && qe_rmq_list_ask_broker(&listing, err) == 0 &&
        qe_rmq_list_ask_queues(&listing, err) == 0 && apply_policies(&listing, err) == 0 &&
        qe_rmq_list_ask_topology(&listing, err) == 0 && show_all(&listing, out, err) == 0) {
        adopt(&listing);
        rc = 0;
    } else {
        self->incomplete = incomplete;
    }
    listing_deinit(&listing);
    return rc;
}
