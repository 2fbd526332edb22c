#!/bin/sh
# Prints the path of pgbouncer, and fetches Debian's package if there is none; tests run the daemon through it.
#
# Searched: $SICANTIK_NOTIFYD_PGBOUNCER, PATH, /usr/sbin, .postgres/pgbouncer of this project. What is fetched is unpacked into
# .postgres/pgbouncer, as whoever calls: nothing is installed on the machine, and nothing starts.
# Standard output carries the path only; everything else goes to standard error.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
folder=$project/.postgres/pgbouncer

say() { echo "ensure-pgbouncer: $*" >&2; }

works() { [ -x "$1" ] && "$1" --version >/dev/null 2>&1; }

find_program() {
    if [ -n "${SICANTIK_NOTIFYD_PGBOUNCER:-}" ]; then
        works "$SICANTIK_NOTIFYD_PGBOUNCER" && { echo "$SICANTIK_NOTIFYD_PGBOUNCER"; return 0; }
        say "SICANTIK_NOTIFYD_PGBOUNCER=$SICANTIK_NOTIFYD_PGBOUNCER does not run"
        exit 2
    fi
    for program in "$(command -v pgbouncer 2>/dev/null || true)" /usr/sbin/pgbouncer "$folder/pgbouncer"; do
        works "$program" && { echo "$program"; return 0; }
    done
    return 1
}

# The packages that apt would install, with what pgbouncer needs and this machine lacks.
fetch() (
    rm -rf "$folder"
    mkdir -p "$folder/packages"
    cd "$folder/packages"
    wanted=$(apt-get "$@" -s install --no-install-recommends pgbouncer 2>/dev/null | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
    [ -n "$wanted" ] || return 1
    # shellcheck disable=SC2086 # names of packages
    apt-get "$@" download $wanted >&2 || return 1
    for package in ./*.deb; do dpkg-deb -x "$package" "$folder/root" || return 1; done
    rm -rf "$folder/packages"
    libraries=$(find "$folder/root" -name 'lib*.so.*' -exec dirname {} + | sort -u | tr '\n' ':')
    cat >"$folder/pgbouncer" <<PROGRAM
#!/bin/sh
LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:-}" exec "$folder/root/usr/sbin/pgbouncer" "\$@"
PROGRAM
    chmod 755 "$folder/pgbouncer"
)

# Lists of packages that are older than the archive name files that are gone: then with lists of our own, which need no root.
from_apt() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
    say "fetching Debian's pgbouncer into $folder"
    fetch && return 0
    lists=$project/.postgres/lists
    mkdir -p "$lists/partial"
    set -- -o "Dir::State::lists=$lists" -o "Dir::Cache=$lists" -o "Dir::Cache::archives=$lists" -o Debug::NoLocking=1
    apt-get "$@" update >&2 || return 1
    fetch "$@"
}

find_program && exit 0
from_apt && find_program && exit 0
say "no pgbouncer found, and none could be fetched."
say "Install the package of your system, or name the program in SICANTIK_NOTIFYD_PGBOUNCER."
exit 1
