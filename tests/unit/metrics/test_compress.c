#include "compress_checks.h"

int main(void)
{
    return run_compress_checks();
}
