#!/bin/sh
# Inside the RAUC bundle; RAUC runs it as root once the image has been written to the slot `model`.
# A failure here fails the installation, and the model that ran before still does.
set -eu

[ "$1" = slot-post-install ] || exit 0
[ "$RAUC_SLOT_CLASS" = model ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unsquashfs -no-progress -no-xattrs -d "$work/bundle" "$RAUC_SLOT_DEVICE" >/dev/null
echo-edge bundle install "$work/bundle"
