#!/bin/sh
# Programs whose test data is not there: each says so, and ends with what CTest counts as skipped.
for program in "$@"; do
    said=$(QE_SHARED=/nonexistent "$program" 2>&1)
    code=$?
    if [ "$code" -ne 77 ] || ! printf '%s\n' "$said" | grep '^skipped: there is no /nonexistent/'; then
        printf '%s\n' "$said"
        echo "FAILED: $program ended with $code, or gave no reason"
        exit 1
    fi
done
