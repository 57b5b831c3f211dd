#!/bin/sh
# Two or three live cameras in, a 4x recording and a preview of it out.
set -eu

usage() {
    cat >&2 <<'END'
usage: cameras.sh OUTPUT ULTRAWIDE-DEVICE WIDE-DEVICE [TELE-DEVICE] [PROPERTY=VALUE ...]
       cameras.sh OUTPUT test [PROPERTY=VALUE ...]

Records what the camera ULTRAWIDE-DEVICE (/dev/video0, say) shows, enlarged with detail from the others, to the file OUTPUT (.mkv, .mp4),
and shows it meanwhile; `test` uses moving test pictures for cameras. Ctrl-C ends the recording properly.
Every frame is recorded: where the machine cannot keep up, the element enlarges late frames bicubically and in time (overload=bypass).
Properties of the element may follow: device=cuda:0 tele::zoom=4.9 (gst-inspect-1.0 refvsr lists all).

Environment: WIDTH, HEIGHT, FPS   what the cameras are asked for (320, 180, 30)
             FRAMES               how many pictures `test` gives (-1: until Ctrl-C)
             SINK                 what shows the preview (autovideosink)
             ENCODER              what encodes the recording (x264enc speed-preset=veryfast quantizer=18 pass=quant; on NVIDIA hardware
                                  ENCODER='nvh264enc', and nvh264dec decodes cameras that give H.264)
END
    exit 2
}

[ $# -ge 2 ] || usage
output=$1
shift
case $output in
*.mkv) mux=matroskamux ;;
*.mp4) mux=mp4mux ;;
*) echo "cameras.sh: $output ends neither in .mkv nor in .mp4" >&2; exit 1 ;;
esac

size=video/x-raw,width=${WIDTH:-320},height=${HEIGHT:-180},framerate=${FPS:-30}/1
# The element enlarges bicubically what the network would be late with, so that no frame is dropped; frames wait here meanwhile.
room='queue max-size-buffers=0 max-size-bytes=0 max-size-time=3000000000'
# The screen alone leaves frames out where it cannot keep up.
fresh='queue leaky=downstream max-size-buffers=2'
cameras=
lens=ultrawide
if [ "$1" = test ]; then
    shift
    for lens in ultrawide wide tele; do
        cameras="$cameras videotestsrc is-live=true num-buffers=${FRAMES:--1} pattern=ball ! $size ! $room ! sr.$lens"
    done
    lens=none
fi
while [ $# -gt 0 ] && [ "$lens" != none ]; do
    case $1 in *=*) break ;; esac
    [ -c "$1" ] || { echo "cameras.sh: $1 is no camera device" >&2; exit 1; }
    cameras="$cameras v4l2src device=$1 ! decodebin ! videoconvert ! videoscale ! videorate ! $size ! $room ! sr.$lens"
    case $lens in ultrawide) lens=wide ;; wide) lens=tele ;; tele) lens=none ;; esac
    shift
done
case $lens in ultrawide | wide) usage ;; esac

# The unquoted variables are several words each, on purpose.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e $cameras \
    refvsr name=sr overload=bypass "$@" ! queue ! videoconvert ! tee name=t \
    t. ! $fresh ! videoconvert ! ${SINK:-autovideosink} \
    t. ! queue max-size-buffers=30 max-size-bytes=0 max-size-time=0 ! videoconvert \
    ! ${ENCODER:-x264enc speed-preset=veryfast quantizer=18 pass=quant} ! $mux ! filesink location="$output"
