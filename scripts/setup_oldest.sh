#!/usr/bin/env bash
# Makes a virtual environment with the oldest supported database drivers and Celery, which sees everything else that VENV has.
# usage: setup_oldest.sh VENV OLDEST     Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1 oldest=$2

pins=$(cat requirements-oldest.txt "$venv/pins" | sha256sum | cut -d' ' -f1)
[[ -x $oldest/bin/python && $(cat "$oldest/pins" 2>/dev/null) == "$pins" ]] && exit
echo "setup: installing the oldest supported database drivers and Celery into $oldest"
rm -rf "$oldest"
"$venv/bin/python" -m venv --without-pip "$oldest"
"$venv/bin/pip" --python "$oldest/bin/python" --quiet --disable-pip-version-check install -r requirements-oldest.txt
site_of() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# Behind its own packages, which therefore come first.
site_of "$venv" >"$(site_of "$oldest")/rest.pth"
echo "$pins" >"$oldest/pins"
