#!/usr/bin/env bash
# Runs every fuzz target in turn, each for its share of the time, from the corpus in the repository and from what earlier
# runs added to BUILD_DIR/corpus. Fails on the first finding, and says how to reproduce it.
# usage: fuzz.sh BUILD_DIR MINUTES
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 minutes=$2
targets=("$build"/*_fuzz)
seconds=$((minutes * 60 / ${#targets[@]}))

for program in "${targets[@]}"; do
  target=$(basename "$program" _fuzz)
  grown=$build/corpus/$target findings=$build/findings/$target log=$build/$target.log
  mkdir -p "$grown" "$findings"
  dictionary=tests/fuzz/$target.dict
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -artifact_prefix="$findings/")
  [[ ! -f $dictionary ]] || options+=(-dict="$dictionary")
  if ! UBSAN_OPTIONS=print_stacktrace=1 "$program" "${options[@]}" "$grown" "tests/fuzz/corpus/$target" 2>"$log"; then
    tail -n 60 "$log" >&2
    echo "fuzz: a finding in $target. To see it again: $program $findings/<the file named above>" >&2
    exit 1
  fi
  echo "fuzz: $target: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$log")s, no finding"
done
