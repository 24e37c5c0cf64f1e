#!/usr/bin/env bash
# Runs clang-tidy over every translation unit of the dev build and of the Python module.
# usage: tidy.sh BUILD_DIR JOBS     A unit whose inputs have not changed since it last passed is not checked again.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 jobs=$2
mkdir -p "$build/tidy"

# check DATABASE_DIR FILE: the stamp's name is a digest of all that the verdict depends on.
check() {
  local stamp
  stamp=$build/tidy/$(cat .clang-tidy "$1/compile_commands.json" "$2" $(git ls-files '*.h') | sha256sum | cut -c1-24)
  [[ -f $stamp ]] && return
  clang-tidy-19 --quiet -p "$1" "$2" 2> >(grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter' >&2 || true)
  touch "$stamp"
}
export -f check
export build

for database in "$build/dev" "$build/module"; do
  grep -oP '"file": "\K[^"]+' "$database/compile_commands.json" | sort -u | grep -vE "/build/" |
    if [[ $database == */module ]]; then grep -E '/(pyext|worker_hooks)/'; else cat; fi |
    xargs -P "$jobs" -I{} bash -euo pipefail -c 'check "$1" "$2"' _ "$database" {}
done
echo "clang-tidy: clean"
