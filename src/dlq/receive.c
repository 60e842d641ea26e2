#include "dlq/receive.h"

#include "util/clock.h"

#define WAIT_MS 1000

int qe_dlq_receive(const struct qe_driver *driver, void *handle, const struct qe_queue *from,
                   size_t max, struct qe_message_list *out, struct qe_err *err)
{
    const size_t before = out->count;
    int rc = driver->receive(handle, from, max, qe_clock_mono_ms() + WAIT_MS, out, err);

    if (rc == 0 && out->count == before) {
        rc = driver->receive(handle, from, max, qe_clock_mono_ms(), out, err);
    }
    return rc;
}
