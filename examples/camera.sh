#!/bin/sh
# camera.sh [COUNT] - takes picture after picture, prints what they show when that changes, COUNT times (0: for ever).
#
#   CAMERA    a command that writes a picture to the file that is its last argument
#             (fswebcam -q --no-banner -r 320x240; or: ffmpeg -loglevel error -y -f v4l2 -i /dev/video0 -frames:v 1)
#   SECONDS_BETWEEN   1
#   SURE      what is less probable is not told (0.8)
#   FORMAT    json: convd's answer is printed, in place of time, class and confidence
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/convd.sh"

count=${1:-0}
picture=$(mktemp --suffix=.jpg)
trap 'rm -f "$picture"' EXIT
trap 'exit 143' TERM
last=
taken=0
while [ "$count" -eq 0 ] || [ "$taken" -lt "$count" ]; do
    [ "$taken" -eq 0 ] || sleep "${SECONDS_BETWEEN:-1}"
    taken=$((taken + 1))
    # shellcheck disable=SC2086 # a command with its arguments
    ${CAMERA:-fswebcam -q --no-banner -r 320x240} "$picture"
    answer=$(call "/predict?top=1" --data-binary "@$picture")
    label=$(echo "$answer" | member label)
    confidence=$(echo "$answer" | member confidence)
    if [ "$label" != "$last" ] && awk "BEGIN { exit !($confidence >= ${SURE:-0.8}) }"; then
        if [ "${FORMAT:-}" = json ]; then
            printf '%s\n' "$answer"
        else
            printf '%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$label" "$confidence"
        fi
        last=$label
    fi
done
