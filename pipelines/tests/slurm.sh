#!/bin/bash
# The array of pipelines/cluster/slurm.sh on a real Slurm: two nodes on this machine, six clips, one of them broken, one task killed and
# one stopped as at the end of its time. From the project's root, as root, on Debian: pipelines/tests/slurm.sh
# Packages that are missing are installed. Nothing of the machine's own Slurm or munge is used or changed.
set -eu
project=$(cd "$(dirname "$0")/../.." && pwd)
cd "$project"
missing=()
for package in slurmctld slurmd slurm-client munge; do
    dpkg -s $package > /dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -q
    # Their own services would only be in the way.
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; made=yes; }
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    [ -z "${made:-}" ] || rm $policy
fi

if [ -z "${REFVSR:-}" ]; then
    cargo build -p gst-plugin-refvsr -p refvsr-pipelines
    REFVSR=$project/target/debug/refvsr
    export GST_PLUGIN_PATH=$project/target/debug GST_REGISTRY=$project/target/gstreamer-registry-debug.bin
    eval "$(cargo xtask env | grep LD_LIBRARY_PATH)"
fi
export REFVSR OMP_NUM_THREADS=1
model=$project/plugin/tests/golden/official_format.pytorch

place=$(mktemp -d)
processes=()
finish() {
    code=$?
    kill "${processes[@]}" 2> /dev/null
    wait
    [ $code = 0 ] && rm -r "$place" || echo "FAILED; see $place" >&2
    exit $code
}
trap finish EXIT
cd "$place"
chmod 755 .

# munge and Slurm of our own: one controller, two nodes.
mkdir munge state
chmod 755 munge
dd if=/dev/urandom of=key bs=128 count=1 status=none
chmod 400 key
munged --foreground --force --key-file="$place/key" --socket="$place/munge/socket" --pid-file="$place/munge/pid" \
    --log-file="$place/munge/log" --seed-file="$place/munge/seed" --num-threads=2 > munged.out 2>&1 &
processes+=($!)
host=$(hostname -s)
cat > slurm.conf <<CONF
ClusterName=refvsr
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$place/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
JobRequeue=1
KillWait=30
SlurmctldPort=26817
SlurmctldPidFile=$place/slurmctld.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdPidFile=$place/slurmd.%n.pid
SlurmdLogFile=$place/slurmd.%n.log
SlurmdSpoolDir=$place/spool.%n
StateSaveLocation=$place/state
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=27001 CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=27002 CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=one,two Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$place/slurm.conf
slurmctld -D > slurmctld.out 2>&1 &
processes+=($!)
for node in one two; do
    slurmd -D -N $node > slurmd.$node.out 2>&1 &
    processes+=($!)
done
within() { # SECONDS WHAT COMMAND ...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || { echo "$what did not happen" >&2; squeue >&2 || true; exit 1; }
        sleep 0.5
    done
}
nodes() { [ "$(sinfo -h -N -o %T 2> /dev/null | grep -c '^idle$')" = 2 ]; }
within 60 "two idle nodes" nodes
sinfo

# Six clips; the third is broken.
mkdir -p tree/test/LRx4/UW/0001
gst-launch-1.0 -q videotestsrc pattern=ball num-buffers=24 ! video/x-raw,format=RGB,width=64,height=48,framerate=30/1 ! pngenc \
    ! multifilesink location=tree/test/LRx4/UW/0001/%04d.png
for clip in 0002 0003 0004 0005 0006; do
    cp -r tree/test/LRx4/UW/0001 tree/test/LRx4/UW/$clip
done
cp -r tree/test/LRx4/UW tree/test/LRx4/W
echo rubbish > tree/test/LRx4/W/0003/0012.png
cluster=$project/pipelines/cluster
export SBATCH_TIMELIMIT=30 SBATCH_OUTPUT="$place/task-%a.log"
sed -e 's/--cpus-per-task=8/--cpus-per-task=1/' -e 's/--mem=32G/--mem=500M/' "$cluster/slurm.sh" > slurm.sh
chmod +x slurm.sh
options=(--tree "$place/tree" --split test --output "$place/out" --model "$model" --device cpu)
./slurm.sh clips "${options[@]}"
job=$(squeue -h -o %F | sort -u)

show() { scontrol -o show job "${job}_$1" 2> /dev/null; }
at_work() { find out -path "*part/00*.png" 2> /dev/null | grep -q . && show "$1" | grep -q 'JobState=RUNNING' && pgrep -f -- "$place/out .*--only=000$1" > /dev/null; }
# The first task is killed as for want of memory, the second one stopped as a minute before the end of its time.
within 120 "the first task's work" at_work 1
kill -KILL $(pgrep -f -- "$place/out .*--only=0001")
within 300 "the second task's work" at_work 2
# It asks again until its answer is good, which it no longer is for a task that is queued again.
timeout 5 scancel --batch --signal=TERM "${job}_2" || true
over() { ! squeue -h -t pending,running,completing | grep -q .; }
within 900 "the end of the array" over

wrong=0
expect() { # WHAT FOUND EXPECTED
    if [ "$2" = "$3" ]; then echo "$1: $2"; else echo "$1: $2, expected is $3" >&2; wrong=1; fi
}
for task in 1 2 3 4 5 6; do
    read -r state restarts code < <(show $task | sed -E 's/.*JobState=(\S+).*Restarts=(\S+).* ExitCode=(\S+).*/\1 \2 \3/')
    case $task in
    1 | 2) expect "clip $task" "$state, started again $restarts times, exit code $code" "COMPLETED, started again 1 times, exit code 0:0" ;;
    3) expect "clip $task" "$state, started again $restarts times, exit code $code" "FAILED, started again 0 times, exit code 1:0" ;;
    *) expect "clip $task" "$state, started again $restarts times, exit code $code" "COMPLETED, started again 0 times, exit code 0:0" ;;
    esac
done
cat task-3.log
expect "finished folders" "$(ls out/test/HR/UW | xargs)" "0001 0002 0004 0005 0006"
for clip in 0001 0002 0004 0005 0006; do
    expect "frames of $clip" "$(ls out/test/HR/UW/$clip | wc -l)" 24
done
"$REFVSR" transcode "${options[@]}" --status || true
rm -f task-*
./slurm.sh clips "${options[@]}" | tail -n 1
within 120 "the end of the second array" over
exit $wrong
