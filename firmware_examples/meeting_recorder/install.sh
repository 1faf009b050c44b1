#!/bin/sh
# Installs the service on Debian, Raspberry Pi OS or Ubuntu (JetPack). As root:
#
#   ./install.sh             units, udev rule, user, configuration; then starts the recorder
#   DESTDIR=image ./install.sh   the same files into an image, nothing is started
#
# echo-edge itself must be in /opt/echo-edge:
#   apt install python3-venv libportaudio2
#   python3 -m venv /opt/echo-edge && /opt/echo-edge/bin/pip install 'echo-edge[onnx,mic]'
set -eu
umask 022 # whatever root's own is: these files are for all to read
here=$(dirname "$0")
root=${DESTDIR:-}

if [ -z "$root" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "install.sh: must run as root: sudo $0" >&2
        exit 1
    fi
    if [ ! -x /opt/echo-edge/bin/echo-edge ]; then
        echo "install.sh: found no /opt/echo-edge/bin/echo-edge: install echo-edge there first" >&2
        exit 1
    fi
fi

put() { # FILE FOLDER NAME
    install -d "$root$2"
    install -m 644 "$here/$1" "$root$2/$3"
}
put echo-edge-recorder.service /etc/systemd/system echo-edge-recorder.service
put echo-edge-recover.service /etc/systemd/system echo-edge-recover.service
put 60-echo-edge-microphone.rules /etc/udev/rules.d 60-echo-edge-microphone.rules
put echo-edge-recorder.sysusers /etc/sysusers.d echo-edge-recorder.conf
if [ ! -e "$root/etc/echo-edge/recorder.conf" ]; then # never over what somebody has set
    put recorder.conf /etc/echo-edge recorder.conf
fi

if [ -z "$root" ]; then
    systemd-sysusers
    if ! runuser -u echo-edge -- /opt/echo-edge/bin/echo-edge --version >/dev/null; then
        echo "install.sh: the user echo-edge cannot run /opt/echo-edge/bin/echo-edge:" \
            "chmod -R go+rX /opt/echo-edge, then $0 again" >&2
        exit 1
    fi
    udevadm control --reload
    systemctl daemon-reload
    systemctl enable --now echo-edge-recorder.service
    systemctl enable echo-edge-recover.service
    echo "recording to /var/lib/echo-edge-recorder: journalctl -u echo-edge-recorder"
fi
