#!/bin/bash
# For the night: the plugin's test programs while GLib's locks and signals sleep at random (chaos.c), which shows races,
# hangs and crashes that a machine at rest shows once in some thousand runs. Stacks of what hangs or crashes are shown
# where there is gdb.
#
#   plugin/tests/chaos/chaos.sh [PROGRAM...]     test programs by name (stop), or built ones by path; all but those below
#   plugin/tests/chaos/chaos.sh --planted        a bug that was planted: passes alone, has to be caught here
#
# CHAOS_RUNS: of each program in each setting (3). CHAOS_LIMIT: seconds that one may take (600).
# CHAOS_FILTER: the tests of this name. CHAOS_OUT: where output and stacks of failures are kept.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
runs=${CHAOS_RUNS:-3}
limit=${CHAOS_LIMIT:-600}
out=${CHAOS_OUT:-$root/target/chaos}
mkdir -p "$out"
cc -O2 -Wall -Wextra -shared -fPIC -o "$out/chaos.so" "$root/plugin/tests/chaos/chaos.c" -ldl
# One in so many calls sleeps, for so many microseconds at the most: many short sleeps, some, and a few long ones.
settings=("100 3000" "300 3000" "2000 20000")

# once NAME PROGRAM PERIOD LONGEST: one run; what it says and where it hung is kept if it fails
once() {
    local name=$1 program=$2 log pid core failed=
    log=$(mktemp "$out/$name-$3-XXXXXX")
    (
        ulimit -c unlimited
        cd "$root/plugin"
        LD_PRELOAD="$out/chaos.so" CHAOS=$3 CHAOS_US=$4 exec "$program" ${CHAOS_FILTER:+"$CHAOS_FILTER"}
    ) >"$log" 2>&1 &
    pid=$!
    for _ in $(seq $((limit * 5))); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    if kill -0 "$pid" 2>/dev/null; then
        failed="hangs"
        gdb -p "$pid" -batch -ex 'thread apply all backtrace 40' >"$log.stacks" 2>&1 || true
        kill -KILL "$pid"
    fi
    wait "$pid" || failed=${failed:-"fails ($?)"}
    # Where the kernel leaves them beside the process.
    for core in "$root/plugin/core" "$root/plugin/core.$pid"; do
        [ -f "$core" ] || continue
        gdb "$program" "$core" -batch -ex 'thread apply all backtrace 40' >"$log.stacks" 2>&1 || true
        rm -f "$core"
    done
    if [ -z "$failed" ]; then
        rm -f "$log"
    else
        echo "$name $failed with one call in $3 asleep for up to $4 us: $log"
        grep -aE "panicked|^    [a-z_:]+$" -A1 "$log" | tail -n 12 || true
        return 1
    fi
}

if [ "${1:-}" = --planted ]; then
    # The flags are several words.
    # shellcheck disable=SC2046
    cc -O2 -Wall -Wextra -o "$out/planted" "$root/plugin/tests/chaos/planted.c" $(pkg-config --cflags --libs glib-2.0)
    timeout 60 "$out/planted" || { echo "the planted program fails alone" >&2; exit 1; }
    limit=60
    for setting in "${settings[@]}"; do
        # Two words.
        # shellcheck disable=SC2086
        once planted "$out/planted" $setting || { echo "caught"; exit 0; }
    done
    echo "the planted bug was not caught" >&2
    exit 1
fi

programs=()
if [[ "${1:-}" == */* ]]; then
    programs=("$@")
else
    eval "$(cd "$root" && cargo xtask env)"
    tests=("$@")
    # These have no pipeline, or need what is installed here.
    [ $# -gt 0 ] || mapfile -t tests < <(cd "$root/plugin/tests" && ls ./*.rs | sed 's|./\(.*\)[.]rs|\1|' |
        grep -vxE 'documentation|golden|installed|matching|parts|timing|validate')
    mapfile -t programs < <(cd "$root" && cargo test -p gst-plugin-refvsr --no-run "${tests[@]/#/--test=}" 2>&1 |
        sed -n "s|.*Executable .*(\(.*\))$|$root/\1|p")
fi
[ ${#programs[@]} -gt 0 ] || { echo "no test programs were built" >&2; exit 1; }
failures=0
for _ in $(seq "$runs"); do
    for setting in "${settings[@]}"; do
        for program in "${programs[@]}"; do
            name=$(basename "$program")
            # shellcheck disable=SC2086
            once "${name%-*}" "$program" $setting || failures=$((failures + 1))
        done
    done
done
echo "$((runs * ${#settings[@]} * ${#programs[@]})) runs, $failures failed"
[ "$failures" = 0 ]
