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

# Debian's Alertmanager reads its templates from /usr/share and from nowhere else. A program of that name shows it
# the unpacked ones there, in a namespace of its own; where there are no namespaces they are copied to /usr/share.
wrap_alertmanager() {
    local tools=$root/build/tools templates=/usr/share/prometheus/alertmanager
    if [ ! -f "$tools/usr/bin/prometheus-alertmanager" ] || [ -e "$templates/default.tmpl" ] ||
        [ -e "$tools/usr/lib/prometheus-alertmanager" ]; then
        return 0
    fi
    if ! unshare -rm mount --bind "$tools/usr/share" /usr/share 2>>"$log"; then
        as_root mkdir -p "$templates" && as_root cp -r "$tools$templates/." "$templates"
        return
    fi
    mkdir -p "$tools/usr/lib"
    mv "$tools/usr/bin/prometheus-alertmanager" "$tools/usr/lib/prometheus-alertmanager"
    cat >"$tools/usr/bin/prometheus-alertmanager" <<'END'
#!/bin/sh
tools=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")
exec unshare -rm sh -c 'mount --bind "$0/usr/share" /usr/share && exec "$0/usr/lib/prometheus-alertmanager" "$@"' \
    "$tools" "$@"
END
    chmod +x "$tools/usr/bin/prometheus-alertmanager"
}

fetch_prometheus() {
    unpack_tools prometheus prometheus promtool
    unpack_tools prometheus-alertmanager prometheus-alertmanager amtool
    wrap_alertmanager
}
