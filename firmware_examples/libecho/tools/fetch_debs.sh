#!/bin/sh
# fetch_debs.sh ARCH FOLDER PACKAGE/SUITE...: unpack Debian packages into a folder, installing nothing.
#
# ARCH as Debian names it: amd64 or arm64. Works without root and without touching the system's own
# lists; apt verifies the packages with Debian's keys. Needs apt-get, dpkg-deb and, where the system
# is not Debian itself, DEBIAN_MIRROR and debian-archive-keyring.
set -eu
arch=$1 folder=$2
shift 2
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
state=$folder/.apt

fail() {
    echo "fetch_debs: $1" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "found no apt-get, expected Debian or a relative of it"
mirror=${DEBIAN_MIRROR:-$(awk '/^URIs:/ { print $2; exit }' \
    /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)}
[ -n "$mirror" ] || fail "found no Debian mirror: set DEBIAN_MIRROR to one"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f $keyring ] || fail "found no Debian keys: apt install debian-archive-keyring"

mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"
for package in "$@"; do
    echo "deb [arch=$arch signed-by=$keyring] $mirror ${package#*/} main"
done | sort -u >"$state/sources.list"

private() {
    apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
        -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$state/lists" -o Dir::State::Status="$state/status" \
        -o Dir::Cache="$state/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
private update || fail "apt-get update failed: see that the network works"
cd "$state"
rm -f ./*.deb
private download "$@" || fail "apt-get download failed: see that the network works"
for deb in ./*.deb; do
    dpkg-deb -x "$deb" "$folder"
done
rm -rf "$state"
touch "$folder/.complete"
