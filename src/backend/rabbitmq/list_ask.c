/* What a list asks for, phase by phase. */
#include <assert.h>
#include <string.h>

#include "backend/rabbitmq/list_internal.h"
#include "util/mem.h"
#include "util/strbuf.h"

#define QUEUES_QUERY                                                                               \
    "/api/queues/%s?disable_stats=true&columns=name,vhost,type,exclusive,arguments,node,leader,"   \
    "members,state,policy,delivery_limit"
/* Of virtual hosts in an error. */
#define NAMES_MAX_BYTES 512
#define OVERVIEW_QUERY                                                                             \
    "/api/overview?columns=rabbitmq_version,disable_stats,listeners,object_totals.queues"

void qe_rmq_listing_drop_calls(struct qe_rmq_listing *listing)
{
    for (size_t i = 0; i < listing->calls_count; i++) {
        qe_rmq_call_deinit(&listing->calls[i]);
    }
    qe_free(listing->calls);
    listing->calls = NULL;
    listing->calls_count = 0;
}

/* Makes room for the calls of a phase. */
static int begin(struct qe_rmq_listing *listing, size_t calls_max, struct qe_err *err)
{
    qe_rmq_listing_drop_calls(listing);
    listing->calls = qe_calloc(calls_max + 1, sizeof *listing->calls); /* never none */
    return listing->calls != NULL ? 0 : qe_err_set(err, QE_ERR_NOMEM, "%zu requests", calls_max);
}

static int add_call(struct qe_rmq_listing *listing, enum qe_rmq_operation operation,
                    const char *path, const char *part, size_t index, struct qe_err *err)
{
    struct qe_rmq_call *call = &listing->calls[listing->calls_count];

    assert(listing->calls != NULL);
    if (qe_rmq_call_init(call, operation, listing->self->base_url, path, part, err) != 0) {
        return -1;
    }
    call->index = index;
    listing->calls_count++;
    return 0;
}

static int run(struct qe_rmq_listing *listing, struct qe_err *err)
{
    const struct qe_rmq_calls calls = {.items = listing->calls,
                                       .count = listing->calls_count,
                                       .deadline_mono_ms = listing->deadline_mono_ms,
                                       .take = qe_rmq_list_take,
                                       .context = listing};

    return qe_rmq_run(listing->self, &calls, err);
}

/* Without overview and virtual hosts there is nothing; the rest may be refused. */
static int judge_broker(struct qe_rmq_listing *listing, struct qe_err *err)
{
    listing->policies_known = true;
    for (size_t i = 0; i < listing->calls_count; i++) {
        const struct qe_rmq_call *call = &listing->calls[i];

        if (call->err.code == QE_OK) {
            continue;
        }
        /* What does not answer this does not answer the rest. */
        if (call->operation == QE_RMQ_OVERVIEW || call->operation == QE_RMQ_VHOSTS ||
            qe_err_is_retryable(call->err.code)) {
            *err = call->err;
            if (call->operation == QE_RMQ_OVERVIEW && err->code == QE_ERR_NOT_FOUND) {
                (void)qe_err_wrap(err, "no management API (is the plugin rabbitmq_management on?)");
            }
            return -1;
        }
        listing->policies_known = listing->policies_known && call->operation != QE_RMQ_POLICIES;
        qe_rmq_note_incomplete(listing, &call->err);
    }
    return 0;
}

int qe_rmq_list_ask_broker(struct qe_rmq_listing *listing, struct qe_err *err)
{
    const struct qe_text_list *vhosts = &listing->self->settings->vhosts;

    /* The nodes come first: how many there are says where the metrics of each may be. */
    if (begin(listing, 5, err) != 0 ||
        add_call(listing, QE_RMQ_NODES, QE_RMQ_NODES_PATH, "", 0, err) != 0 ||
        run(listing, err) != 0 || judge_broker(listing, err) != 0) {
        return -1;
    }
    if (begin(listing, 4, err) != 0 ||
        add_call(listing, QE_RMQ_OVERVIEW, OVERVIEW_QUERY, "", 0, err) != 0 ||
        add_call(listing, QE_RMQ_POLICIES, "/api/policies", "", 0, err) != 0 ||
        add_call(listing, QE_RMQ_POLICIES, "/api/operator-policies", "", 1, err) != 0 ||
        (vhosts->count == 0 &&
         add_call(listing, QE_RMQ_VHOSTS, "/api/vhosts?columns=name", "", 0, err) != 0) ||
        run(listing, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < vhosts->count; i++) {
        if (qe_rmq_listing_add_vhost(listing, vhosts->items[i], err) != 0) {
            return -1;
        }
    }
    return judge_broker(listing, err);
}

/* --- the second phase: the queues of each virtual host --- */

/* In a path these are no names: the management API answers for another one. */
static bool can_be_asked(const char *vhost)
{
    return strcmp(vhost, ".") != 0 && strcmp(vhost, "..") != 0;
}

/* One by one, since the list of all silently leaves out those that we may not see. */
static int ask_each(struct qe_rmq_listing *listing, struct qe_err *err)
{
    struct qe_err why = {0};

    if (begin(listing, listing->vhosts_count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < listing->vhosts_count; i++) {
        if (!can_be_asked(listing->vhosts[i])) {
            (void)qe_err_set(&why, QE_ERR_UNSUPPORTED,
                             "virtual host %s: the management API cannot be asked for a name that "
                             "is dots: its queues are not watched",
                             listing->vhosts[i]);
            qe_rmq_note_incomplete(listing, &why);
        } else if (add_call(listing, QE_RMQ_QUEUES, QUEUES_QUERY, listing->vhosts[i], i, err) !=
                   0) {
            return -1;
        }
    }
    return run(listing, err);
}

/* All of them that may not be seen, since each needs its own permission. */
static void tell_refused(struct qe_rmq_listing *listing, const struct qe_err *first)
{
    struct qe_err why = *first;
    struct qe_strbuf names;

    qe_strbuf_init(&names, NAMES_MAX_BYTES);
    for (size_t i = 0; i < listing->calls_count; i++) {
        const struct qe_rmq_call *call = &listing->calls[i];

        if (call->err.code == QE_ERR_AUTH) {
            (void)qe_strbuf_printf(&names, "%s%s", names.length_bytes > 0 ? ", " : "",
                                   listing->vhosts[call->index]);
        }
    }
    (void)qe_err_wrap(&why,
                      "virtual host %s%s: no permission: give user %s a permission row there "
                      "(^$ ^$ ^$ will do)",
                      qe_strbuf_text(&names), names.failed != QE_OK ? ", and more" : "",
                      listing->self->settings->username);
    qe_rmq_note_incomplete(listing, &why);
    qe_strbuf_deinit(&names);
}

int qe_rmq_list_ask_queues(struct qe_rmq_listing *listing, struct qe_err *err)
{
    const struct qe_err *refused = NULL;
    size_t good_count = 0;

    if (ask_each(listing, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < listing->calls_count; i++) {
        const struct qe_rmq_call *call = &listing->calls[i];
        struct qe_err why = call->err;

        if (why.code == QE_OK) {
            good_count++;
            continue;
        }
        if (why.code == QE_ERR_AUTH) {
            refused = refused != NULL ? refused : &call->err;
            continue;
        }
        (void)qe_err_wrap(&why, "virtual host %s of user %s", listing->vhosts[call->index],
                          listing->self->settings->username);
        if (why.code != QE_ERR_NOT_FOUND) {
            *err = why; /* its queues must not seem to be gone */
            return -1;
        }
        qe_rmq_note_incomplete(listing, &why);
    }
    if (refused != NULL) {
        tell_refused(listing, refused);
    }
    if (good_count == 0 && listing->vhosts_count > 0) {
        *err = listing->self->incomplete;
        return -1;
    }
    return 0;
}

/* --- the third phase: exchanges and bindings, where dead letters go through one --- */

/* To the default exchange with a key of its own needs no look at any binding. */
static bool needs_topology(const struct qe_rmq_rules *rules)
{
    return rules->dead_letter_exchange != NULL &&
           (rules->dead_letter_exchange[0] != '\0' || rules->dead_letter_key == NULL);
}

static int judge_topology(struct qe_rmq_listing *listing, struct qe_err *err)
{
    for (size_t i = 0; i < listing->calls_count; i++) {
        if (listing->calls[i].err.code != QE_OK) {
            listing->vhost_is_blind[listing->calls[i].index] = true;
            qe_rmq_note_incomplete(listing, &listing->calls[i].err);
        }
    }
    return qe_rmq_topology_seal(&listing->topology, err);
}

int qe_rmq_list_ask_topology(struct qe_rmq_listing *listing, struct qe_err *err)
{
    bool *is_needed = NULL;
    int rc = 0;

    if (listing->vhosts_count == 0) {
        return 0;
    }
    is_needed = qe_calloc(listing->vhosts_count, sizeof *is_needed);
    listing->vhost_is_blind = qe_calloc(listing->vhosts_count, sizeof *listing->vhost_is_blind);
    listing->vhost_is_flooded = qe_calloc(listing->vhosts_count, sizeof *listing->vhost_is_flooded);
    if (is_needed == NULL || listing->vhost_is_blind == NULL || listing->vhost_is_flooded == NULL) {
        qe_free(is_needed);
        return qe_err_set(err, QE_ERR_NOMEM, "%zu virtual hosts", listing->vhosts_count);
    }
    for (size_t i = 0; i < listing->table->count; i++) {
        const struct qe_rmq_definition *queue = &listing->table->items[i].definition;
        const size_t vhost =
            needs_topology(&queue->rules) ? qe_rmq_listing_vhost(listing, queue->vhost) : SIZE_MAX;

        if (vhost != SIZE_MAX) {
            is_needed[vhost] = true;
        }
    }
    rc = begin(listing, 2 * listing->vhosts_count, err);
    for (size_t i = 0; i < listing->vhosts_count && rc == 0; i++) {
        if (is_needed[i] &&
            (add_call(listing, QE_RMQ_EXCHANGES,
                      "/api/exchanges/%s?columns=vhost,name,type,arguments", listing->vhosts[i], i,
                      err) != 0 ||
             add_call(listing, QE_RMQ_BINDINGS,
                      "/api/bindings/"
                      "%s?columns=vhost,source,destination,destination_type,routing_key",
                      listing->vhosts[i], i, err) != 0)) {
            rc = -1;
        }
    }
    qe_free(is_needed);
    return rc != 0 || run(listing, err) != 0 ? -1 : judge_topology(listing, err);
}
