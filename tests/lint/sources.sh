# shellcheck shell=bash
# The C files of the tree, NUL-separated; sourced by the scripts beside it, which run from the root.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
sources() {
    find src tests -name '*.[ch]' "$@" -print0 | sort -z
}
