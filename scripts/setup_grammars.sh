#!/usr/bin/env bash
# Installs Grafana's grammars and types (tests/monitoring/grammars names and pins them) into FOLDER, with the npm of VENV.
# usage: setup_grammars.sh VENV FOLDER     Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath "$1") folder=$2 source=tests/monitoring/grammars

pins=$(sha256sum $source/package-lock.json | cut -d' ' -f1)
if [[ $(cat "$folder/pins" 2>/dev/null) != "$pins" ]]; then
  echo "setup: installing Grafana's grammars into $folder"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp $source/package.json $source/package-lock.json $source/.npmrc "$folder"
  (cd "$folder" && PATH="$venv/bin:$PATH" npm ci --silent --ignore-scripts)
  echo "$pins" >"$folder/pins"
fi
cp $source/*.mjs $source/*.ts "$folder"
