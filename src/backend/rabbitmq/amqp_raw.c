/* Headers that attributes cannot tell whole: more than 64, names that are no text, a name twice, or
 * that of a property. They are kept as they came, beside the message, for its copies. */
#include <string.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"

#define RAWS_MAX 1000000 /* as many as can be in hand */

void qe_amqp_raw_deinit(struct qe_amqp_raw *raw)
{
    qe_free(raw->bytes);
    *raw = (struct qe_amqp_raw){0};
}

int qe_amqp_raw_read(const amqp_basic_properties_t *properties, struct qe_amqp_raw *out,
                     struct qe_err *err)
{
    amqp_table_t headers = properties->headers;
    char *room = NULL;
    size_t count = 0;

    if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) == 0 ||
        qe_amqp_fits_attributes(&properties->headers)) {
        return 0;
    }
    room = qe_calloc(1, QE_AMQP_FRAME_MAX_BYTES);
    if (room == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "a message's headers");
    }
    const int status = amqp_encode_table(
        (amqp_bytes_t){.len = QE_AMQP_FRAME_MAX_BYTES, .bytes = room}, &headers, &count);

    out->bytes = status == AMQP_STATUS_OK ? qe_memdup(room, count) : NULL;
    out->count = count;
    qe_free(room);
    if (status != AMQP_STATUS_OK) {
        return qe_amqp_fail(err, status, "headers");
    }
    return out->bytes != NULL ? 0 : qe_err_set(err, QE_ERR_NOMEM, "a message's headers");
}

void qe_amqp_raws_clear(struct qe_amqp_raws *raws)
{
    for (size_t i = 0; i < raws->count; i++) {
        qe_amqp_raw_deinit(&raws->items[i]);
    }
    raws->count = 0;
}

void qe_amqp_raws_deinit(struct qe_amqp_raws *raws)
{
    qe_amqp_raws_clear(raws);
    qe_free(raws->items);
    *raws = (struct qe_amqp_raws){0};
}

int qe_amqp_raws_put(struct qe_amqp_raws *raws, uint64_t tag, struct qe_amqp_raw *raw,
                     struct qe_err *err)
{
    if (raw->bytes == NULL) {
        return 0;
    }
    if (qe_grow(&raws->items, raws->count, &raws->capacity, RAWS_MAX, sizeof *raws->items) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "headers of %zu messages", raws->count);
    }
    raw->tag = tag;
    raws->items[raws->count++] = *raw;
    *raw = (struct qe_amqp_raw){0};
    return 0;
}

static const struct qe_amqp_raw *find(const struct qe_amqp_raws *raws, uint64_t tag)
{
    for (size_t i = 0; i < raws->count; i++) {
        if (raws->items[i].tag == tag) {
            return &raws->items[i];
        }
    }
    return NULL;
}

int qe_amqp_raws_copy(const struct qe_amqp_raws *raws, uint64_t tag, struct qe_amqp_raw *out,
                      struct qe_err *err)
{
    const struct qe_amqp_raw *raw = find(raws, tag);

    qe_amqp_raw_deinit(out);
    if (raw == NULL) {
        return 0;
    }
    *out = (struct qe_amqp_raw){
        .tag = tag, .bytes = qe_memdup(raw->bytes, raw->count), .count = raw->count};
    return out->bytes != NULL ? 0 : qe_err_set(err, QE_ERR_NOMEM, "a message's headers");
}

void qe_amqp_raws_keep(struct qe_amqp_raws *raws, const struct qe_amqp_ledger *ledger)
{
    size_t kept = 0;

    for (size_t i = 0; i < raws->count; i++) {
        if (qe_amqp_ledger_has(ledger, raws->items[i].tag)) {
            raws->items[kept++] = raws->items[i];
        } else {
            qe_amqp_raw_deinit(&raws->items[i]);
        }
    }
    raws->count = kept;
}
