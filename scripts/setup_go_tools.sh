#!/usr/bin/env bash
# Builds the Go programs that the tests start (scripts/go-tools/go.mod names and pins them) into FOLDER, with the Go of VENV.
# usage: setup_go_tools.sh VENV FOLDER     Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath "$1") folder=$2

pins=$(cat scripts/go-tools/go.* | sha256sum | cut -d' ' -f1)
[[ $(cat "$folder/pins" 2>/dev/null) == "$pins" ]] && exit
echo "setup: building the Go programs of scripts/go-tools into $folder"
rm -rf "$folder"
mkdir -p "$folder"
folder=$(realpath "$folder")
# No downloads are left behind: the programs are all that is needed.
export GOBIN=$folder GOPATH=$folder/modules GOCACHE=$folder/cache GOTOOLCHAIN=local CGO_ENABLED=0
export GOFLAGS="-mod=readonly -modcacherw"
"$venv/bin/go" -C scripts/go-tools install tool
rm -rf "$folder/modules" "$folder/cache"
echo "$pins" >"$folder/pins"
