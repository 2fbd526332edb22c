#!/usr/bin/env bash
# Two release builds of this source, the second from a copy in another folder, into target folders of their own: the same bytes?
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$work"
digest() { sha256sum "$1" | cut -d' ' -f1; }
CARGO_TARGET_DIR=target/reproducible make release
CARGO_TARGET_DIR=$work/target make -C "$work" release
one=$(digest target/reproducible/release/sicantik-notifyd)
two=$(digest "$work/target/release/sicantik-notifyd")
if [ "$one" != "$two" ]; then
    echo "reproducible: $one here, $two in $work" >&2
    exit 1
fi
echo "reproducible: $one, $(du -h target/reproducible/release/sicantik-notifyd | cut -f1)"
