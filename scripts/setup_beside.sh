#!/usr/bin/env bash
# Makes a virtual environment with other releases of some packages, which sees everything else that VENV has.
# REQUIREMENTS also names what these need and VENV does not have: nothing is installed that is not named.
# usage: setup_beside.sh VENV TARGET REQUIREMENTS     Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 target=$2 requirements=$3

pins=$(cat "$requirements" "$venv/pins" | sha256sum | cut -d' ' -f1)
[[ -x $target/bin/python && $(cat "$target/pins" 2>/dev/null) == "$pins" ]] && exit
echo "setup: installing $requirements into $target"
rm -rf "$target"
"$venv/bin/python" -m venv --without-pip "$target"
"$venv/bin/pip" --python "$target/bin/python" --quiet --disable-pip-version-check install \
  --no-deps -r "$requirements"
site_of() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# Behind its own packages, which therefore come first.
site_of "$venv" >"$(site_of "$target")/rest.pth"
"$venv/bin/pip" --python "$target/bin/python" --disable-pip-version-check check >&2
echo "$pins" >"$target/pins"
