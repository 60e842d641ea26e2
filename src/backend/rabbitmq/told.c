#include "backend/rabbitmq/told.h"

#include "model/queue.h"
#include "util/mem.h"

void qe_rmq_told_deinit(struct qe_rmq_told *told)
{
    qe_free(told->items);
    qe_free(told->places);
    qe_strbuf_deinit(&told->labels);
    *told = (struct qe_rmq_told){0};
}

void qe_rmq_told_forget(struct qe_rmq_told *told)
{
    told->count = 0;
    told->is_known = false;
    qe_strbuf_reset(&told->labels);
    for (size_t i = 0; i < told->places_count; i++) {
        told->places[i] = 0;
    }
}

void qe_rmq_told_begin(struct qe_rmq_told *told)
{
    if (!told->is_known) {
        qe_rmq_told_forget(told); /* the answer before this one has not come to its end */
    }
    for (size_t i = 0; i < told->count; i++) {
        told->items[i].reading.known = 0;
    }
    told->is_learning = false;
    told->has_strayed = false;
    told->next = 0;
}

void qe_rmq_told_begin_family(struct qe_rmq_told *told)
{
    told->is_learning = told->count == 0;
    told->next = 0;
}

void qe_rmq_told_end(struct qe_rmq_told *told)
{
    for (size_t i = 0; i < told->count && !told->has_strayed; i++) {
        /* A queue that is gone would be waited for in vain. */
        told->has_strayed = told->items[i].queue != SIZE_MAX && told->items[i].reading.known == 0;
    }
    told->is_known = !told->has_strayed;
}

static int append(struct qe_rmq_told *told, size_t queue, const char *labels, size_t labels_bytes,
                  struct qe_err *err)
{
    struct qe_rmq_told_queue *item = NULL;

    if (qe_grow(&told->items, told->count, &told->capacity, SIZE_MAX, sizeof *told->items) != 0) {
        return qe_err_set(err, QE_ERR_NOMEM, "order of %zu queues", told->count + 1);
    }
    item = &told->items[told->count];
    *item = (struct qe_rmq_told_queue){
        .queue = queue, .labels_offset = told->labels.length_bytes, .labels_bytes = labels_bytes};
    (void)qe_strbuf_append(&told->labels, labels, labels_bytes);
    if (qe_strbuf_error(&told->labels, err) != 0) {
        return -1;
    }
    told->count++;
    return 0;
}

/* Makes room in places[] for queue number `queue`. */
static int make_place(struct qe_rmq_told *told, size_t queue, struct qe_err *err)
{
    size_t count = told->places_count;
    size_t *places = NULL;

    if (queue < count) {
        return 0;
    }
    for (count = count == 0 ? 64 : count; count <= queue; count *= 2) {
    }
    places = qe_reallocarray(told->places, count, sizeof *places);
    if (places == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "order of %zu queues", count);
    }
    for (; told->places_count < count; told->places_count++) {
        places[told->places_count] = 0;
    }
    told->places = places;
    return 0;
}

int qe_rmq_told_find(struct qe_rmq_told *told, size_t queue, const char *labels,
                     size_t labels_bytes, struct qe_rmq_told_queue **out, struct qe_err *err)
{
    *out = NULL;
    told->has_strayed = told->has_strayed || !told->is_learning;
    if (queue == SIZE_MAX && !told->is_learning) {
        return 0;
    }
    if (queue != SIZE_MAX && make_place(told, queue, err) != 0) {
        return -1;
    }
    if (queue != SIZE_MAX && told->places[queue] != 0) {
        told->next = told->places[queue];
    } else {
        if (append(told, queue, labels, labels_bytes, err) != 0) {
            return -1;
        }
        told->next = told->count;
        if (queue != SIZE_MAX) {
            told->places[queue] = told->count;
        }
    }
    *out = &told->items[told->next - 1];
    return 0;
}
