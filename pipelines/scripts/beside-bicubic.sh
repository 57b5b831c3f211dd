#!/bin/sh
# Two video files in, one window out: bicubic enlargement on the left, the element's on the right.
set -eu

usage() {
    cat >&2 <<'END'
usage: beside-bicubic.sh ULTRAWIDE WIDE [PROPERTY=VALUE ...]

Shows the left half of the video ULTRAWIDE enlarged by bicubic interpolation, and the right half as the element enlarges it with detail
from WIDE. Properties of the element may follow: device=cuda:0 wide::zoom=1.9 (gst-inspect-1.0 refvsr lists all).

Environment: SINK   what shows the result (autovideosink)
             SCALE  how many times larger the model's output is (4)
END
    exit 2
}

[ $# -ge 2 ] || usage
ultrawide=$1 wide=$2
shift 2
for file in "$ultrawide" "$wide"; do
    [ -r "$file" ] || { echo "beside-bicubic.sh: cannot read $file" >&2; exit 1; }
done
# A line for every frame, until its size has been said and sed takes no more.
size=$(gst-launch-1.0 -v filesrc location="$ultrawide" ! decodebin ! "video/x-raw(ANY)" ! fakesink silent=false \
    | sed -n '/GstFakeSink.*video\/x-raw.*width=(int)/{s/.*width=(int)\([0-9]*\), height=(int)\([0-9]*\).*/\1 \2/p;q;}')
[ -n "$size" ] || { echo "beside-bicubic.sh: $ultrawide holds no video" >&2; exit 1; }
width=$((${size% *} * ${SCALE:-4})) height=$((${size#* } * ${SCALE:-4}))

# The plain picture waits until the network has the same frame: its queue holds as many as the longest look-ahead.
waiting='queue max-size-buffers=60 max-size-bytes=0 max-size-time=0'
# The unquoted variables are several words each, on purpose.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    filesrc location="$ultrawide" ! decodebin ! videoconvert ! tee name=uw \
    filesrc location="$wide" ! decodebin ! videoconvert ! queue ! sr.wide \
    uw. ! queue ! sr.ultrawide \
    uw. ! $waiting ! videoscale method=catrom ! "video/x-raw,width=$width,height=$height" ! videocrop right=$((width / 2)) ! both.sink_0 \
    refvsr name=sr "$@" ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 ! videoconvert \
    ! videocrop left=$((width / 2)) ! both.sink_1 \
    compositor name=both sink_1::xpos=$((width / 2)) ! videoconvert ! ${SINK:-autovideosink}
