#!/usr/bin/env bash
# Brings a fresh Debian 12 to where the project builds and tests: Debian packages, then a private virtual environment.
# usage: setup.sh VENV     Quick when there is nothing to do. PYTHON chooses the interpreter (default: python3).
# On another release of Debian, PG_MAJOR names its PostgreSQL and SETUP_SKIP (a regular expression) packages to do without.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
python=${PYTHON:-python3}

mapfile -t wanted < <(grep -v '^#' scripts/apt-packages.txt | sed -E "s/^(postgresql.*-)15\b/\1${PG_MAJOR:-15}/" |
  grep -vE "${SETUP_SKIP:-^$}")
missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if ((${#missing[@]})); then
  if [[ $(id -u) != 0 ]]; then
    echo "setup: these Debian packages are missing, and only root can install them. Run:" >&2
    echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # RUNLEVEL=1 keeps the packages' own servers from being started; the project starts private ones.
  RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

pins=$(sha256sum requirements-dev.txt | cut -d' ' -f1)
if [[ ! -x $venv/bin/python || $(cat "$venv/pins" 2>/dev/null) != "$pins" ]]; then
  echo "setup: installing the pinned Python packages into $venv"
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements-dev.txt
  echo "$pins" >"$venv/pins"
fi
