/* Any bytes as a configuration: no crash, no hang; and what loads must print to a file that loads
 * to the same settings. */
#include "fuzz/config_check.h"
#include "unit/config/sample_types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_config((const char *)data, size, s_sample_types, SAMPLE_TYPES_COUNT);
    return 0;
}
