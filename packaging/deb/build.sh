#!/usr/bin/env bash
# Builds the Debian packages of the extension, one for each supported PostgreSQL that this Debian has, and checks them.
# usage: build.sh OUTPUT_DIR [VERSION]     VERSION: default, that of the project. Prints the packages' names.
# DEBFULLNAME and DEBEMAIL say who is named as the maintainer.
set -euo pipefail
mkdir -p "$1"
output=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
version=${2:-$(cat VERSION)}
date=$(date --rfc-email --date="@${SOURCE_DATE_EPOCH:-$(stat --format=%Y CHANGELOG.md)}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m zipfile -e "$(packaging/pgxn/archive.sh "$output")" "$work"
cd "$work"/pg_stat_requests-*
cp -r "$OLDPWD/packaging/deb/debian" debian
# zipfile forgets who may execute what.
chmod +x debian/rules
maintainer="${DEBFULLNAME:-The reqtrail contributors} <${DEBEMAIL:-reqtrail@example.org}>"
sed -i "s/@MAINTAINER@/$maintainer/" debian/control.in
printf 'pg-stat-requests (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$date" >debian/changelog
pg_buildext updatecontrol
dpkg-buildpackage --build=binary --no-sign >"$output/deb.log" 2>&1 || {
  tail -n 40 "$output/deb.log" >&2
  exit 1
}
lintian --fail-on error,warning --allow-root "$work"/*.changes >&2
mv "$work"/*.deb "$output/"
ls "$output"/postgresql-*-pg-stat-requests_"$version"_*.deb
