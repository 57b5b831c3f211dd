#!/bin/sh
# Two video files in, one 4x video file out.
set -eu

usage() {
    cat >&2 <<'END'
usage: files.sh ULTRAWIDE WIDE OUTPUT [PROPERTY=VALUE ...]

Enlarges the video file ULTRAWIDE with detail from WIDE, a video of the same scene through a lens twice as long, and
writes H.264 to OUTPUT (.mp4, anything else becomes Matroska). Frames are paired by their time in the files.
With SOUND=1 in the environment the sound of ULTRAWIDE, which must have some, is encoded into the output. To copy it as it is, and for
everything else that belongs to a recording, use: refvsr transcode -u ULTRAWIDE -w WIDE -o OUTPUT
Properties of the element may follow: device=cuda:0 model-file=my.safetensors wide::zoom=1.9 (gst-inspect-1.0 refvsr lists all).
END
    exit 2
}

[ $# -ge 3 ] || usage
ultrawide=$1 wide=$2 output=$3
shift 3
for file in "$ultrawide" "$wide"; do
    [ -r "$file" ] || { echo "files.sh: cannot read $file" >&2; exit 1; }
done
case $output in
    *.mp4) mux=mp4mux ;;
    *) mux=matroskamux ;;
esac

# The queue behind the element lets the encoder work while the network is at the next frame.
behind='queue max-size-buffers=4 max-size-bytes=0 max-size-time=0'
sound=
if [ "${SOUND:-0}" = 1 ]; then
    sound='uw. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! audioconvert ! audioresample ! avenc_aac ! mux.'
fi

# The unquoted variables are several words each, on purpose.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    filesrc location="$ultrawide" ! decodebin name=uw \
    filesrc location="$wide" ! decodebin ! videoconvert ! queue ! sr.wide \
    uw. ! queue ! videoconvert ! sr.ultrawide \
    refvsr name=sr "$@" ! $behind ! progressreport update-freq=2 \
    ! videoconvert ! video/x-raw,format=I420 ! x264enc pass=quant quantizer=18 ! h264parse ! queue ! "$mux" name=mux \
    ! filesink location="$output" \
    $sound
