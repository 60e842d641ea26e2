#include "app/handlers.h"

#include "consumer/handlers.h"
#include "util/mem.h"
#include "util/secret.h"

/* Names and values of a list, and one more where it is set. NULL: out of memory. */
static struct qe_pair *make_pairs(const struct qe_section_list *list, const char *name,
                                  const struct qe_secret *value, size_t *out_count)
{
    const struct qe_pair_settings *from = list->items;
    struct qe_pair *pairs = qe_calloc(list->count + 1, sizeof *pairs);

    for (size_t i = 0; pairs != NULL && i < list->count; i++) {
        pairs[i] = (struct qe_pair){.name = from[i].name, .value = qe_secret_bytes(from[i].value)};
    }
    *out_count = list->count;
    if (pairs != NULL && value != NULL) {
        pairs[(*out_count)++] = (struct qe_pair){.name = name, .value = qe_secret_bytes(value)};
    }
    return pairs;
}

static struct qe_handler_common make_common(const struct qe_consumer_settings *settings)
{
    return (struct qe_handler_common){
        .origin = {.source = settings->source, .vhost = settings->vhost, .queue = settings->queue},
        .reasons = {.items = (const char *const *)settings->reasons.items,
                    .count = settings->reasons.count},
        .timeout_ms = settings->handler.timeout_ms,
        .reply_max_bytes = (size_t)settings->handler.max_reply_bytes,
        .batch_answer_max_bytes = (size_t)(settings->max_in_hand_bytes / settings->workers),
        .workers = settings->workers,
        .in_batches = settings->batch.size > 1};
}

static void *make_simulate(const struct qe_handler_settings *settings, struct qe_err *err)
{
    const struct qe_simulate_options options = {
        .latency_p50_ms = settings->latency_p50_ms,
        .latency_p99_ms = settings->latency_p99_ms,
        .error_rate = settings->error_rate,
        .seed = settings->seed,
    };

    return qe_handler_simulate_new(&options, err);
}

/* Those that run a command. */
static void *make_runner(const struct qe_consumer_settings *settings, const struct qe_pair *pairs,
                         size_t count, struct qe_err *err)
{
    const struct qe_program program = {.words = settings->handler.command.items,
                                       .words_count = settings->handler.command.count,
                                       .environment = pairs,
                                       .environment_count = count};

    if (settings->handler.type == QE_HANDLER_EXEC) {
        const struct qe_exec_options options = {.common = make_common(settings),
                                                .program = program};

        return qe_handler_exec_new(&options, err);
    }
    const struct qe_coprocess_options options = {.common = make_common(settings),
                                                 .program = program};

    return qe_handler_coprocess_new(&options, err);
}

static void *make_http(const struct qe_consumer_settings *settings, const struct qe_pair *pairs,
                       size_t count, struct qe_err *err)
{
    const struct qe_http_handler_options options = {.common = make_common(settings),
                                                    .url = settings->handler.url,
                                                    .headers = pairs,
                                                    .headers_count = count,
                                                    .ca_file = settings->handler.ca_file,
                                                    .cert_file = settings->handler.cert_file,
                                                    .key_file = settings->handler.key_file,
                                                    .posts_once = settings->delivery ==
                                                                  QE_DELIVERY_AT_MOST_ONCE};

    return qe_handler_http_new(&options, err);
}

int qe_handlers_make(const struct qe_consumer_settings *settings, struct qe_consumer_options *out,
                     struct qe_err *err)
{
    static const struct qe_handler *const handlers[] = {
        [QE_HANDLER_DISCARD] = &qe_handler_discard, [QE_HANDLER_SIMULATE] = &qe_handler_simulate,
        [QE_HANDLER_EXEC] = &qe_handler_exec,       [QE_HANDLER_COPROCESS] = &qe_handler_coprocess,
        [QE_HANDLER_HTTP] = &qe_handler_http,
    };
    const struct qe_handler_settings *handler = &settings->handler;
    const bool posts = handler->type == QE_HANDLER_HTTP;
    size_t count = 0;

    out->handler = handlers[handler->type];
    if (handler->type == QE_HANDLER_DISCARD) {
        return 0;
    }
    if (handler->type == QE_HANDLER_SIMULATE) {
        out->handler_self = make_simulate(handler, err);
        return out->handler_self != NULL ? 0 : -1;
    }
    struct qe_pair *pairs =
        make_pairs(posts ? &handler->headers : &handler->environment, "Authorization",
                   posts ? handler->authorization : NULL, &count);

    if (pairs == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "handler");
    }
    out->handler_self =
        posts ? make_http(settings, pairs, count, err) : make_runner(settings, pairs, count, err);
    qe_free(pairs);
    return out->handler_self != NULL ? 0 : -1;
}
