#!/usr/bin/env bash
# Makes the release archive of the extension alone: what PGXN takes, and what the Debian packages are built from.
# usage: archive.sh OUTPUT_DIR     writes OUTPUT_DIR/pg_stat_requests-<version>.zip and prints its name
set -euo pipefail
mkdir -p "$1"
output=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
version=$(cat VERSION)
extension_version=$(sed -nE "s/^default_version = '(.*)'$/\1/p" sql/pg_stat_requests.control)
name=pg_stat_requests-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/$name"

cp -r --parents -t "$work/$name" \
  VERSION LICENSE README.md CHANGELOG.md Makefile.pgxs core pg_extension sql docs/pg_stat_requests.md
cp packaging/pgxn/Makefile "$work/$name/"
# Semantic versions before 1.0 promise nothing yet.
status=stable
[[ $version != 0.* ]] || status=testing
sed -e "s/@VERSION@/$version/" -e "s/@EXTENSION_VERSION@/$extension_version/" -e "s/@RELEASE_STATUS@/$status/" \
  packaging/pgxn/META.json.in >"$work/$name/META.json"

rm -f "$output/$name.zip"
(cd "$work" && python3 -m zipfile -c "$output/$name.zip" "$name")
echo "$output/$name.zip"
