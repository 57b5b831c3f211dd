#!/bin/sh
# Two or three RTSP cameras in, a 4x stream out: to an RTSP server, or to a file.
set -eu

usage() {
    cat >&2 <<'END'
usage: rtsp.sh OUTPUT ULTRAWIDE-URL WIDE-URL [TELE-URL] [PROPERTY=VALUE ...]

Reads the streams rtsp://... of two or three cameras and enlarges the ultra-wide one with detail from the others. OUTPUT is a file
(.mkv), or an address rtsp://... to which a server lets clients send (MediaMTX, for instance). Ctrl-C ends it properly.
Frames that the machine is too slow for are enlarged bicubically and in time (overload=bypass). The cameras' clocks have to agree: with
NTP in all of them, CLOCK=ntp lines the streams up by the times in their RTCP reports.
Properties of the element may follow: device=cuda:0 wide::time-offset=-20000000 (gst-inspect-1.0 refvsr lists all).

Environment: LATENCY   milliseconds that packets may come late (200)
             CLOCK     set to ntp where the cameras' clocks are set by NTP
             ENCODER   what encodes the output (x264enc tune=zerolatency speed-preset=veryfast key-int-max=30)
END
    exit 2
}

[ $# -ge 3 ] || usage
output=$1
shift
need() {
    gst-inspect-1.0 --exists --atleast-version=0.0 "$1" || { echo "rtsp.sh: GStreamer lacks the element $1; on Debian: apt-get install $2" >&2; exit 1; }
}
need rtspsrc gstreamer1.0-plugins-good
case $output in
rtsp://*)
    need rtspclientsink gstreamer1.0-rtsp
    sink="rtspclientsink protocols=tcp location=$output"
    # Nothing has to be finished: an interrupt stops at once. (rtspclientsink may never say that its stream has ended.)
    finish=
    ;;
*.mkv)
    sink="h264parse ! matroskamux ! filesink location=$output"
    finish=-e
    ;;
*) echo "rtsp.sh: $output is neither an address rtsp://... nor a file .mkv" >&2; exit 1 ;;
esac

times=
if [ "${CLOCK:-}" = ntp ]; then
    times='ntp-sync=true buffer-mode=synced'
fi
# The element enlarges bicubically what the network would be late with, so that no frame is dropped; frames wait here meanwhile.
room='queue max-size-buffers=0 max-size-bytes=0 max-size-time=3000000000'
cameras=
lens=ultrawide
while [ $# -gt 0 ] && [ "$lens" != none ]; do
    case $1 in
    rtsp://*) ;;
    *=*) break ;;
    *) echo "rtsp.sh: $1 is no address rtsp://..." >&2; exit 1 ;;
    esac
    cameras="$cameras rtspsrc location=$1 latency=${LATENCY:-200} $times ! decodebin ! videoconvert ! $room ! sr.$lens"
    case $lens in ultrawide) lens=wide ;; wide) lens=tele ;; tele) lens=none ;; esac
    shift
done
case $lens in ultrawide | wide) usage ;; esac

# The unquoted variables are several words each, on purpose.
# shellcheck disable=SC2086
exec gst-launch-1.0 $finish $cameras \
    refvsr name=sr overload=bypass "$@" ! queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 ! videoconvert \
    ! video/x-raw,format=I420 ! ${ENCODER:-x264enc tune=zerolatency speed-preset=veryfast key-int-max=30} ! $sink
