#!/usr/bin/env bash
# Installs the package $1 into a clean root, upgrades, removes and purges it, and looks at what stands after each step. Needs
# dpkg; as another user than root it runs itself under fakeroot.
set -euo pipefail
package=$(realpath "$1")
not_tried() {
    echo "package: not tried, since there is no $1 here"
    exit 0
}
for tool in dpkg dpkg-deb systemd-sysusers systemd-tmpfiles; do
    command -v "$tool" >/dev/null || not_tried "$tool"
done
if [ "$(id -u)" != 0 ]; then
    command -v fakeroot >/dev/null || not_tried fakeroot
    exec fakeroot "$0" "$package"
fi
root=$(mktemp -d)
work=$(mktemp -d)
trap 'rm -rf "$root" "$work"' EXIT
state=$root/var/lib/dpkg
mkdir -p "$state/updates" "$state/info" "$root/etc"
: >"$state/status"
: >"$root/etc/passwd"
: >"$root/etc/group"

fail() {
    echo "package: $1" >&2
    exit 1
}
# The scripts of the package honour DPKG_ROOT: nothing of this machine is touched, no service of it is spoken to.
dpkg_in_root() {
    dpkg --root="$root" --force-script-chrootless --force-depends --force-confold --force-not-root --log=/dev/null "$@" >"$root/said" 2>&1 ||
        { cat "$root/said" >&2; fail "dpkg $*"; }
}
must_stand() { for file in "$@"; do [ -e "$root/$file" ] || fail "$file is missing"; done; }
must_be_gone() { for file in "$@"; do [ ! -e "$root/$file" ] || fail "$file is still there"; done; }

dpkg_in_root -i "$package"
grep -q 'sicantik-notifyd migrate' "$root/said" || fail "a first installation does not say what to do next"
must_stand usr/bin/sicantik-notifyd usr/lib/systemd/system/sicantik-notifyd.service \
    etc/sicantik-notifyd/config.toml usr/share/man/man1/sicantik-notifyd.1.gz usr/share/man/man1/sicantik-notifyd-hooks-install.1.gz \
    usr/share/bash-completion/completions/sicantik-notifyd usr/share/zsh/vendor-completions/_sicantik-notifyd \
    usr/share/doc/sicantik-notifyd/README.md usr/share/doc/sicantik-notifyd/panduan.md
grep -q '^sicantik-notifyd:' "$root/etc/passwd" || fail "the system user was not made"
[ "$(stat -c %a "$root/etc/sicantik-notifyd/config.toml")" = 640 ] || fail "the configuration can be read by others"
wanted=$(dpkg-deb -f "$package" Version)
case "$wanted" in "$("$root/usr/bin/sicantik-notifyd" --version | cut -d' ' -f2)"*) ;; *) fail "the binary is not of version $wanted" ;; esac
grep -q "ExecStart=/usr/bin/sicantik-notifyd run" "$root/usr/lib/systemd/system/sicantik-notifyd.service" || fail "the unit starts another binary"
bash -n "$root/usr/share/bash-completion/completions/sicantik-notifyd"
if command -v systemd-analyze >/dev/null; then
    # A root without systemd's own units has a few complaints of another kind.
    systemd-analyze verify --root="$root" --man=no sicantik-notifyd.service >"$root/said" 2>&1 || true
    ! grep -iE 'sicantik-notifyd.*(unknown|invalid|ignoring)' "$root/said" || fail "the unit is faulty"
fi

# What an administrator wrote survives an upgrade and a removal; a purge takes it, and the arming secret with it.
echo '# ours' >>"$root/etc/sicantik-notifyd/config.toml"
mkdir -p "$root/var/lib/sicantik-notifyd"
echo secret >"$root/var/lib/sicantik-notifyd/arming"
dpkg_in_root -i "$package"
! grep -q 'sicantik-notifyd migrate' "$root/said" || fail "a second installation speaks like a first one"
grep -q '^# ours' "$root/etc/sicantik-notifyd/config.toml" || fail "a second installation overwrote the configuration"

# The next version: the same, with another number, another default in the configuration, and one file less.
dpkg-deb -R "$package" "$work/next"
sed -i 's/^Version: .*/Version: 999.0-1/' "$work/next/DEBIAN/control"
echo '# a newer default' >>"$work/next/etc/sicantik-notifyd/config.toml"
rm "$work/next/usr/share/doc/sicantik-notifyd/panduan.md"
(cd "$work/next" && find . -type f -not -path './DEBIAN/*' -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group -b "$work/next" "$work/next.deb" >/dev/null
dpkg_in_root -i "$work/next.deb"
! grep -q 'sicantik-notifyd migrate' "$root/said" || fail "an upgrade speaks like a first installation"
[ "$(dpkg-query --admindir="$state" -W -f '${Version} ${db:Status-Status}' sicantik-notifyd)" = "999.0-1 installed" ] || fail "it was not upgraded"
grep -q '^# ours' "$root/etc/sicantik-notifyd/config.toml" || fail "an upgrade overwrote the configuration"
grep -q '^# a newer default' "$root/etc/sicantik-notifyd/config.toml.dpkg-dist" || fail "an upgrade hides the newer default"
[ "$(stat -c %a "$root/etc/sicantik-notifyd/config.toml")" = 640 ] || fail "an upgrade opened the configuration to others"
[ "$(cat "$root/var/lib/sicantik-notifyd/arming")" = secret ] || fail "an upgrade lost the arming secret"
must_stand usr/bin/sicantik-notifyd usr/lib/systemd/system/sicantik-notifyd.service
must_be_gone usr/share/doc/sicantik-notifyd/panduan.md
dpkg_in_root -r sicantik-notifyd
must_be_gone usr/bin/sicantik-notifyd usr/lib/systemd/system/sicantik-notifyd.service
must_stand etc/sicantik-notifyd/config.toml var/lib/sicantik-notifyd/arming
dpkg_in_root -P sicantik-notifyd
must_be_gone etc/sicantik-notifyd var/lib/sicantik-notifyd usr/share/doc/sicantik-notifyd usr/share/man/man1/sicantik-notifyd.1.gz
[ -z "$(find "$root" -name '*sicantik*' -not -path '*/var/lib/dpkg/*')" ] || fail "left: $(find "$root" -name '*sicantik*')"
echo "package: installed, upgraded, removed and purged in a clean root: $(du -h "$package" | cut -f1) compressed"
