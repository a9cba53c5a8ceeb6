#!/bin/sh
# snapshot-and-back.sh COMMAND... - takes a snapshot, runs the command, and goes back to the snapshot where the command fails.
#
#   examples/snapshot-and-back.sh sh -c 'examples/train-folder.sh new-pictures && ./is-it-still-good'
#
# The snapshot is pinned, so that it is still there however long the command takes, and stays: DELETE and GET /snapshots
# are there to look after it. What was learned meanwhile is in the log in any case, and can be gone back to as well.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/convd.sh"
[ $# -gt 0 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }

id=$(call /snapshots -H 'Content-Type: application/json' -d '{"note": "before snapshot-and-back.sh", "pinned": true}' | member id)
status=0
"$@" || status=$?
if [ "$status" -eq 0 ]; then
    echo "it worked; snapshot $id is from before"
else
    call "/snapshots/$id/activate" -X POST >/dev/null
    echo "it failed ($status): the model is again as in snapshot $id"
fi
exit "$status"
