#!/bin/sh
# The C++ kernels under AddressSanitizer and UndefinedBehaviorSanitizer, every set of instructions that this processor has. Needs g++ (or CXX=clang++) alone.
#
#   tests/native/sanitize.sh [--seed N] [--count N]     some minutes
#   tests/native/sanitize.sh --planted                  three planted bugs, each of which has to be caught
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seed=1 count=200 planted=
while [ $# -gt 0 ]; do
    case $1 in
        --seed) seed=$2 && shift 2 ;;
        --count) count=$2 && shift 2 ;;
        --planted) planted=1 && shift ;;
        *) echo "unknown option $1; --seed N, --count N and --planted are" >&2 && exit 2 ;;
    esac
done
folder=$root/target/sanitize
mkdir -p "$folder"
cxx=${CXX:-c++}
checks="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
# One file, `name` with more flags, where it is not built already.
built() {
    object=$folder/$1.o
    source=$2
    shift 2
    for newer in "$root"/src/native/* "$root"/tests/native/*.* "$root"/tests/native/c10/core/*.h; do
        if [ ! -e "$object" ] || [ "$newer" -nt "$object" ]; then
            # shellcheck disable=SC2086 # these are several
            "$cxx" -std=gnu++17 -O1 -w -Wno-psabi $checks -I "$root/src/native" -I "$root/tests/native" "$@" -c "$source" -o "$object"
            return
        fi
    done
}
native=$root/src/native
flags=
if [ "$(uname -m)" = x86_64 ]; then flags=1; fi
wide="-mavx512f -mavx512vl -mavx512dq -mfma -DWIDE"
built baseline "$native/kernels.cpp" -DSET=kernels_baseline
# shellcheck disable=SC2086
built avx2 "$native/kernels.cpp" -DSET=kernels_avx2 ${flags:+-mavx2 -mfma}
# shellcheck disable=SC2086
built avx512 "$native/kernels.cpp" -DSET=kernels_avx512 ${flags:+$wide}
# shellcheck disable=SC2086
built avx512_bf16 "$native/kernels.cpp" -DSET=kernels_avx512_bf16 ${flags:+$wide -mavx512bf16}
# shellcheck disable=SC2086
built wide "$native/kernels.cpp" -DSET=kernels_wide -DWIDE ${flags:+-mavx2 -mfma}
built parallel "$native/parallel.cpp" -fopenmp -DHAS_WIDE
built allocator "$native/allocator.cpp"
sets="$folder/baseline.o $folder/avx2.o $folder/avx512.o $folder/avx512_bf16.o $folder/wide.o $folder/parallel.o $folder/allocator.o"
# The program, with a planted bug or without.
linked() {
    built "kernels-$1" "$root/tests/native/kernels.cpp" -DPLANT="$1"
    # shellcheck disable=SC2086
    "$cxx" $checks -fopenmp "$folder/kernels-$1.o" $sets -o "$folder/test-$1"
}
export ASAN_OPTIONS=detect_leaks=1:strict_init_order=1 UBSAN_OPTIONS=print_stacktrace=1
if [ -n "$planted" ]; then
    for bug in 1 2 3; do
        linked $bug
        if REFVSR_CPU=baseline "$folder/test-$bug" "$seed" "$count" > "$folder/planted-$bug.log" 2>&1; then
            echo "planted bug $bug was not caught" >&2
            exit 1
        fi
        grep -q AddressSanitizer "$folder/planted-$bug.log"
        echo "planted bug $bug is caught: $(grep -m 1 -o 'AddressSanitizer: [a-z-]*' "$folder/planted-$bug.log")"
    done
    exit
fi
linked 0
# A set that the processor lacks is replaced by the best that it has; nothing named is the best, with bf16 where there is that.
for set in baseline avx2 wide avx512 ""; do
    REFVSR_CPU=$set "$folder/test-0" "$seed" "$count"
done
