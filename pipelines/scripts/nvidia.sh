#!/bin/sh
# Two video files in, one 4x video file out, decoded and encoded by an NVIDIA GPU (NVDEC and NVENC).
set -eu

usage() {
    cat >&2 <<'END'
usage: nvidia.sh ULTRAWIDE WIDE OUTPUT [PROPERTY=VALUE ...]

As files.sh, with the decoders and the encoder of GStreamer's nvcodec plugin. ULTRAWIDE and WIDE hold H.264 (CODEC=h265: H.265); the
output (.mp4, anything else becomes Matroska) is of the same kind. Properties of the element may follow; device=cuda is set.

Environment: CODEC     h264 or h265 (h264)
             DECODER   another decoder than nvh264dec or nvh265dec, avdec_h264 for instance where only encoding is to be done there
             ENCODER   another encoder than nvh264enc or nvh265enc
END
    exit 2
}

[ $# -ge 3 ] || usage
ultrawide=$1 wide=$2 output=$3
shift 3
for file in "$ultrawide" "$wide"; do
    [ -r "$file" ] || { echo "nvidia.sh: cannot read $file" >&2; exit 1; }
done
case $output in
*.mp4) mux=mp4mux ;;
*) mux=matroskamux ;;
esac
codec=${CODEC:-h264}
case $codec in
h264 | h265) ;;
*) echo "nvidia.sh: CODEC is $codec; h264 and h265 are known" >&2; exit 1 ;;
esac
decoder=${DECODER:-nv${codec}dec} encoder=${ENCODER:-nv${codec}enc rc-mode=constqp qp-const=18}

for element in "$decoder" "$encoder"; do
    name=${element%% *}
    gst-inspect-1.0 --exists --atleast-version=0.0 "$name" && continue
    if ! gst-inspect-1.0 --exists --atleast-version=0.0 nvcodec && ! gst-inspect-1.0 nvcodec >/dev/null 2>&1; then
        why='the plugin nvcodec is missing; on Debian: apt-get install gstreamer1.0-plugins-bad'
    elif [ ! -e /proc/driver/nvidia/version ]; then
        why='no NVIDIA driver runs; on Debian: apt-get install nvidia-driver'
    else
        why='the driver lacks libcuda.so.1, libnvcuvid.so.1 or libnvidia-encode.so.1 (Debian: libnvcuvid1, libnvidia-encode1), or the GPU has no such unit'
    fi
    echo "nvidia.sh: GStreamer lacks the element $name: $why" >&2
    exit 1
done
device=device=cuda
[ -e /proc/driver/nvidia/version ] || device=device=auto

# The queue behind the element lets the encoder work while the network is at the next frame.
behind='queue max-size-buffers=4 max-size-bytes=0 max-size-time=0'
# The unquoted variables are several words each, on purpose.
# shellcheck disable=SC2086
exec gst-launch-1.0 -e \
    filesrc location="$ultrawide" ! parsebin ! ${codec}parse ! $decoder ! videoconvert ! queue ! sr.ultrawide \
    filesrc location="$wide" ! parsebin ! ${codec}parse ! $decoder ! videoconvert ! queue ! sr.wide \
    refvsr name=sr $device "$@" ! $behind ! progressreport update-freq=2 \
    ! videoconvert ! video/x-raw,format=NV12 ! $encoder ! ${codec}parse ! queue ! $mux ! filesink location="$output"
