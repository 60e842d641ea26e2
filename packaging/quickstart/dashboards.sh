# shellcheck shell=bash
# Grafana's own types, which the tests of the dashboards compile against, for packaging/quickstart.sh, which sources
# this file. They go to build/grafana-types; versions and checksums are in tests/dashboards/types/package-lock.json.
# Tests find them there, or in the node_modules that QE_GRAFANA_TYPES names.

make_dashboard_types() { # make_dashboard_types FROM FOLDER
    rm -rf "$2" && mkdir -p "$2" && cp "$1/package.json" "$1/package-lock.json" "$2" &&
        npm ci --prefix "$2" --ignore-scripts --no-audit --no-fund &&
        cp "$1/package-lock.json" "$2/.made"
}

# Makes what is missing. With QE_INSTALL=no nothing is fetched: what is not there is an error.
dashboard_types() {
    local from=tests/dashboards/types into=build/grafana-types
    if [ -n "${QE_GRAFANA_TYPES:-}" ] || cmp -s "$from/package-lock.json" "$into/.made"; then
        return 0
    fi
    [ "${QE_INSTALL:-yes}" != no ] || die "$into is missing: run without QE_INSTALL=no, or set QE_GRAFANA_TYPES"
    say "Making $into: @grafana/schema and typescript"
    quietly 40 "making $into" make_dashboard_types "$from" "$PWD/$into"
}
