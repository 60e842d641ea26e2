# shellcheck shell=bash
# Prometheus and Alertmanager for packaging/quickstart.sh, which sources this file.
# shellcheck disable=SC2154 # root and log are of quickstart.sh

# unpack_tools PACKAGE PROGRAM...: Debian's package without the service that it starts: unpacked, not installed.
unpack_tools() {
    local package=$1 program into=build/tools
    shift
    export PATH="$root/$into/usr/bin:$PATH"
    for program in "$@"; do
        command -v "$program" >/dev/null || break
        program=
    done
    [ -n "$program" ] || return 0
    [ "${QE_INSTALL:-yes}" != no ] || die "not on the PATH: $program"
    say "Unpacking Debian's $package into $into (no service is installed)"
    mkdir -p "$into"
    (
        cd "$into"
        rm -f "${package}"_*.deb
        apt-get download -o APT::Sandbox::User=root "$package" ||
            { as_root apt-get update && apt-get download -o APT::Sandbox::User=root "$package"; }
        dpkg-deb -x "${package}"_*.deb . && rm -f "${package}"_*.deb
    ) >>"$log" 2>&1 </dev/null || die "could not fetch Debian's $package; see $log"
}

fetch_prometheus() {
    unpack_tools prometheus prometheus promtool
    unpack_tools prometheus-alertmanager prometheus-alertmanager amtool
}
