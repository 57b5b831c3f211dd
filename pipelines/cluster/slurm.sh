#!/bin/bash
# Enlarges a collection on a Slurm cluster, one clip a task of an array.
#
#   ./slurm.sh CLIPS --tree RealMCVSR --split test --output OUT [OPTION ...]
#
# lists the clips that are not done into the file CLIPS, which all nodes have to see, and submits the array. The options are those of
# `refvsr transcode`; what sbatch is to know besides the lines below stands in its own variables (SBATCH_PARTITION, SBATCH_GRES, ...).
# A task that is stopped by the time limit, killed or short of something is queued again, REFVSR_RETRIES times at most (3 by default);
# one whose clip cannot be used fails. The same command once more submits what is left.
#SBATCH --job-name=refvsr
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
refvsr=${REFVSR:-refvsr}

if [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then
    [ $# -ge 2 ] || { echo "usage: slurm.sh CLIPS --tree FOLDER --output FOLDER [OPTION ...]" >&2; exit 2; }
    clips=$(realpath "$1")
    shift
    "$refvsr" transcode "$@" --list=commands > "$clips" || exit
    count=$(wc -l < "$clips")
    # An array has MaxArraySize tasks at most.
    most=$(scontrol show config | sed -n 's/^MaxArraySize *= *//p')
    for ((first = 0; first < count; first += most - 1)); do
        rest=$((count - first))
        REFVSR_FIRST=$first sbatch --array=1-$((rest < most - 1 ? rest : most - 1)) "$0" "$clips" || exit
    done
    echo "$count clips are left"
    exit
fi

# The command gets the signal that comes a minute before the end of the time, and stops in an orderly way.
bash -c "$(sed -n "$((${REFVSR_FIRST:-0} + SLURM_ARRAY_TASK_ID))p" "$1")" &
command=$!
trap 'kill -TERM $command' TERM
wait $command
code=$?
while kill -0 $command 2>/dev/null; do
    wait $command
    code=$?
done
case $code in
# Try again, and whatever was stopped or killed by others: SIGHUP, SIGINT, SIGKILL (out of memory), SIGTERM.
75 | 129 | 130 | 137 | 143)
    if [ "${SLURM_RESTART_COUNT:-0}" -lt "${REFVSR_RETRIES:-3}" ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
    fi
    ;;
esac
exit $code
