#!/bin/sh
# Makes the published records that stand beside this script, from an installed genbench:
#
#   reports/make.sh [WORK]     WORK keeps samples and weights (default: results); run it again to continue
#
# Install without -e first: an editable install puts the source's hash into every cell key. Then
# `genbench report reports -o site` builds the leaderboard.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-results}
cd "$(dirname "$work")"
work=$(basename "$work")  # records tell the command: no folder of this machine stands in them
suites="mnist digits 8gaussians checkerboard moons"
if genbench data verify fashion-mnist >/dev/null; then
  suites="$suites fashion-mnist"
fi
for suite in $suites; do
  genbench run --suite "$suite" -g all --results "$work"
done
# Ranks need the spread between seeds: three of them where people look first. What synthetic rows are
# worth is asked at the first alone, since a generator is fitted nine times for it.
genbench run --suite mnist -g all --seeds 1,2 --no-controls --skip downstream --results "$work"
genbench results merge "$work" --into "$here" --light
genbench results verify "$here"
