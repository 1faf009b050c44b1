#!/bin/sh
# cpuinfo.sh CPU: /proc/cpuinfo as on a board of four such cores, by qemu's name of them.
set -eu
older="fp asimd evtstrm aes pmull sha1 sha2 crc32"
case $1 in
cortex-a53) part=0xd03 features="$older cpuid" ;;
cortex-a72) part=0xd08 features="fp asimd evtstrm crc32 cpuid" ;;
cortex-a76) part=0xd0b features="$older atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp" ;;
*)
    echo "cpuinfo: found $1, expected cortex-a53, cortex-a72 or cortex-a76" >&2
    exit 2
    ;;
esac
for core in 0 1 2 3; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: %s\n' "$core" "$features"
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n'
    printf 'CPU part\t: %s\nCPU revision\t: 3\n\n' "$part"
done
