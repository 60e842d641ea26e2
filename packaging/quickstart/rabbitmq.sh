# shellcheck shell=bash
# RabbitMQ for the tests: Debian's packages unpacked into build/rabbitmq, not installed, so that no service starts and
# nothing of the system changes. Sourced by servers.sh. tests/integration/rabbitmq_server.py starts nodes from there.

# rabbitmq-server and what it depends on that a machine with a compiler does not have.
rabbitmq_packages=(rabbitmq-server erlang-base erlang-asn1 erlang-crypto erlang-eldap erlang-ftp erlang-inets
    erlang-mnesia erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-snmp erlang-ssl
    erlang-syntax-tools erlang-tftp erlang-tools erlang-xmerl)

# unpack_debian FOLDER PACKAGE...: beside what the folder has.
unpack_debian() {
    local into=$1 debs
    shift
    debs=$(mktemp -d) && mkdir -p "$into" || return 1
    (
        cd "$debs" || exit 1
        apt-get download -o APT::Sandbox::User=root "$@" ||
            { as_root apt-get update && apt-get download -o APT::Sandbox::User=root "$@"; }
    ) && find "$debs" -name '*.deb' -exec dpkg-deb -x {} "$into" \; && rm -rf "$debs"
}

# Debian's erl takes /usr/lib/erlang for its home; here it takes the folder that it is in.
make_rabbitmq() { # make_rabbitmq FOLDER
    rm -rf "$1" && unpack_debian "$1" "${rabbitmq_packages[@]}" &&
        # shellcheck disable=SC2016 # erl expands it
        sed -i 's|ROOTDIR=/usr/lib/erlang$|ROOTDIR=$(dirname "$(dirname "$(readlink -f "$0")")")|' \
            "$1/usr/lib/erlang/bin/erl" &&
        [ "$("$1/usr/bin/erl" -noshell -eval 'io:put_chars(code:root_dir()), halt().')" = "$1/usr/lib/erlang" ] &&
        [ -x "$1/usr/lib/rabbitmq/bin/rabbitmq-server" ] &&
        printf '%s\n' "${rabbitmq_packages[*]}" >"$1/.pins"
}

rabbitmq_server() {
    local into=build/rabbitmq
    if [ -n "${QE_RABBITMQ:-}" ] || is_made "$into" "${rabbitmq_packages[*]}"; then
        return 0
    fi
    if [ "${QE_INSTALL:-yes}" = no ]; then
        [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] ||
            die "no RabbitMQ: run without QE_INSTALL=no, install Debian's rabbitmq-server, or set QE_RABBITMQ"
        return 0
    fi
    say "Unpacking Debian's rabbitmq-server and its Erlang into $into (no service is installed)"
    quietly 40 "unpacking rabbitmq-server" make_rabbitmq "$(realpath -m "$into")"
}
