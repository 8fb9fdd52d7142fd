#!/usr/bin/env bash
# The programs that some tests talk to: ffmpeg, GStreamer, a browser. Installed where that can be done; elsewhere their tests
# are skipped, and say so.
set -euo pipefail

packages=(
    ffmpeg
    chromium chromium-driver
    gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gir1.2-gst-rtsp-server-1.0 python3-gi
)

if ! command -v apt-get dpkg-query >/dev/null; then
    echo "no apt-get here: tests that need ${packages[*]} may be skipped"
    exit 0
fi
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    echo "all are there"
elif ((EUID != 0)); then
    echo "not root: tests that need ${missing[*]} may be skipped"
elif { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"; } >/dev/null; then
    echo "installed ${missing[*]}"
else
    echo "could not install ${missing[*]}: their tests may be skipped"
fi
