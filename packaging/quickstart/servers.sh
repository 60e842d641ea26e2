#!/usr/bin/env bash
# The servers that tests run against, in their own folders under build/: nothing of the system changes.
#
#   build/venv       Python: moto (a stand-in for AWS that verifies signatures), boto3, and pika for RabbitMQ
#   build/npm        Node: local-aws-sqs, a second implementation of Amazon SQS
#   build/rabbitmq   Debian's rabbitmq-server with its Erlang
#
# Sourced by quickstart.sh, or run by itself: packaging/quickstart/servers.sh. Kept as long as the pins
# below and the interpreters stay the same. Tests find them there, or where QE_TEST_PYTHON (an
# interpreter), QE_NODE_MODULES and QE_RABBITMQ (folders) say; a test without its server is skipped, but fails
# where QE_REQUIRE_SERVERS=1 is set, as the test command does.

# shellcheck source=packaging/quickstart/rabbitmq.sh
. "$(dirname "${BASH_SOURCE[0]}")/rabbitmq.sh"

server_python_pins=("moto[server]==5.2.5" "boto3==1.44.5" "pika==1.4.4")
server_npm_pins=(local-aws-sqs@2.0.2 aws-query-decoder@1.0.1 aws-md5-of-message-attributes@1.0.0)

# What the servers need of Debian; node comes from Debian only where none is on the PATH.
server_packages() {
    echo python3 python3-venv
    command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm
}

server_interpreter() { # Debian's own before others on the PATH, as CMake chooses
    if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else command -v python3; fi
}

make_python_servers() { # make_python_servers FOLDER INTERPRETER STAMP
    rm -rf "$1" &&
        "$2" -m venv "$1" &&
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check "${server_python_pins[@]}" &&
        "$1/bin/python" -c 'import boto3, moto.server, pika' &&
        printf '%s\n' "$3" >"$1/.pins"
}

make_npm_servers() { # make_npm_servers FOLDER STAMP
    rm -rf "$1" && mkdir -p "$1" &&
        npm install --prefix "$1" --no-save --no-audit --no-fund --ignore-scripts "${server_npm_pins[@]}" &&
        (cd "$1" && node -e 'require("local-aws-sqs").createSqsServer') &&
        printf '%s\n' "$2" >"$1/.pins"
}

is_made() { # is_made FOLDER STAMP
    [ -f "$1/.pins" ] && [ "$(cat "$1/.pins")" = "$2" ]
}

# Makes what is missing. With QE_INSTALL=no nothing is fetched: what is not there is an error.
test_servers() {
    local python stamp
    if [ -z "${QE_TEST_PYTHON:-}" ]; then
        python=$(server_interpreter)
        stamp="$("$python" -V) ${server_python_pins[*]}"
        if ! is_made build/venv "$stamp"; then
            [ "${QE_INSTALL:-yes}" != no ] ||
                die "build/venv lacks ${server_python_pins[*]}: run without QE_INSTALL=no, or set QE_TEST_PYTHON"
            say "Making build/venv: ${server_python_pins[*]}"
            quietly 40 "making build/venv" make_python_servers "$PWD/build/venv" "$python" "$stamp"
        fi
    fi
    if [ -z "${QE_NODE_MODULES:-}" ]; then
        stamp="${server_npm_pins[*]}"
        if ! is_made build/npm "$stamp"; then
            [ "${QE_INSTALL:-yes}" != no ] ||
                die "build/npm lacks ${server_npm_pins[*]}: run without QE_INSTALL=no, or set QE_NODE_MODULES"
            say "Making build/npm: ${server_npm_pins[*]}"
            quietly 40 "making build/npm" make_npm_servers "$PWD/build/npm" "$stamp"
        fi
    fi
    rabbitmq_server
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    cd "$(dirname "${BASH_SOURCE[0]}")/../.."
    mkdir -p build
    say() { printf '%s\n' "$*"; }
    die() {
        printf 'error: %s\n' "$*" >&2
        exit 1
    }
    quietly() {
        shift 2
        "$@" >&2
    }
    as_root() {
        if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
    }
    test_servers
fi
