#include "contract/contract.h"

#include <string.h>

#include "contract/contract_internal.h"
#include "util/mem.h"

#define TESTS_MAX 128

static const char *gap_of(const struct qe_contract_fixture *fixture, const char *test)
{
    for (const struct qe_contract_gap *gap = fixture->gaps; gap != NULL && gap->test != NULL;
         gap++) {
        if (strcmp(gap->test, test) == 0) {
            return gap->why;
        }
    }
    return NULL;
}

static bool must_skip(const struct qe_contract_fixture *fixture, const struct contract_test *test)
{
    const char *why = gap_of(fixture, test->name);

    if ((fixture->driver->caps & test->needs) != test->needs) {
        print_message("skipped: %s: the driver lacks capability 0x%x\n", test->name,
                      (unsigned)(test->needs & ~fixture->driver->caps));
        return true;
    }
    if (why != NULL) {
        print_message("skipped: %s: %s\n", test->name, why);
    }
    return why != NULL;
}

int qe_contract_run(struct qe_contract_fixture *fixture)
{
    const struct contract_test *const tables[] = {
        qe_contract_calls,   qe_contract_messages, qe_contract_ordered, qe_contract_deliveries,
        qe_contract_redrive, qe_contract_samples,  qe_contract_topics};
    struct CMUnitTest tests[TESTS_MAX];
    size_t count = 0;

    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (const struct contract_test *test = tables[t]; test->name != NULL; test++) {
            if (must_skip(fixture, test)) {
                continue;
            }
            if (count == TESTS_MAX) {
                print_error("contract suite: more than %d tests: raise TESTS_MAX\n", TESTS_MAX);
                return 1;
            }
            tests[count++] = (struct CMUnitTest){.name = test->name,
                                                 .test_func = test->run,
                                                 .setup_func = world_setup,
                                                 .teardown_func = world_teardown,
                                                 .initial_state = fixture};
        }
    }
    return _cmocka_run_group_tests(fixture->name, tests, count, NULL, NULL);
}
