#!/bin/sh
# Makes the published records that stand beside this script, from an installed genbench:
#
#   reports/make.sh [WORK [SUITE...]]     WORK keeps samples and weights (default: results); the suites
#                                         default to all whose data is there; run it again to continue
#
# Install without -e first: an editable install puts the source's hash into every cell key. Then
# `genbench report reports -o site` builds the leaderboard.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-results}
[ $# -eq 0 ] || shift
cd "$(dirname "$work")"
work=$(basename "$work")  # records tell the command: no folder of this machine stands in them
if [ $# -eq 0 ]; then
  set -- mnist digits 8gaussians checkerboard moons emoji names oracle-lm tones
  for suite in fashion-mnist cifar10 snips fsdd fsdd-speakers; do  # their data does not ship
    if genbench data verify "$suite" >/dev/null; then
      set -- "$@" "$suite"
    fi
  done
fi
for suite; do
  # What synthetic rows are worth is asked at the first seed, since a generator is fitted nine times
  # for it; in colour, where a fit takes up to twelve minutes of a core, it is left out, and so are
  # most of the shelf. Ranks need the spread between seeds: three of them where people look first.
  case $suite in
    cifar10)
      genbench run --suite cifar10 -g gan -g vae -g flow -g dna -g realnvp -g flow-matching \
        --skip downstream --results "$work" ;;
    emoji)
      genbench run --suite emoji --skip downstream --results "$work"
      genbench run --suite emoji --seeds 1,2 --no-controls --skip downstream --results "$work"
      genbench run --suite emoji --seeds 0,1,2 --no-controls --skip downstream -g flow-matching \
        --results "$work" ;;
    mnist)
      genbench run --suite mnist -g all --results "$work"
      genbench run --suite mnist -g all --seeds 1,2 --no-controls --skip downstream --results "$work" ;;
    *) genbench run --suite "$suite" -g all --results "$work" ;;
  esac
done
# CIFAR-10 states no licence, and of the others the files stay where they come from: numbers, and what
# the generators made alone.
bare=
for suite in cifar10 snips fsdd fsdd-speakers; do
  if ls -d "$work/$suite@"* >/dev/null 2>&1; then
    bare="$bare --without-data $suite"
  fi
done
# shellcheck disable=SC2086
genbench results merge "$work" --into "$here" --light $bare
genbench results verify "$here"
