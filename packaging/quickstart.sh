#!/usr/bin/env bash
# From a fresh clone to a running demo, or through every check. Debian 12; root or sudo.
set -euo pipefail

usage() {
    cat <<'END'
usage: packaging/quickstart.sh run     install what is missing, build, run the demo until Ctrl-C
           --with-prometheus           with Prometheus, Alertmanager and the alerts beside it
       packaging/quickstart.sh test    the same, then every check: tests, lint, sanitizers, fuzzing

Both may be run again and again; what is there already is kept. Logs: build/quickstart.log, build/demo/.
Exit: 0 ended as asked, 1 a step failed, 2 usage.

Environment:
  QE_INSTALL=no        install nothing; the packages are there, or come from elsewhere
  QE_JOBS=N            parallel compilers and tests (default: one per core)
  QE_DEMO_PORT=N       the demo's port (default 10019)
  QE_PROMETHEUS_PORT=N, QE_ALERTMANAGER_PORT=N, QE_RECEIVER_PORT=N
                       of run --with-prometheus (default 9090, 9093, 9099)
  QE_FUZZ_SECONDS=N    time for each fuzz target (default 15; by hand more finds more)
  QE_TEST_PYTHON=FILE  a Python that has moto[server], boto3 and pika (default: build/venv, made here)
  QE_NODE_MODULES=DIR  a folder that has local-aws-sqs (default: build/npm, made here)
  QE_RABBITMQ=DIR      a root folder with RabbitMQ in usr/lib/rabbitmq and Erlang in usr/bin; / for an
                       installed one (default: build/rabbitmq, unpacked here; no service is installed)
  QE_STAGES="gcc ..."  only these stages of test: gcc asan lint tsan fuzz analyze (default: all)
END
}

case "${1:-}:$#" in
run:1 | test:1) command=$1 with_prometheus= ;;
run:2)
    command=$1 with_prometheus=$2
    [ "$2" = --with-prometheus ] || { usage >&2 && exit 2; }
    ;;
-h:1 | --help:1) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
log=build/quickstart.log
jobs=${QE_JOBS:-$(nproc)}
fuzz_seconds=${QE_FUZZ_SECONDS:-15}
port=${QE_DEMO_PORT:-10019}
passed=0
failed=0
beside= # the process group of what runs beside the stages
mkdir -p build
: >"$log"

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libyaml-dev libpcre2-dev libcjson-dev
    libsqlite3-dev libmicrohttpd-dev zlib1g-dev libisal-dev libcurl4-openssl-dev libssl-dev
    librabbitmq-dev)
test_packages=(libcmocka-dev clang clang-format clang-tidy cppcheck libclang-rt-14-dev llvm python3
    python3-prometheus-client python3-yaml jsonnet openssl tmux zsh fish man-db mandoc)

# shellcheck source=packaging/quickstart/servers.sh
. packaging/quickstart/servers.sh
# shellcheck source=packaging/quickstart/dashboards.sh
. packaging/quickstart/dashboards.sh

say() { printf '%s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# quietly LINES WHAT COMMAND...: output goes to the log; on failure its last LINES lines and the reason.
quietly() {
    local lines=$1 what=$2 from rc=0
    shift 2
    printf '\n== %s: %s\n' "$what" "$*" >>"$log"
    from=$(($(wc -l <"$log") + 1))
    "$@" >>"$log" 2>&1 </dev/null || rc=$?
    if [ "$rc" -ne 0 ]; then
        printf '\n' >&2
        tail -n +"$from" "$log" | tail -n "$lines" >&2
        printf 'error: %s failed (exit code %s); the whole log is %s\n' "$what" "$rc" "$log" >&2
    fi
    return "$rc"
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "installing needs root or sudo: run as root, or install by hand: ${missing[*]}"
    fi
}

# install PACKAGE...: what is missing, and nothing else.
install() {
    local package
    missing=()
    [ "${QE_INSTALL:-yes}" != no ] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        die "this is not a Debian system. Install what these Debian packages hold: $*;" \
            "then run again with QE_INSTALL=no"
    fi
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${#missing[@]} packages: ${missing[*]}"
    quietly 40 "apt-get update" as_root apt-get update
    quietly 40 "apt-get install" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends "${missing[@]}"
}

# shellcheck source=packaging/quickstart/prometheus.sh
. packaging/quickstart/prometheus.sh

configure() { # configure PRESET [CMAKE OPTION...]
    local preset=$1 launcher=()
    shift
    if command -v ccache >/dev/null; then
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    fi
    quietly 40 "configuring $preset" cmake --preset "$preset" "${launcher[@]}" "$@"
}

build() { # build PRESET [CMAKE OPTION...]
    configure "$@" && quietly 40 "building $1" cmake --build "build/$1" -j "$jobs"
}

# --- run ---------------------------------------------------------------------------------------

port_is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

is_ready() {
    local code=
    {
        exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
        printf 'GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
        read -r -t 2 _ code _ <&3
        exec 3>&-
    } 2>/dev/null || true
    [ "$code" = 200 ]
}

stopping=
children=()
stop_demo() { # ends what this script started, by its ids; the daemon gets time to finish what it holds
    local pid
    [ ${#children[@]} -gt 0 ] || return 0
    kill -TERM "${children[@]}" 2>/dev/null || true
    for _ in {1..120}; do
        kill -0 "${children[@]}" 2>/dev/null || break
        sleep 0.1
    done
    for pid in "${children[@]}"; do
        kill -0 "$pid" 2>/dev/null && kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null || true
    done
    children=()
}

# load QUEUE RATE [queuectl option...]: a process of its own that sends until it is ended
load() {
    local queue=$1 rate=$2
    shift 2
    build/release/queuectl --config.file=packaging/demo.yml send local "$queue" --rate "$rate" --count 0 \
        --body "{\"demo\":\"$queue\"}" "$@" >/dev/null 2>>build/demo/load.log </dev/null &
    children+=($!)
}

run_demo() {
    local daemon ended rc
    if port_is_open; then
        die "127.0.0.1:$port is in use (another demo?). End that program, or choose: QE_DEMO_PORT=10020 $0 run"
    fi
    mkdir -p build/demo
    trap 'stopping=yes' INT TERM HUP
    trap stop_demo EXIT

    build/release/queue_exporter --config.file=packaging/demo.yml --web.listen-address="127.0.0.1:$port" \
        --web.enable-lifecycle >build/demo/queue_exporter.log 2>&1 </dev/null &
    daemon=$!
    children=("$daemon")
    for _ in {1..150}; do
        { is_ready || [ -n "$stopping" ] || ! kill -0 "$daemon" 2>/dev/null; } && break
        sleep 0.1
    done
    if [ -z "$stopping" ] && ! is_ready; then
        tail -n 20 build/demo/queue_exporter.log >&2
        die "the daemon did not get ready within 15 s; its log is build/demo/queue_exporter.log"
    fi
    if [ -z "$stopping" ]; then
        load orders 20
        load payments 10
        load imports 5
        load imports 0.5 --attribute simulate=reject
        [ -z "$with_prometheus" ] || start_monitoring
        say "
The demo runs: queues orders (healthy), payments (5 % of its handling fails) and imports (gets poison),
each with a dead-letter queue, three consumers, and a load on all of them.

  look      http://127.0.0.1:$port/             what runs, and how fresh its data is
  scrape    http://127.0.0.1:$port/metrics      for Prometheus; try: curl -s localhost:$port/metrics
  touch it  in another terminal, from this folder:
            build/release/queuectl --config.file packaging/demo.yml stats --watch
            build/release/queuectl --config.file packaging/demo.yml send local orders --body hello --count 100
            build/release/queuectl --config.file packaging/demo.yml peek local imports-dlq
  logs      build/demo/queue_exporter.log"
        [ -z "$with_prometheus" ] || say_monitoring
        say "
Ctrl-C ends it; the queues stay in build/demo for the next run."
    fi
    while [ -z "$stopping" ]; do
        ended=
        rc=0
        wait -n -p ended "${children[@]}" || rc=$?
        sleep 0.2 # Ctrl-C reaches the load processes too, perhaps before this script
        if [ -n "$stopping" ] || [ -z "${ended:-}" ]; then
            continue
        fi
        if [ "${ended:-}" = "$daemon" ]; then
            tail -n 20 build/demo/queue_exporter.log >&2
            die "the daemon ended by itself (exit code $rc); its log is build/demo/queue_exporter.log"
        fi
        if monitoring_ended "$ended"; then
            die "prometheus, alertmanager or the receiver ended by itself (exit code $rc); logs: build/demo/*.log"
        fi
        tail -n 5 build/demo/load.log >&2
        die "a load process ended by itself (exit code $rc); its log is build/demo/load.log"
    done
    say "
Stopping ..."
    stop_demo
    say "Stopped; nothing was left running."
}

# --- test --------------------------------------------------------------------------------------

count() { # count JUNIT_FILE: adds the file's tests to the totals
    local attribute value
    local -A of=()
    for attribute in tests failures disabled skipped; do
        value=$(grep -m1 -oE "\b$attribute=\"[0-9]+\"" "$1" | tr -cd 0-9 || true)
        of[$attribute]=${value:-0}
    done
    failed=$((failed + of[failures]))
    skipped=$((skipped + of[skipped] + of[disabled]))
    passed=$((passed + of[tests] - of[failures] - of[skipped] - of[disabled]))
}

why_skipped() { # why_skipped JUNIT_FILE: what each skipped test says
    awk '/<testcase name=/ { split($0, part, "\""); name = part[2]; is_skipped = 0 }
         /<skipped/ { is_skipped = 1 }
         is_skipped && /skipped: / { sub(/.*skipped: /, ""); print "skipped: " name ": " $0; is_skipped = 0 }' "$1"
}

why_failed() { # why_failed JUNIT_FILE: what each failed test says, in few lines, for where only a log's end is kept
    awk '/<testcase name=/ { split($0, part, "\""); name = part[2]; is_failed = 0; told = 0 }
         /<failure/ { is_failed = 1 }
         !is_failed || told >= 9 { next }
         /(^|>)(FAIL|ERROR): |^[A-Za-z_.]*(Error|Exception|Expired)[: ]|line [0-9]+, in test_/ ||
         /\[  (ERROR|FAILED) +\]|: error: |: (fatal|runtime) error: |Sanitizer: / {
             gsub(/&quot;/, "\""); gsub(/&apos;/, "\047"); gsub(/&lt;/, "<"); gsub(/&gt;/, ">"); gsub(/&amp;/, "\\&")
             print name ": " substr($0, 1, 400); told++
         }' "$1"
}

tests() { # tests PRESET [COMMAND PREFIX...]: every CTest of the build; more than cores, since most of them wait
    local preset=$1 rc=0 at_once=$((jobs * 2))
    [ "$preset" = ci ] || at_once=$((jobs + 1)) # a sanitizer computes where others wait
    shift
    rm -f "build/$preset/junit.xml"
    quietly 150 "tests of $preset" "$@" ctest --test-dir "build/$preset" -j "$at_once" --output-on-failure \
        --no-tests=error --output-junit junit.xml || rc=$?
    [ ! -f "build/$preset/junit.xml" ] || count "build/$preset/junit.xml"
    return "$rc"
}

check() { # check WHAT COMMAND...: one check that counts as one test
    if quietly 60 "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        return 1
    fi
}

stage_gcc() { build ci && tests ci; }
stage_lint() {
    check "clang-format" tests/lint/format.sh && check "cppcheck" tests/lint/cppcheck.sh || return 1
    check "clang-tidy" beside_says clang-tidy
}
# Minutes of computing: they begin with the first stage, and take only what the tests, which mostly wait, leave.
# shellcheck disable=SC2016 # the inner shell expands
start_beside() {
    local -a commands=()
    rm -f build/beside.*
    case " $QE_STAGES " in *" lint "*)
        configure clang || return 1
        commands+=(clang-tidy "tests/lint/clang_tidy.sh build/clang")
        ;;
    esac
    case " $QE_STAGES " in *" analyze "*)
        configure analyze -DQE_WERROR=ON || return 1
        commands+=(analyze "cmake --build build/analyze -j $jobs")
        ;;
    esac
    [ ${#commands[@]} -gt 0 ] || return 0
    # Where the kernel groups by session, nice counts within the session only: the group's own counts, too.
    setsid nice -n 19 bash -c '
        echo 19 2>/dev/null >/proc/self/autogroup
        while [ $# -gt 0 ]; do
            $2 >"build/beside.$1.log" 2>&1
            echo $? >"build/beside.$1.new" && mv "build/beside.$1.new" "build/beside.$1.rc"
            shift 2
        done' beside "${commands[@]}" </dev/null &
    beside=$!
}
beside_says() { # beside_says NAME: waits for its end, shows what it said, and fails as it did
    while [ ! -f "build/beside.$1.rc" ]; do
        if ! kill -0 "$beside" 2>/dev/null && [ ! -f "build/beside.$1.rc" ]; then
            echo "$1 ended without a word"
            return 1
        fi
        sleep 1
    done
    cat "build/beside.$1.log"
    return "$(cat "build/beside.$1.rc")"
}
end_beside() {
    [ -z "$beside" ] || kill -TERM -- "-$beside" 2>/dev/null || true
}
stage_asan() { build asan && tests asan; }
stage_tsan() {
    local steady=(setarch "$(uname -m)" -R) # clang 14's TSan needs the old, narrower address layout
    "${steady[@]}" true 2>/dev/null || steady=()
    build tsan && tests tsan "${steady[@]}"
}
stage_fuzz() {
    local source targets=()
    for source in tests/fuzz/fuzz_*.c; do
        targets+=("$(basename "$source" .c)")
    done
    configure fuzz && quietly 40 "building fuzz" cmake --build build/fuzz -j "$jobs" --target "${targets[@]}" ||
        return 1
    if quietly 60 "fuzzing ${#targets[@]} targets" fuzz_all "${targets[@]}"; then
        passed=$((passed + ${#targets[@]}))
    else
        failed=$((failed + 1))
        return 1
    fi
}
# shellcheck disable=SC2016 # the inner shell expands
fuzz_all() { # what it finds goes to build/fuzz/found; the corpus in the tree is only read
    printf '%s\0' "$@" | xargs -0 -n 1 -P "$jobs" bash -c '
        found=build/fuzz/found/$1
        mkdir -p "$found"
        exec "build/fuzz/tests/fuzz/$1" -max_total_time="$0" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
            -artifact_prefix="$found-" "$found" "tests/fuzz/corpus/${1#fuzz_}"' "$fuzz_seconds"
}
stage_analyze() { check "gcc -fanalyzer" beside_says analyze; }

run_tests() {
    local stage what before began
    local -A is=([gcc]="gcc 12 build and tests" [lint]="clang-format, cppcheck, clang-tidy" [clang]="clang build"
        [asan]="AddressSanitizer, UBSan" [tsan]="ThreadSanitizer" [fuzz]="fuzzing, $fuzz_seconds s a target"
        [analyze]="gcc -fanalyzer build")
    skipped=0
    rm -f build/*/junit.xml
    export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
    : "${QE_STAGES:=gcc asan lint tsan fuzz analyze}"
    trap end_beside EXIT
    start_beside || die "clang-tidy and gcc -fanalyzer cannot be begun"
    for stage in $QE_STAGES; do
        what=${is[$stage]:-}
        [ -n "$what" ] || die "QE_STAGES: unknown stage $stage (known: gcc asan lint tsan fuzz analyze)"
        before=$passed
        began=$SECONDS
        printf '%-8s %-34s ' "$stage" "$what"
        if ! "stage_$stage"; then
            [ "$failed" -gt 0 ] || failed=1 # what could not be built has failed, too
            say "FAILED: $stage ($((SECONDS - began)) s)"
            continue # what else has failed is good to know
        fi
        printf 'ok %4d passed %4d s\n' "$((passed - before))" "$((SECONDS - began))"
    done
    say
    for stage in $QE_STAGES; do
        what=build/${stage/gcc/ci}/junit.xml
        [ ! -f "$what" ] || why_failed "$what"
    done
    if [ "$skipped" -gt 0 ]; then
        for stage in $QE_STAGES; do
            what=build/${stage/gcc/ci}/junit.xml
            [ ! -f "$what" ] || why_skipped "$what"
        done | sort -u
        say "$passed passed, $failed failed, $skipped skipped"
    else
        say "$passed passed, $failed failed"
    fi
    [ "$failed" -eq 0 ]
}

if [ "$command" = run ]; then
    if [ -n "$with_prometheus" ]; then
        check_monitoring_ports
        install "${build_packages[@]}" "${monitoring_packages[@]}"
        fetch_prometheus
        fetch_pages
    fi
    install "${build_packages[@]}"
    say "Building (release) ..."
    build release -DQE_TESTS=OFF
    run_demo
else
    # shellcheck disable=SC2046 # one word per package
    install "${build_packages[@]}" "${test_packages[@]}" $(server_packages)
    fetch_prometheus
    unpack_tools nginx nginx # what handlers of type http post to
    test_servers
    dashboard_types
    export QE_REQUIRE_SERVERS=1
    run_tests
fi
