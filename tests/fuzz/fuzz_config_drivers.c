/* The same as fuzz_config with the options and the rules of the real drivers: addresses, URLs,
 * ARNs, tags, what goes with what. */
#include "app/drivers.h"
#include "fuzz/config_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t types_count = 0;
    const struct qe_source_type *types = qe_drivers_types(&types_count);

    check_config((const char *)data, size, types, types_count);
    return 0;
}
