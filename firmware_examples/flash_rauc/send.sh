#!/bin/sh
# send.sh BUNDLE HOST: install a signed model bundle on a board without RAUC: one connection, nothing
# left on the board if it is refused.
set -eu

[ $# = 2 ] || { echo "usage: send.sh BUNDLE HOST" >&2; exit 2; }
tar -C "$1" -cf - . | ssh "$2" echo-edge bundle install -
