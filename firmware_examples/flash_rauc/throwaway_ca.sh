#!/bin/sh
# throwaway_ca.sh DIR: a CA and a signing certificate for trying this out: ca.pem, sign.pem, sign.key.
# For devices in the field make your own, and keep its key off the network.
set -eu

mkdir -p "$1"
cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -days 7 -subj "/CN=echo-edge throw-away CA" \
    -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj "/CN=echo-edge throw-away signer" \
    -keyout sign.key -out sign.csr 2>/dev/null
printf 'keyUsage=digitalSignature\nextendedKeyUsage=emailProtection,codeSigning\n' >sign.ext
openssl x509 -req -in sign.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 7 \
    -extfile sign.ext -out sign.pem 2>/dev/null
