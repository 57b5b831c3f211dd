#!/bin/sh
# Two live cameras in, a 4x preview in a browser out.
set -eu

usage() {
    cat >&2 <<'END'
usage: webrtc.sh ULTRAWIDE-DEVICE WIDE-DEVICE [PROPERTY=VALUE ...]
       webrtc.sh test [PROPERTY=VALUE ...]

Serves the camera ULTRAWIDE-DEVICE (/dev/video0, say), enlarged with detail from WIDE-DEVICE, over WebRTC, with a signalling
server on port 8443. `test` uses moving test pictures for cameras. It needs the element webrtcsink of gst-plugins-rs 0.13 or
later, which Debian 12 does not have, and says so where it is missing.
Properties of the element may follow: device=cuda:0 lookahead=0 (gst-inspect-1.0 refvsr lists all).

Environment: WIDTH, HEIGHT, FPS   what the cameras are asked for (320, 180, 30)
             FRAMES               how many pictures `test` gives (-1: until Ctrl-C)
             PAGE                 a folder to serve at http://HOST:8080/, the `dist` of the npm package gstwebrtc-api for
                                  instance: its page lists the streams and shows them
             SINK                 what takes the pictures (webrtcsink)
END
    exit 2
}

[ $# -ge 1 ] || usage
if [ "$1" = test ]; then
    pictures="videotestsrc is-live=true num-buffers=${FRAMES:--1} pattern=ball"
    ultrawide=$pictures wide="$pictures flip=true"
    shift
else
    [ $# -ge 2 ] || usage
    for device in "$1" "$2"; do
        [ -c "$device" ] || { echo "webrtc.sh: $device is no camera device" >&2; exit 1; }
    done
    ultrawide="v4l2src device=$1" wide="v4l2src device=$2"
    shift 2
fi
if [ -z "${SINK:-}" ]; then
    there() { gst-inspect-1.0 --exists --atleast-version=0.0 "$1"; }
    there webrtcsink || {
        echo 'webrtc.sh: GStreamer lacks the element webrtcsink; cargo cinstall -p gst-plugin-webrtc in a checkout of gst-plugins-rs builds it' >&2
        exit 1
    }
    there nicesrc || { echo 'webrtc.sh: GStreamer lacks the element nicesrc; on Debian: apt-get install gstreamer1.0-nice' >&2; exit 1; }
    SINK='webrtcsink run-signalling-server=true'
    if [ -n "${PAGE:-}" ]; then
        [ -r "$PAGE/index.html" ] || { echo "webrtc.sh: PAGE is $PAGE, which has no index.html" >&2; exit 1; }
        SINK="$SINK run-web-server=true web-server-host-addr=http://0.0.0.0:8080/ web-server-directory=$PAGE"
    fi
fi

size=video/x-raw,width=${WIDTH:-320},height=${HEIGHT:-180},framerate=${FPS:-30}/1
# The element enlarges bicubically what the network would be late with, so that no frame is dropped; frames wait here meanwhile.
room='queue max-size-buffers=0 max-size-bytes=0 max-size-time=3000000000'
# The unquoted variables are several words each, on purpose.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    $ultrawide ! decodebin ! videoconvert ! videoscale ! videorate ! "$size" ! $room ! sr.ultrawide \
    $wide ! decodebin ! videoconvert ! videoscale ! videorate ! "$size" ! $room ! sr.wide \
    refvsr name=sr overload=bypass "$@" ! queue ! videoconvert ! $SINK
