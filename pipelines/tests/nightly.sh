#!/bin/sh
# The command's long tests, from the project's root: 500 kills and 100 full disks at random moments, 2,000 damaged and hostile recordings, and the suite under strace.
set -e
REFVSR_TEST_KILLS=500 REFVSR_TEST_FULL_DISKS=100 cargo xtask test -- -p refvsr-pipelines --test interruptions -- --nocapture
REFVSR_TEST_MUTATIONS=2000 REFVSR_TEST_SEED=${SEED:-$(date +%Y%m%d)} cargo xtask test -- -p refvsr-pipelines --test hostile -- --nocapture
python3 pipelines/tests/traced.py
