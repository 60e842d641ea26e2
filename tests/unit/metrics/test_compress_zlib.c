/* The compressor of platforms without ISA-L, also where the floor is built with it: this file's own
 * copies of the sources, which the linker prefers to the library's. They stand first because one
 * says how it wants zlib.h. */
/* clang-format off */
#include "metrics/compress_zlib.c" /* NOLINT(bugprone-suspicious-include) */
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
