#!/bin/sh
# For the night, as root: 200 random programs of an application, the soak at full length, and the plugin's tests on the newest
# GStreamer that Debian has (sid's, in a bare root; the tests as they were built here).
#
#   plugin/tests/nightly.sh [programs] [soak] [newest]
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- programs soak newest
eval "$(cargo xtask env)"

# All of it runs in a mount namespace of its own: nothing is left mounted.
newest() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    echo "== the newest GStreamer"
    # Where Debian comes from a mirror of some weeks ago its lists say that they are outdated.
    mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt=force-unsafe-io --include=\
libgomp1,gstreamer1.0-tools,gstreamer1.0-plugins-base,gstreamer1.0-plugins-good,gstreamer1.0-plugins-bad,gstreamer1.0-plugins-ugly \
        sid "$work/root" </dev/null
    chroot "$work/root" gst-inspect-1.0 --version | head -1
    cargo build -p gst-plugin-refvsr
    cargo test -p gst-plugin-refvsr --no-run 2>&1 | sed -n 's/.*Executable .*(\(.*\))$/\1/p' >"$work/tests"
    torch=$(dirname "$(realpath "${LD_LIBRARY_PATH%%:*}")")
    failed=
    while read -r binary; do
        # These need what is built and installed here, or gst-validate.
        case $binary in *deps/installed-* | *deps/validate-*) continue ;; esac
        echo "== $binary"
        # The inner shell expands them.
        # shellcheck disable=SC2016
        unshare --mount sh -euc '
            for folder in "$2" "$3" /proc /dev; do
                mkdir -p "$1$folder"
                mount --rbind "$folder" "$1$folder"
            done
            exec chroot "$1" env HOME=/root OMP_NUM_THREADS=1 LD_LIBRARY_PATH="$LD_LIBRARY_PATH" GST_REGISTRY=/registry.bin \
                GST_PLUGIN_PATH="$2/target/debug" CARGO_MANIFEST_DIR="$2/plugin" sh -c "cd \"$2/plugin\" && exec \"$2/$4\""
        ' sh "$work/root" "$PWD" "$torch" "$binary" </dev/null || failed="$failed $binary"
    done <"$work/tests"
    [ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
}

for part in "$@"; do
    case $part in
    programs) REFVSR_PROGRAMS=200 cargo xtask test -- -p gst-plugin-refvsr --test programs ;;
    soak) REFVSR_SOAK_FRAMES=20000 cargo xtask test -- -p gst-plugin-refvsr --test soak -- --nocapture ;;
    newest) newest ;;
    *) echo "nightly.sh: $part is none of programs, soak, newest" >&2; exit 2 ;;
    esac
done
