#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over every C file. Usage: clang_tidy.sh BUILD_DIR [FILE...]
# BUILD_DIR is a build made by clang (preset clang): its compile_commands.json says how each is compiled.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 BUILD_DIR [FILE...]" >&2; exit 2; }
build=$(cd "$1" && pwd)
shift
# shellcheck source=tests/lint/sources.sh
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
if [ $# -gt 0 ]; then
    printf '%s\0' "$@"
else
    sources -name '*.c' -not -path 'tests/fuzz/*'
fi | xargs -0 -r -n 1 -P "$(nproc)" clang-tidy --quiet -p "$build" 2> >(grep -vE '^[0-9]+ warnings? |^Suppressed|^Use -header' >&2)
