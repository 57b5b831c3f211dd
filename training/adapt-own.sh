#!/bin/sh
# Adapts a bundled model to your own cameras, from recordings that show one scene at one time: a minute of hand-held everyday footage does.
#
#   training/adapt-own.sh ULTRAWIDE WIDE [TELE]     videos of one size and frame rate, started together
#
# Their first 60 frames and the run go to FOLDER (default: target/own), the model is FOLDER/own.safetensors:
#   gst-launch-1.0 ... refvsr model-file=target/own/own.safetensors ...
# It is quality that is adapted; MODEL=models/light.safetensors takes the faster one, which is the default on CPUs.
set -eu
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
for video in "$@"; do
    [ -f "$video" ] || { echo "adapt-own: $video is not there" >&2; exit 1; }
done
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${FOLDER:-$root/target/own}
mkdir -p "$folder"
n=0
for video in "$@"; do
    n=$((n + 1))
    lens=$(echo "UW W T" | cut -d' ' -f$n)
    frames=$folder/frames/$lens/recording
    rm -rf "$frames" && mkdir -p "$frames"
    gst-launch-1.0 -q filesrc location="$video" ! decodebin ! identity eos-after=61 ! videoconvert ! video/x-raw,format=RGB ! \
        pngenc ! multifilesink location="$frames/%04d.png"
done
# Clips have equally many frames of each camera.
least=$(for lens in "$folder"/frames/*; do ls "$lens/recording" | wc -l; done | sort -n | head -n 1)
[ "$least" -ge 5 ] || { echo "adapt-own: a recording has $least frames; at least 5 needed" >&2; exit 1; }
for lens in "$folder"/frames/*; do
    ls "$lens/recording" | sed "1,${least}d" | while read -r frame; do rm "$lens/recording/$frame"; done
done

cd "$root"
eval "$(cargo xtask env)"
cargo build --release -p refvsr-train
train=$root/target/release/refvsr-train
model=${MODEL:-models/quality.safetensors}
case $model in
*light*) set -- --set model.num_blocks=10 --set model.flow_levels=5 ;;
*) set -- ;;
esac
"$train" adapt own --from "$model" "$@" --run "$folder/run" --set data.root="$folder/frames" --set optimiser.steps="${STEPS:-300}"
"$train" export "$folder/run" --output "$folder/own.safetensors"
