#!/usr/bin/env bash
# cppcheck with everything on but what only guesses. Suppressions stand in the code, with their reason;
# here only: varFuncNullUB (NULL is a pointer on every POSIX system, and the sentinel attribute checks it).
set -euo pipefail
# shellcheck source=tests/lint/sources.sh
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
exec cppcheck -q -j "$(nproc)" --enable=warning,style,performance,portability --inconclusive \
    --std=c11 --inline-suppr --error-exitcode=2 \
    --suppress=missingIncludeSystem --suppress=varFuncNullUB --suppress='unknownMacro:tests/*' \
    -D_POSIX_C_SOURCE=200809L -I src -I tests src tests
