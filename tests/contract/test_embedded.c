/* The embedded driver keeps the contract, on a file and in memory. */
#include "backend/embedded/embedded.h"
#include "contract/contract.h"
#include "contract/embedded_fixture.h"
#include "support/check.h"

static int setup_file(void *context, struct qe_err *err)
{
    return embedded_fixture_init(context, false) == 0
               ? 0
               : qe_err_set(err, QE_ERR_IO, "no temporary directory");
}

static int setup_memory(void *context, struct qe_err *err)
{
    (void)err;
    return embedded_fixture_init(context, true);
}

static void teardown(void *context)
{
    embedded_fixture_deinit(context);
}

static const void *settings(void *context)
{
    return &((struct embedded_fixture *)context)->settings;
}

static int queue(void *context, enum qe_contract_queue which, struct qe_queue *out,
                 struct qe_err *err)
{
    static const char *const s_names[QE_CONTRACT_QUEUE_COUNT] = {
        [QE_CONTRACT_WORK] = "work",     [QE_CONTRACT_WORK_DLQ] = "work-dlq",
        [QE_CONTRACT_BRIEF] = "brief",   [QE_CONTRACT_ORDERED] = "ordered",
        [QE_CONTRACT_ABSENT] = "absent",
    };

    (void)context;
    return qe_queue_init(out, NULL, s_names[which], QE_KIND_EMBEDDED, err);
}

int main(void)
{
    struct embedded_fixture store;
    struct qe_contract_fixture fixture = {
        .name = "embedded store, file",
        .driver = &qe_driver_embedded,
        .context = &store,
        .brief_visibility_ms = EMBEDDED_BRIEF_MS,
        .work_visibility_ms = EMBEDDED_WORK_MS,
        .wake_ms = 50,
        .counts_exactly = true,
        .setup = setup_file,
        .teardown = teardown,
        .settings = settings,
        .queue = queue,
    };
    int failed = qe_contract_run(&fixture);

    fixture.name = "embedded store, memory";
    fixture.setup = setup_memory;
    return failed + qe_contract_run(&fixture);
}
