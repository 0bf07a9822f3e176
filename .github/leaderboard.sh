#!/bin/sh
# What CI does for a leaderboard, and what anyone can do by hand:
#
#   .github/leaderboard.sh BASELINE SITE
#
# Runs a small suite with three seeds, judges it against the accepted records in BASELINE and writes
# the report with its badge into SITE. SUITE and PROFILE choose another suite. Fails on a failed cell
# or a regression, after both were written down; an inconclusive gate is told in SITE/gate.md and
# passes.
set -eu
baseline=$1
site=$2
suite=${SUITE:-digits}
profile=${PROFILE:-smoke}
results=${RESULTS:-results}

genbench selftest
failed=0
genbench run --suite "$suite" --profile "$profile" --seeds 0,1,2 --results "$results" --no-report \
  || failed=$?
if [ "$failed" -ne 0 ] && [ "$failed" -ne 3 ]; then # 3: some cells failed, the others are there
  exit "$failed"
fi
genbench report "$results" -o "$site" --badge

verdict=0
genbench gate --baseline "$baseline" --candidate "$results" --markdown "$site/gate.md" || verdict=$?
if [ "$verdict" -eq 5 ]; then
  echo "the seeds cannot tell: not a failure"
elif [ "$verdict" -ne 0 ]; then
  exit "$verdict"
fi
exit "$failed"
