/* Waiting for what comes on any of the connections. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "backend/rabbitmq/amqp_internal.h"

#define POLLED_MAX 64

struct polled {
    struct pollfd fds[POLLED_MAX];
    struct qe_amqp_connection *connections[POLLED_MAX];
    nfds_t count;
    bool has_input; /* one of them: there is nothing to wait for */
};

static void add_polled(struct polled *polled, struct qe_amqp_connection *connection,
                       const struct qe_amqp_connection *writable)
{
    if (connection->state != NULL && polled->count < POLLED_MAX) {
        polled->fds[polled->count] = (struct pollfd){
            .fd = connection->fd, .events = connection == writable ? POLLIN | POLLOUT : POLLIN};
        polled->connections[polled->count++] = connection;
        polled->has_input = polled->has_input || qe_amqp_has_input(connection);
    }
}

static void collect(const struct qe_rmq_work *work, struct polled *out,
                    const struct qe_amqp_connection *writable, bool interruptible)
{
    out->count = 0;
    out->has_input = false;
    if (interruptible) {
        out->fds[out->count] = (struct pollfd){.fd = work->wake_fd, .events = POLLIN};
        out->connections[out->count++] = NULL;
    }
    for (size_t i = 0; i < work->spaces_count; i++) {
        add_polled(out, &work->spaces[i]->in, writable);
        add_polled(out, &work->spaces[i]->out, writable);
        add_polled(out, &work->spaces[i]->delays.own, writable);
    }
}

/* The library sends a heartbeat after half the time that was agreed on, if it is called then. */
int64_t qe_amqp_look_ms(const struct qe_rmq_work *work)
{
    int64_t seconds = QE_AMQP_HEARTBEAT_SECONDS;

    for (size_t i = 0; i < work->spaces_count; i++) {
        const struct qe_amqp_space *space = work->spaces[i];
        const int in = space->in.state != NULL ? amqp_get_heartbeat(space->in.state) : 0;
        const int out = space->out.state != NULL ? amqp_get_heartbeat(space->out.state) : 0;

        seconds = in > 0 && in < seconds ? in : seconds; /* 0: the broker wants none */
        seconds = out > 0 && out < seconds ? out : seconds;
    }
    return seconds * 1000 / 4;
}

static void clear_wake(const struct qe_rmq_work *work)
{
    uint64_t count = 0;

    (void)!read(work->wake_fd, &count, sizeof count);
}

/* Also when it has nothing to say, now and then: a heartbeat may be due. What is lost is told by
 * whoever needs it. */
static bool must_look(const struct qe_amqp_connection *connection, short revents,
                      int64_t now_mono_ms, int64_t look_ms)
{
    return revents != 0 || qe_amqp_has_input(connection) ||
           now_mono_ms >= connection->looked_mono_ms + look_ms / 2;
}

int qe_amqp_wait(struct qe_rmq *rmq, const struct qe_amqp_connection *writable, bool interruptible,
                 int64_t until_mono_ms, struct qe_err *err)
{
    struct polled polled;
    struct qe_err ignored = {0};
    const int64_t look_ms = qe_amqp_look_ms(rmq->work);
    int64_t wait_ms = until_mono_ms - qe_clock_mono_ms();

    wait_ms = wait_ms < 0 ? 0 : wait_ms < look_ms ? wait_ms : look_ms;
    collect(rmq->work, &polled, writable, interruptible);
    if (poll(polled.fds, polled.count, polled.has_input ? 0 : (int)wait_ms) < 0 && errno != EINTR) {
        return qe_err_set_errno(err, errno, "poll");
    }
    if (interruptible && polled.fds[0].revents != 0) {
        clear_wake(rmq->work); /* also of an interrupt that another call took */
    }
    if (interruptible && qe_rmq_take_interrupt(rmq)) {
        return qe_err_set(err, QE_ERR_CANCELLED, "interrupted");
    }
    const int64_t now = qe_clock_mono_ms();

    for (nfds_t i = 0; i < polled.count; i++) {
        if (polled.connections[i] != NULL &&
            must_look(polled.connections[i], polled.fds[i].revents, now, look_ms)) {
            polled.connections[i]->looked_mono_ms = now;
            (void)!qe_amqp_read_some(polled.connections[i], &ignored);
        }
    }
    return 0;
}
