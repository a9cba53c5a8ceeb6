#!/bin/bash
# camera-mqtt.sh [COUNT] - camera.sh over MQTT: when what the camera sees changes, convd's answer is published, and kept by the broker.
#
#   TOPIC   where (convd/camera); TOPIC/status is online or offline
#   NAME    what Home Assistant calls it (convd), which finds the sensor by itself
#   and what camera.sh knows. The broker, user and password are in ~/.config/mosquitto_pub, a line each, as mosquitto_pub
#   has its options (-h broker), where nobody else sees them.
set -euo pipefail
topic=${TOPIC:-convd/camera}
id=${topic//[^A-Za-z0-9_-]/_}

publish() { mosquitto_pub -q 1 -r "$@"; }
end() {
    # shellcheck disable=SC2046 # camera.sh, where it still runs
    kill $(jobs -p) 2>/dev/null || true
    publish -t "$topic/status" -m offline
}

sensor="{\"name\":\"${NAME:-convd}\",\"unique_id\":\"$id\",\"state_topic\":\"$topic\",\"value_template\":\"{{ value_json.label }}\""
sensor="$sensor,\"json_attributes_topic\":\"$topic\",\"availability_topic\":\"$topic/status\"}"
publish -t "homeassistant/sensor/$id/config" -m "$sensor"
publish -t "$topic/status" -m online
trap end EXIT
FORMAT=json "$(dirname "$0")/camera.sh" "$@" |
    publish -l -t "$topic" --will-topic "$topic/status" --will-payload offline --will-qos 1 --will-retain
