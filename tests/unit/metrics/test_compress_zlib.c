/* The compressor of platforms without ISA-L, also where the floor is built with it: this file's own
 * copy of the source, which the linker prefers to the library's. It stands first because it says
 * how it wants zlib.h. */
/* clang-format off */
#include "metrics/compress.c" /* NOLINT(bugprone-suspicious-include) */

#include "compress_checks.h"
/* clang-format on */

#ifdef QE_HAVE_ISAL
#error "this test is about the build without ISA-L"
#endif

int main(void)
{
    return run_compress_checks();
}
