#!/bin/sh
# make_raucb.sh BUNDLE VERSION CERT KEY OUT.raucb: a RAUC bundle that carries a model bundle as a
# squashfs image. BUNDLE is a folder that `echo-edge bundle sign` has signed; CERT and KEY sign the
# RAUC bundle around it. Needs rauc and squashfs-tools.
set -eu

[ $# = 5 ] || { echo "usage: make_raucb.sh BUNDLE VERSION CERT KEY OUT.raucb" >&2; exit 2; }
bundle=$1 version=$2 cert=$3 key=$4 out=$5
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$bundle/SIGNATURE" ] || { echo "$bundle: found no SIGNATURE: echo-edge bundle sign" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/content"
# The same model, the same bytes: no times, no owners.
mksquashfs "$bundle" "$work/content/model.squashfs" \
    -quiet -no-progress -all-root -no-xattrs -mkfs-time 0 -all-time 0
install -m 755 "$here/hook.sh" "$work/content/hook.sh"
cat >"$work/content/manifest.raucm" <<EOF
[update]
compatible=echo-edge-example
version=$version

[bundle]
format=plain

[hooks]
filename=hook.sh

[image.model]
filename=model.squashfs
hooks=post-install
EOF
rm -f "$out"
rauc --cert="$cert" --key="$key" bundle "$work/content" "$out"
