#!/bin/bash
# A Slurm job array that enlarges a tree of clips, one share a task; tasks that are done help the others.
#
#   sbatch --array=1-8 slurm.sh RealMCVSR OUT [OPTION ...]     (options of refvsr transcode: --split test --model FILE ...)
#
# A task that was killed or has run out of time is submitted again as it is: finished clips are skipped.
# `refvsr transcode --tree RealMCVSR -o OUT --status` tells how far all tasks have come.
#SBATCH --job-name=refvsr
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@60
set -eu

[ $# -ge 2 ] || { echo "usage: sbatch --array=1-8 slurm.sh TREE OUTPUT [OPTION ...]" >&2; exit 2; }
tree=$1 output=$2
shift 2
# The share is taken from SLURM_ARRAY_TASK_ID and its companions. exec, so that Slurm's signal reaches the command.
exec "${REFVSR:-refvsr}" transcode --tree "$tree" --output "$output" --steal "$@"
