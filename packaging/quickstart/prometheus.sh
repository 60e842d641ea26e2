# shellcheck shell=bash
# Prometheus and Alertmanager for packaging/quickstart.sh, which sources this file.
# shellcheck disable=SC2154 # root and log are of quickstart.sh

# unpack PACKAGE: Debian's package without what its installation starts: into build/tools.
unpack() {
    local package=$1 into=build/tools
    say "Unpacking Debian's $package into $into (nothing is installed)"
    mkdir -p "$into"
    (
        cd "$into"
        rm -f "${package}"_*.deb
        apt-get download -o APT::Sandbox::User=root "$package" ||
            { as_root apt-get update && apt-get download -o APT::Sandbox::User=root "$package"; }
        dpkg-deb -x "${package}"_*.deb . && rm -f "${package}"_*.deb
    ) >>"$log" 2>&1 </dev/null || die "could not fetch Debian's $package; see $log"
}

unpack_tools() { # unpack_tools PACKAGE PROGRAM...
    local package=$1 program
    shift
    export PATH="$root/build/tools/usr/bin:$root/build/tools/usr/sbin:$PATH"
    for program in "$@"; do
        command -v "$program" >/dev/null || break
        program=
    done
    [ -n "$program" ] || return 0
    [ "${QE_INSTALL:-yes}" != no ] || die "not on the PATH: $program"
    unpack "$package"
}

# wrap PROGRAM FILE: Debian's PROGRAM reads FILE in /usr/share/prometheus and nowhere else. A program of that name shows
# it the unpacked /usr/share, in a namespace of its own; where there are no namespaces the files are copied.
wrap() {
    local program=$1 file=$2 tools=$root/build/tools into=/usr/share/prometheus
    if [ ! -f "$tools/usr/bin/$program" ] || [ -e "$into/$file" ] ||
        [ "$(head -c 2 "$tools/usr/bin/$program" | tr -d '\0')" = '#!' ]; then
        return 0
    fi
    if ! unshare -rm mount --bind "$tools/usr/share" /usr/share 2>>"$log"; then
        as_root mkdir -p "$into" && as_root cp -r "$tools$into/." "$into"
        return
    fi
    mkdir -p "$tools/usr/lib"
    mv "$tools/usr/bin/$program" "$tools/usr/lib/$program"
    cat >"$tools/usr/bin/$program" <<END
#!/bin/sh
tools=\$(dirname "\$(dirname "\$(dirname "\$(realpath "\$0")")")")
exec unshare -rm sh -c 'mount --bind "\$0/usr/share" /usr/share && exec "\$0/usr/lib/$program" "\$@"' "\$tools" "\$@"
END
    chmod +x "$tools/usr/bin/$program"
}

fetch_prometheus() {
    unpack_tools prometheus prometheus promtool
    unpack_tools prometheus-alertmanager prometheus-alertmanager amtool
    wrap prometheus web/templates/_base.html
    wrap prometheus-alertmanager alertmanager/default.tmpl
}

# What the pages of Debian's Prometheus are drawn with.
fetch_pages() {
    local package
    [ -d build/tools/usr/share/prometheus/web ] && [ "${QE_INSTALL:-yes}" != no ] || return 0
    for package in libjs-bootstrap4 libjs-jquery libjs-rickshaw libjs-d3 libjs-moment libjs-moment-timezone \
        libjs-mustache libjs-popper.js libjs-jquery-hotkeys libjs-eonasdan-bootstrap-datetimepicker; do
        [ -d "build/tools/usr/share/doc/$package" ] || unpack "$package"
    done
}

# --- run --with-prometheus -------------------------------------------------------------------------

# shellcheck disable=SC2034 # quickstart.sh installs them
monitoring_packages=(python3 python3-yaml)
prometheus_port=${QE_PROMETHEUS_PORT:-9090}
alertmanager_port=${QE_ALERTMANAGER_PORT:-9093}
receiver_port=${QE_RECEIVER_PORT:-9099}
monitoring=() # process ids; also in children, which ends them

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

check_monitoring_ports() {
    local name number
    for name in PROMETHEUS ALERTMANAGER RECEIVER; do
        number=${name,,}_port
        if is_open "${!number}"; then
            die "127.0.0.1:${!number} is in use. End that program, or choose another port: QE_${name}_PORT=$((${!number} + 10000))"
        fi
    done
}

# The rules with windows of seconds and links to the files here: a demonstration, not an example.
write_monitoring_files() {
    local into=build/demo/monitoring
    mkdir -p "$into"
    python3 -B alerts/generate.py --output "$into/queue.rules.yml" --windows short --set settle=10s \
        --set runbook_base="file://$root/alerts/runbooks" --set dashboard_base=http://127.0.0.1:3000
    sed -e "s/127\.0\.0\.1:9099/127.0.0.1:$receiver_port/" \
        -e 's/group_wait: .*/group_wait: 1s/; s/group_interval: .*/group_interval: 5s/' \
        alerts/alertmanager.example.yml >"$into/alertmanager.yml"
    cat >"$into/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [queue.rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:$alertmanager_port"]}]}]}
scrape_configs:
  - job_name: queue-exporter
    static_configs: [{targets: ["127.0.0.1:$port"]}]
END
}

start_monitoring() {
    local into=build/demo/monitoring number
    write_monitoring_files >>"$log" 2>&1 || die "could not write the monitoring's files; see $log"
    python3 -B packaging/quickstart/receiver.py "$receiver_port" \
        >build/demo/notifications.log 2>&1 </dev/null &
    monitoring+=($!)
    prometheus-alertmanager --config.file="$into/alertmanager.yml" --storage.path="$into/alertmanager" \
        --cluster.listen-address= --web.listen-address="127.0.0.1:$alertmanager_port" \
        >build/demo/alertmanager.log 2>&1 </dev/null &
    monitoring+=($!)
    prometheus --config.file="$into/prometheus.yml" --storage.tsdb.path="$into/tsdb" \
        --web.listen-address="127.0.0.1:$prometheus_port" >build/demo/prometheus.log 2>&1 </dev/null &
    monitoring+=($!)
    children+=("${monitoring[@]}")
    for number in "$receiver_port" "$alertmanager_port" "$prometheus_port"; do
        for _ in {1..150}; do
            { is_open "$number" || [ -n "$stopping" ]; } && break
            sleep 0.1
        done
        is_open "$number" || [ -n "$stopping" ] ||
            die "nothing answers at 127.0.0.1:$number after 15 s; see build/demo/alertmanager.log and prometheus.log"
    done
    for _ in {1..150}; do # it listens before it shows its pages
        { [ "$(code "$prometheus_port" /-/ready)" = 200 ] || [ -n "$stopping" ]; } && return
        sleep 0.1
    done
    die "Prometheus at 127.0.0.1:$prometheus_port is not ready after 15 s; see build/demo/prometheus.log"
}

# code PORT PATH: the status that is answered there
code() {
    local status=
    {
        exec 3<>"/dev/tcp/127.0.0.1/$1" || return 0
        printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
        read -r -t 5 _ status _ <&3
        exec 3>&-
    } 2>/dev/null || true
    printf '%s' "$status"
}

say_monitoring() {
    local pages="http://127.0.0.1:$prometheus_port" manager="http://127.0.0.1:$alertmanager_port" amtool
    # Debian's Prometheus has the older pages only, and its Alertmanager has none.
    [ "$(code "$prometheus_port" /classic/alerts)" != 200 ] || pages+=/classic
    amtool=$(command -v amtool)
    say "
Prometheus and Alertmanager run beside it, with the rules loaded (windows of seconds):

  alerts    $pages/alerts   which fire; imports-dlq grows, so within a minute one does
  graph     $pages/graph?g0.expr=queue_dead_letter_messages&g0.tab=0
  pages     ${amtool#"$root/"} --alertmanager.url=$manager alert
            what Alertmanager has; with --inhibited what it silences
  pager     tail -f build/demo/notifications.log       what somebody would get"
}

monitoring_ended() { # monitoring_ended PID: true when it is one of these
    [[ " ${monitoring[*]} " == *" $1 "* ]]
}
