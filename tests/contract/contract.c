#include "contract/contract.h"

#include "contract/contract_internal.h"
#include "util/mem.h"

#define TESTS_MAX 128

int qe_contract_run(struct qe_contract_fixture *fixture)
{
    const struct contract_test *const tables[] = {qe_contract_calls, qe_contract_messages,
                                                  qe_contract_deliveries, qe_contract_samples};
    struct CMUnitTest tests[TESTS_MAX];
    size_t count = 0;

    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        for (const struct contract_test *test = tables[t]; test->name != NULL; test++) {
            if ((fixture->driver->caps & test->needs) != test->needs) {
                print_message("skipped: %s: the driver lacks capability 0x%x\n", test->name,
                              (unsigned)(test->needs & ~fixture->driver->caps));
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
