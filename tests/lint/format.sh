#!/usr/bin/env bash
# clang-format must have nothing to change. With --fix it changes it.
set -euo pipefail
# shellcheck source=tests/lint/sources.sh
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
if [ "${1:-}" = --fix ]; then
    sources | xargs -0 -r clang-format -i
else
    sources | xargs -0 -r clang-format --dry-run -Werror
fi
