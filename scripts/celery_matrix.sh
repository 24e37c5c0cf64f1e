#!/usr/bin/env bash
# Runs the tests of the task hooks on the releases of Celery between the oldest supported one and the newest.
# usage: celery_matrix.sh VENV BUILD
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 build=$2
# Each with the kombu and the redis client of its time: a Celery knows no later ones. Then what these alone need.
releases=(
  "celery==5.4.0 kombu==5.4.2 redis==5.3.1 tzdata==2026.6 pyjwt==2.15.1"
  "celery==5.5.3 kombu==5.5.4 redis==5.2.1 tzdata==2026.6"
  "celery==5.6.3 kombu==5.6.2 redis==6.4.0 tzdata==2026.6"
)

status=0
for release in "${releases[@]}"; do
  name=${release%% *}
  target=$build/beside/${name/==/-}
  mkdir -p "$build/beside"
  tr ' ' '\n' <<<"$release" >"$target.txt"
  scripts/setup_beside.sh "$venv" "$target" "$target.txt"
  echo "test: ${release// /, }"
  "$target/bin/python" -m pytest tests/worker_hooks || status=1
done
exit $status
