#!/bin/sh
# Two live cameras in, a 4x picture on the screen.
set -eu

usage() {
    cat >&2 <<'END'
usage: live.sh ULTRAWIDE-DEVICE WIDE-DEVICE [PROPERTY=VALUE ...]
       live.sh test [PROPERTY=VALUE ...]

Shows the camera ULTRAWIDE-DEVICE (/dev/video0, say) enlarged, with detail from WIDE-DEVICE; `test` uses moving test
pictures for cameras. Frames that come faster than the network can enlarge them are enlarged bicubically.
Properties of the element may follow: device=cuda:0 lookahead=0 (gst-inspect-1.0 refvsr lists all).

Environment: WIDTH, HEIGHT, FPS   what the cameras are asked for (320, 180, 30)
             SINK                 what shows the result (autovideosink)
END
    exit 2
}

[ $# -ge 1 ] || usage
if [ "$1" = test ]; then
    ultrawide='videotestsrc is-live=true pattern=ball' wide='videotestsrc is-live=true pattern=ball flip=true'
    shift
else
    [ $# -ge 2 ] || usage
    for device in "$1" "$2"; do
        [ -c "$device" ] || { echo "live.sh: $device is no camera device" >&2; exit 1; }
    done
    ultrawide="v4l2src device=$1" wide="v4l2src device=$2"
    shift 2
fi

size=video/x-raw,width=${WIDTH:-320},height=${HEIGHT:-180},framerate=${FPS:-30}/1
# The element enlarges bicubically what the network would be late with, so that no frame is dropped; frames wait here meanwhile.
room='queue max-size-buffers=0 max-size-bytes=0 max-size-time=3000000000'
# The unquoted variables are several words each, on purpose.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    $ultrawide ! decodebin ! videoconvert ! videoscale ! videorate ! "$size" ! $room ! sr.ultrawide \
    $wide ! decodebin ! videoconvert ! videoscale ! videorate ! "$size" ! $room ! sr.wide \
    refvsr name=sr "$@" ! queue ! videoconvert ! ${SINK:-autovideosink}
