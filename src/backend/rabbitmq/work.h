/* The working half of this driver, as the watching half and the table of slots see it: no word of
 * AMQP's library. */
#ifndef QE_BACKEND_RABBITMQ_WORK_H
#define QE_BACKEND_RABBITMQ_WORK_H

#include <stdint.h>

#include "backend/backend.h"

struct qe_rmq;
struct qe_rmq_work;

/* Opens nothing on the network. */
int qe_rmq_work_begin(struct qe_rmq *rmq, struct qe_err *err) QE_MUST_CHECK;
/* Says goodbye on each connection, within a second. Accepts a handle without work. */
void qe_rmq_work_end(struct qe_rmq *rmq);
/* Any thread: wakes a receive. */
void qe_rmq_work_wake(const struct qe_rmq *rmq);

/* Slots of the driver interface; see backend.h. */
int qe_rmq_send(void *handle, const struct qe_queue *to, struct qe_outgoing *messages, size_t count,
                int64_t deadline_mono_ms, struct qe_err *err);
int qe_rmq_receive(void *handle, const struct qe_queue *from, size_t max, int64_t deadline_mono_ms,
                   struct qe_message_list *out, struct qe_err *err);
void qe_rmq_pause(void *handle, const struct qe_queue *queue);
void qe_rmq_halt(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms);
void qe_rmq_give_back(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                      struct qe_unreturned *out);
int qe_rmq_settle(void *handle, const struct qe_queue *queue, struct qe_settlement *settlements,
                  size_t count, int64_t deadline_mono_ms, struct qe_err *err);
bool qe_rmq_holds(const void *handle, const struct qe_queue *queue,
                  const struct qe_message *message);
int qe_rmq_purge(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                 uint64_t *out_count, struct qe_err *err);
int qe_rmq_publish(void *handle, const struct qe_topic *topic, struct qe_outgoing *messages,
                   size_t count, int64_t deadline_mono_ms, struct qe_err *err);
int qe_rmq_subscribe(void *handle, const struct qe_topic *topic, int64_t deadline_mono_ms,
                     struct qe_queue *out, struct qe_err *err);
int qe_rmq_unsubscribe(void *handle, const struct qe_queue *queue, int64_t deadline_mono_ms,
                       struct qe_err *err);
int64_t qe_rmq_delay_ms(int64_t asked_ms);
int64_t qe_rmq_tend(void *handle);

#endif
