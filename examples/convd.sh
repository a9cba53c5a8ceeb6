# shellcheck shell=sh
# convd.sh - what the examples share; they read it, nobody runs it.
#
#   CONVD_URL          where the daemon is (http://127.0.0.1:8080)
#   CONVD_TOKEN_FILE   the file with its token, where it wants one
#
# call PATH [CURL'S ARGUMENTS] - asks the daemon; prints its answer. An error's answer goes to stderr, and call fails.
# A request that the daemon was too busy for, or that met it while it restarted, is repeated: safe where nothing is
# changed, and where an Idempotency-Key goes with it. The token goes through a pipe: arguments can be seen by everybody.
url=${CONVD_URL:-http://127.0.0.1:8080}

call() {
    path=$1
    shift
    answer=$(request "$path" -sS --fail-with-body --retry 5 --retry-connrefused "$@") || { echo "$answer" >&2; return 1; }
    printf '%s\n' "$answer"
}

# request PATH [CURL'S ARGUMENTS] - curl, with the token: one attempt, told as it comes.
request() {
    from=$url$1
    shift
    if [ -n "${CONVD_TOKEN_FILE:-}" ]; then
        sed -n '1s/.*/header = "Authorization: Bearer &"/p' "$CONVD_TOKEN_FILE" | curl -K - "$@" "$from"
    else
        curl "$@" "$from"
    fi
}

# member NAME - the member of that name out of a JSON object on stdin, where it is a number or a simple string.
member() {
    sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"
}
