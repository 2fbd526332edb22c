#!/usr/bin/env bash
# A Debian package of the binary $1, as the file $2. Its manual pages and completions are made by the binary itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
binary=$1
package=$2
tools=$PWD/target/tools
if ! cargo deb --version >/dev/null 2>&1; then
    export PATH="$tools/bin:$PATH"
    cargo deb --version >/dev/null 2>&1 || cargo install --quiet --locked --root "$tools" cargo-deb@3.8.0
fi
folder=target/package
rm -rf "$folder"
mkdir -p "$folder"
install -m 755 "$binary" "$folder/sicantik-notifyd"
strip "$folder/sicantik-notifyd" 2>/dev/null || true
"$binary" man --out "$folder/man"
"$binary" completions bash >"$folder/sicantik-notifyd.bash"
"$binary" completions zsh >"$folder/_sicantik-notifyd"
"$binary" completions fish >"$folder/sicantik-notifyd.fish"
cargo deb --quiet --no-build --no-strip ${FAST:+--fast} -o "$package"
