#include "backend/embedded/embedded.h"

#include <string.h>

#include "backend/embedded/internal.h"

/* create() has no deadline of its own: a locked file may hold it up this long. */
#define CREATE_TIMEOUT_MS 2000
/* destroy() takes this handle off the list of receivers if that is quickly done. */
#define GOODBYE_TIMEOUT_MS 100

static const char *const s_operations[QE_EMBEDDED_OPERATION_COUNT] = {
    [QE_EMBEDDED_LIST] = "list",     [QE_EMBEDDED_SAMPLE] = "sample",
    [QE_EMBEDDED_SEND] = "send",     [QE_EMBEDDED_RECEIVE] = "receive",
    [QE_EMBEDDED_SETTLE] = "settle", [QE_EMBEDDED_EXTEND] = "extend",
    [QE_EMBEDDED_PEEK] = "peek",     [QE_EMBEDDED_PURGE] = "purge",
};

/* "file:/<source>?vfs=memdb", the source's name percent-encoded; NULL when out of memory. */
static char *memory_location(const char *source)
{
    struct qe_strbuf uri;

    qe_strbuf_init(&uri, 4096);
    (void)qe_strbuf_append_text(&uri, "file:/queue-exporter-");
    for (size_t i = 0; source[i] != '\0'; i++) {
        (void)qe_strbuf_printf(&uri, "%%%02x", (unsigned)(unsigned char)source[i]);
    }
    (void)qe_strbuf_append_text(&uri, "?vfs=memdb");
    if (uri.failed != QE_OK) {
        qe_strbuf_deinit(&uri);
        return NULL;
    }
    return qe_strbuf_detach(&uri);
}

/* A path that SQLite cannot take for a URI. */
static char *file_location(const char *path)
{
    struct qe_strbuf location;

    if (!qe_text_starts_with(path, "file:")) {
        return qe_strdup(path);
    }
    qe_strbuf_init(&location, 0);
    (void)qe_strbuf_printf(&location, "./%s", path);
    if (location.failed != QE_OK) {
        qe_strbuf_deinit(&location);
        return NULL;
    }
    return qe_strbuf_detach(&location);
}

static int fill(struct qe_embedded *self, const struct qe_embedded_settings *settings,
                const struct qe_deps *deps, struct qe_err *err)
{
    self->settings = settings;
    self->stats = deps->stats;
    self->in_memory = strcmp(settings->path, ":memory:") == 0;
    self->location =
        self->in_memory ? memory_location(deps->source) : file_location(settings->path);
    self->label = qe_strdup(settings->path);
    if (self->location == NULL || self->label == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "store %s: out of memory", settings->path);
    }
    if (qe_random_secret(&self->receiver_id, sizeof(self->receiver_id)) != 0) {
        return qe_err_set(err, QE_ERR_IO, "store %s: the kernel has no random bytes",
                          settings->path);
    }
    self->hub = qe_hub_acquire(self->location, err);
    return self->hub == NULL ? -1 : 0;
}

static void destroy(void *handle)
{
    struct qe_embedded *self = handle;
    struct qe_err ignored = {0};

    if (self == NULL) {
        return;
    }
    if (self->db != NULL && self->touches[0].mono_ms != 0) {
        const int64_t id[] = {self->receiver_id};

        self->call =
            (struct qe_embedded_call){.give_up_mono_ms = qe_clock_mono_ms() + GOODBYE_TIMEOUT_MS};
        /* In vain, it is forgotten by its age. */
        if (qe_embedded_begin_lazy_write(self, &ignored) == 0 &&
            qe_embedded_run(self, QE_SQL_UNTOUCH, id, 1, &ignored) == 0) {
            (void)!qe_embedded_commit(self, &ignored);
        }
        qe_embedded_rollback(self);
    }
    qe_embedded_close(self);
    qe_hub_release(self->hub);
    qe_free(self->location);
    qe_free(self->label);
    qe_free(self);
}

static int create(const void *settings, const struct qe_deps *deps, void **out, struct qe_err *err)
{
    struct qe_embedded *self = qe_calloc(1, sizeof(*self));

    if (self == NULL) {
        return qe_err_set(err, QE_ERR_NOMEM, "source %s: out of memory", deps->source);
    }
    atomic_init(&self->interrupted, false);
    self->call.give_up_mono_ms = qe_clock_mono_ms() + CREATE_TIMEOUT_MS;
    if (fill(self, settings, deps, err) != 0 || qe_embedded_open(self, err) != 0) {
        destroy(self);
        return -1;
    }
    *out = self;
    return 0;
}

static const char *unreachable(const void *settings)
{
    const struct qe_embedded_settings *embedded = settings;

    return strcmp(embedded->path, ":memory:") == 0
               ? "its queues are in the memory of the process that runs it (path \":memory:\"): "
                 "give it a file to "
                 "reach it from outside"
               : NULL;
}

static void interrupt(void *handle)
{
    struct qe_embedded *self = handle;

    atomic_store(&self->interrupted, true);
    qe_hub_kick(self->hub);
}

const struct qe_driver qe_driver_embedded = {
    .name = "embedded",
    .caps = QE_CAP_LIST | QE_CAP_DEPTH | QE_CAP_OLDEST_AGE | QE_CAP_DLQ_LINK | QE_CAP_SEND |
            QE_CAP_RECEIVE | QE_CAP_EXTEND | QE_CAP_DELAY | QE_CAP_PEEK | QE_CAP_PURGE |
            QE_CAP_DEAD_LETTER | QE_CAP_ORDERED | QE_CAP_UNRECEIVE | QE_CAP_TOPICS,
    .section = &qe_embedded_section,
    .operations = s_operations,
    .operations_count = QE_EMBEDDED_OPERATION_COUNT,
    .unreachable = unreachable,
    .create = create,
    .list = qe_embedded_list,
    .sample = qe_embedded_sample,
    .send = qe_embedded_send,
    .receive = qe_embedded_receive,
    .settle = qe_embedded_settle,
    .extend = qe_embedded_extend,
    .peek = qe_embedded_peek,
    .purge = qe_embedded_purge,
    .publish = qe_embedded_publish,
    .subscribe = qe_embedded_subscribe,
    .unsubscribe = qe_embedded_unsubscribe,
    .interrupt = interrupt,
    .destroy = destroy,
};
