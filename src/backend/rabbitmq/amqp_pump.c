/* Frames in, calls out. Everything is read here and nowhere else but in the login, so no frame
 * waits in the library, and no call of it blocks for one. */
#include <string.h>
#include <sys/time.h>

#include "backend/rabbitmq/amqp_internal.h"
#include "util/mem.h"
#include "util/text.h"

static void copy_text(char *out, size_t size, amqp_bytes_t text)
{
    const size_t bytes = text.bytes == NULL ? 0 : qe_text_cut(text.bytes, text.len, size - 1);

    if (bytes > 0) {
        memcpy(out, text.bytes, bytes);
    }
    out[bytes] = '\0';
}

/* --- content --- */

void qe_amqp_content_reset(struct qe_amqp_content *content)
{
    qe_message_deinit(&content->message);
    qe_amqp_raw_deinit(&content->raw);
    content->kind = QE_AMQP_NOTHING;
    content->err.code = QE_OK;
    content->has_properties = false;
}

static void begin_content(struct qe_amqp_channel *channel, int kind, uint64_t tag, bool redelivered)
{
    struct qe_amqp_content *content = &channel->content;

    qe_amqp_content_reset(content);
    content->kind = kind == QE_AMQP_DELIVERY ? QE_AMQP_DELIVERY : QE_AMQP_RETURNED;
    content->tag = tag;
    content->redelivered = redelivered;
    content->round = 0;
    content->is_got = false;
    content->left_bytes = 0;
    content->filled_bytes = 0;
}

static void end_content(struct qe_amqp_channel *channel)
{
    struct qe_amqp_content *content = &channel->content;

    if (content->is_got && channel->awaited == AMQP_BASIC_GET_OK_METHOD) {
        channel->answer = AMQP_BASIC_GET_OK_METHOD; /* with its message */
    }
    if (content->kind == QE_AMQP_DELIVERY && channel->events->delivered != NULL) {
        channel->events->delivered(channel->owner, content);
    } else if (content->kind == QE_AMQP_RETURNED && channel->events->returned != NULL) {
        channel->events->returned(channel->owner, content);
    }
    qe_amqp_content_reset(content);
}

static int take_properties(struct qe_amqp_channel *channel, const amqp_frame_t *frame)
{
    struct qe_amqp_content *content = &channel->content;
    const amqp_basic_properties_t *properties = frame->payload.properties.decoded;
    const uint64_t bytes = frame->payload.properties.body_size;

    if (content->kind == QE_AMQP_NOTHING || content->has_properties ||
        frame->payload.properties.class_id != AMQP_BASIC_CLASS || bytes > QE_AMQP_BODY_MAX_BYTES) {
        return -1;
    }
    content->has_properties = true;
    content->left_bytes = bytes;
    if (content->kind == QE_AMQP_RETURNED) {
        content->key ^= qe_amqp_publish_key(amqp_empty_bytes, amqp_empty_bytes,
                                            (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0
                                                ? properties->message_id
                                                : amqp_empty_bytes);
    } else if (qe_message_init(&content->message, &content->err) == 0) {
        char *body = qe_calloc(1, (size_t)bytes + 1);

        if (body == NULL) {
            (void)qe_err_set(&content->err, QE_ERR_NOMEM, "a body of %zu bytes", (size_t)bytes);
        } else {
            qe_free(content->message.body);
            content->message.body = body;
            content->message.body_bytes = (size_t)bytes;
            if (qe_amqp_read(properties, content->redelivered, &content->message, &content->err) ==
                0) {
                (void)!qe_amqp_raw_read(properties, &content->raw, &content->err);
            }
        }
    }
    if (bytes == 0) {
        end_content(channel);
    }
    return 0;
}

static int take_body(struct qe_amqp_channel *channel, amqp_bytes_t piece)
{
    struct qe_amqp_content *content = &channel->content;

    if (!content->has_properties || piece.len > content->left_bytes) {
        return -1;
    }
    if (content->kind == QE_AMQP_DELIVERY && content->err.code == QE_OK && piece.len > 0) {
        memcpy(content->message.body + content->filled_bytes, piece.bytes, piece.len);
    }
    content->filled_bytes += piece.len;
    content->left_bytes -= piece.len;
    if (content->left_bytes == 0) {
        end_content(channel);
    }
    return 0;
}

/* --- methods --- */

/* Consumers are called by the number of their round. */
static uint32_t round_of(amqp_bytes_t consumer_tag)
{
    char text[24];
    uint64_t number = 0;
    struct qe_err ignored = {0};

    copy_text(text, sizeof text, consumer_tag);
    return qe_text_to_u64(text, UINT32_MAX, &number, &ignored) == 0 ? (uint32_t)number : 0;
}

static void close_channel(struct qe_amqp_channel *channel, const struct qe_err *why)
{
    struct qe_amqp_connection *connection = channel->connection;

    connection->channels[channel->number - 1] = NULL;
    channel->number = 0;
    channel->closed = *why;
    qe_amqp_content_reset(&channel->content);
    channel->events->closed(channel->owner, why);
}

static void take_channel_close(struct qe_amqp_channel *channel, const amqp_channel_close_t *close)
{
    amqp_channel_close_ok_t answer = {0};
    struct qe_err why = {0};

    (void)amqp_send_method(channel->connection->state, channel->number,
                           AMQP_CHANNEL_CLOSE_OK_METHOD, &answer);
    (void)qe_amqp_refused(&why, close->reply_code, close->reply_text);
    close_channel(channel, &why);
}

static void take_deliver(struct qe_amqp_channel *channel, const amqp_basic_deliver_t *deliver)
{
    begin_content(channel, QE_AMQP_DELIVERY, deliver->delivery_tag, deliver->redelivered != 0);
    channel->content.round = round_of(deliver->consumer_tag);
}

static void take_return(struct qe_amqp_channel *channel, const amqp_basic_return_t *returned)
{
    begin_content(channel, QE_AMQP_RETURNED, 0, false);
    copy_text(channel->content.reason, sizeof channel->content.reason, returned->reply_text);
    channel->content.key =
        qe_amqp_publish_key(returned->exchange, returned->routing_key, amqp_empty_bytes);
}

static void take_confirm(const struct qe_amqp_channel *channel, uint64_t tag, bool multiple,
                         bool accepted)
{
    if (channel->events->confirmed != NULL) {
        channel->events->confirmed(channel->owner, tag, multiple, accepted);
    }
}

static void take_cancel(struct qe_amqp_channel *channel, amqp_basic_cancel_t *cancel)
{
    if (channel->events->cancelled != NULL) {
        channel->events->cancelled(channel->owner, round_of(cancel->consumer_tag));
    }
}

static void take_answer(struct qe_amqp_channel *channel, const amqp_method_t *method)
{
    channel->answer = method->id;
    if (method->id == AMQP_QUEUE_DECLARE_OK_METHOD) {
        const amqp_queue_declare_ok_t *ok = method->decoded;

        channel->answer_count = ok->message_count;
        copy_text(channel->answer_name, sizeof channel->answer_name, ok->queue);
    } else if (method->id == AMQP_QUEUE_PURGE_OK_METHOD) {
        channel->answer_count = ((const amqp_queue_purge_ok_t *)method->decoded)->message_count;
    }
}

/* What no channel waits for, and nobody asked for, is passed over: a newer broker may know more. */
static void take_method(struct qe_amqp_channel *channel, const amqp_method_t *method)
{
    const amqp_basic_get_ok_t *got = method->decoded;
    const amqp_basic_ack_t *ack = method->decoded;
    const amqp_basic_nack_t *nack = method->decoded;

    if (method->id != 0 && method->id != AMQP_BASIC_GET_OK_METHOD &&
        (method->id == channel->awaited || method->id == channel->awaited_too)) {
        take_answer(channel, method);
    }
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        take_deliver(channel, method->decoded);
        break;
    case AMQP_BASIC_GET_OK_METHOD:
        begin_content(channel, QE_AMQP_DELIVERY, got->delivery_tag, got->redelivered != 0);
        channel->content.is_got = true;
        break;
    case AMQP_BASIC_RETURN_METHOD:
        take_return(channel, method->decoded);
        break;
    case AMQP_BASIC_ACK_METHOD:
        take_confirm(channel, ack->delivery_tag, ack->multiple != 0, true);
        break;
    case AMQP_BASIC_NACK_METHOD:
        take_confirm(channel, nack->delivery_tag, nack->multiple != 0, false);
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        take_cancel(channel, method->decoded);
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        take_channel_close(channel, method->decoded);
        break;
    default:
        break;
    }
}

/* Methods on channel 0. -1: the broker ends the connection. */
static int take_connection_method(struct qe_amqp_connection *self, const amqp_method_t *method,
                                  struct qe_err *err)
{
    const amqp_connection_close_t *close = method->decoded;
    amqp_connection_close_ok_t answer = {0};

    switch (method->id) {
    case AMQP_CONNECTION_BLOCKED_METHOD:
        self->is_blocked = true;
        copy_text(self->blocked_why, sizeof self->blocked_why,
                  ((const amqp_connection_blocked_t *)method->decoded)->reason);
        return 0;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        self->is_blocked = false;
        return 0;
    case AMQP_CONNECTION_CLOSE_METHOD:
        (void)qe_amqp_refused(err, close->reply_code, close->reply_text);
        (void)amqp_send_method(self->state, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &answer);
        return -1;
    default:
        return 0;
    }
}

static int take_frame(struct qe_amqp_connection *self, const amqp_frame_t *frame,
                      struct qe_err *err)
{
    struct qe_amqp_channel *channel = NULL;
    int rc = 0;

    if (frame->channel == 0) {
        return frame->frame_type == AMQP_FRAME_METHOD
                   ? take_connection_method(self, &frame->payload.method, err)
                   : 0;
    }
    channel = frame->channel <= QE_AMQP_CHANNELS_MAX ? self->channels[frame->channel - 1] : NULL;
    if (channel == NULL) {
        return 0; /* of one that we have closed */
    }
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        take_method(channel, &frame->payload.method);
        break;
    case AMQP_FRAME_HEADER:
        rc = take_properties(channel, frame);
        break;
    case AMQP_FRAME_BODY:
        rc = take_body(channel, frame->payload.body_fragment);
        break;
    default:
        break;
    }
    return rc == 0 ? 0 : qe_err_set(err, QE_ERR_PROTOCOL, "RabbitMQ's frames make no message");
}

/* --- reading --- */

bool qe_amqp_has_input(const struct qe_amqp_connection *self)
{
    return self->state != NULL &&
           (amqp_frames_enqueued(self->state) || amqp_data_in_buffer(self->state));
}

/* To the end: until the socket has no more, which takes two calls of the system to know; else what
 * one read of it brings. */
static int read_frames(struct qe_amqp_connection *self, bool to_the_end, struct qe_err *err)
{
    const struct timeval now = {0};
    struct qe_err why = {0};

    while (self->state != NULL) {
        amqp_frame_t frame;
        const int status = amqp_simple_wait_frame_noblock(self->state, &frame, &now);

        if (status == AMQP_STATUS_TIMEOUT) {
            return 0;
        }
        if (status != AMQP_STATUS_OK) {
            (void)qe_amqp_fail(&why, status, "the connection is lost");
        } else if (take_frame(self, &frame, &why) == 0) {
            amqp_maybe_release_buffers(self->state);
            if (!to_the_end && !qe_amqp_has_input(self)) {
                return 0;
            }
            continue;
        }
        qe_amqp_connection_lose(self, &why);
    }
    *err = self->lost;
    return -1;
}

int qe_amqp_drain(struct qe_amqp_connection *self, struct qe_err *err)
{
    return read_frames(self, true, err);
}

int qe_amqp_read_some(struct qe_amqp_connection *self, struct qe_err *err)
{
    return read_frames(self, false, err);
}

/* --- calling --- */

int qe_amqp_tell(struct qe_amqp_channel *channel, amqp_method_number_t method, void *decoded,
                 struct qe_err *err)
{
    struct qe_amqp_connection *connection = channel->connection;

    if (channel->number == 0) {
        *err = channel->closed;
        return -1;
    }
    const int status = amqp_send_method(connection->state, channel->number, method, decoded);

    if (status != AMQP_STATUS_OK) {
        (void)qe_amqp_fail(err, status, "the connection is lost");
        qe_amqp_connection_lose(connection, err);
        return -1;
    }
    return 0;
}

int qe_amqp_call(struct qe_amqp_channel *channel, amqp_method_number_t method, void *decoded,
                 int64_t deadline_mono_ms, struct qe_err *err)
{
    struct qe_amqp_connection *connection = channel->connection;
    struct qe_rmq *rmq = connection->rmq;

    channel->answer = 0;
    channel->awaited = method + 1; /* AMQP numbers the answer behind the call */
    channel->awaited_too = method == AMQP_BASIC_GET_METHOD ? AMQP_BASIC_GET_EMPTY_METHOD : 0;
    int rc = qe_amqp_tell(channel, method, decoded, err);

    while (rc == 0 && channel->answer == 0 && channel->number != 0) {
        if (qe_clock_mono_ms() >= deadline_mono_ms) {
            rc = qe_err_set(err, QE_ERR_TIMEOUT, "RabbitMQ does not answer");
            qe_amqp_connection_lose(connection, err); /* what comes later must not be mistaken */
        } else {
            rc = qe_amqp_wait(rmq, NULL, false, deadline_mono_ms, err);
        }
    }
    channel->awaited = 0;
    channel->awaited_too = 0;
    if (rc == 0 && channel->answer == 0) {
        *err = channel->closed;
        rc = -1;
    }
    return rc;
}

int qe_amqp_channel_open(struct qe_amqp_channel *channel, int64_t deadline_mono_ms,
                         struct qe_err *err)
{
    struct qe_amqp_connection *connection = channel->connection;
    amqp_channel_open_t open = {0};
    size_t slot = 0;

    if (channel->number != 0) {
        return 0;
    }
    if (qe_amqp_connection_open(connection, deadline_mono_ms, err) != 0) {
        return -1;
    }
    for (; slot < QE_AMQP_CHANNELS_MAX && connection->channels[slot] != NULL; slot++) {
    }
    if (slot >= (size_t)amqp_get_channel_max(connection->state)) {
        return qe_err_set(err, QE_ERR_LIMIT, "more than %zu channels on one connection", slot);
    }
    channel->number = (amqp_channel_t)(slot + 1);
    connection->channels[slot] = channel;
    return qe_amqp_call(channel, AMQP_CHANNEL_OPEN_METHOD, &open, deadline_mono_ms, err);
}

void qe_amqp_channel_close(struct qe_amqp_channel *channel, int64_t deadline_mono_ms)
{
    amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS};
    struct qe_err why = {0};

    if (channel->number == 0) {
        return;
    }
    (void)!qe_amqp_call(channel, AMQP_CHANNEL_CLOSE_METHOD, &close, deadline_mono_ms, &why);
    if (channel->number != 0) {
        (void)qe_err_set(&why, QE_ERR_CANCELLED, "closed");
        close_channel(channel, &why);
    }
}
