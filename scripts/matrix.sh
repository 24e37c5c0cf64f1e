#!/usr/bin/env bash
# Builds and tests the project on later Debian releases: each brings its own PostgreSQL and CPython, in a chroot of its own.
# usage: matrix.sh [SUITE ...]      default: trixie (PostgreSQL 17) and forky (18; compiles on experimental's 19 too)
# REQTRAIL_SUITES is where the suites are kept between runs (default: ~/.cache/reqtrail/suites). Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
keep=${REQTRAIL_SUITES:-${XDG_CACHE_HOME:-$HOME/.cache}/reqtrail/suites}
suites=("${@:-}")
[[ -n ${suites[0]} ]] || suites=(trixie forky)
declare -A major=([trixie]=17 [forky]=18)
# What only `make lint`, `make fuzz` and `make bench` use: its versions are those of Debian 12.
SETUP_SKIP='^(clang|llvm|libclang|valgrind|debootstrap)'
# auditwheel has no policy for a C library as new as forky's. A wheel is built on the oldest system anyway.
declare -A pytest_options=([forky]='--ignore=tests/packaging/test_wheel.py')

fail() {
  echo "matrix: $*" >&2
  exit 1
}
[[ $(id -u) == 0 ]] || fail "only root can enter a chroot"
for suite in "${suites[@]}"; do
  [[ -n ${major[$suite]:-} ]] || fail "unknown suite '$suite': known are ${!major[*]}"
done

# install SUITE: a minimal system; one that was not finished is begun anew.
install() {
  local suite=$1 root=$keep/$1
  if [[ ! -f $root/etc/matrix-complete ]]; then
    echo "matrix: installing $suite into $root"
    rm -rf "$root"
    mkdir -p "$root"
    # Every suite has the same steps; debootstrap of Debian 12 knows them by the name of sid only.
    debootstrap --variant=minbase --include=ca-certificates,make "$suite" "$root" "" /usr/share/debootstrap/scripts/sid \
      >"$root.log" 2>&1 || fail "debootstrap failed, see $root.log"
    # A mirror may lag behind the date on a testing suite's index.
    echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/90matrix"
    touch "$root/etc/matrix-complete"
  fi
  # The host's name servers and certificates, for the case that it reaches the registries by a mirror of its own.
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  mkdir -p "$root/reqtrail"
  # What is tracked, over what an earlier run built: sources that are gone must go.
  find "$root/reqtrail" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  git ls-files -z | tar --null --files-from=- -c | tar -x -C "$root/reqtrail"
}

# inside SUITE COMMAND: runs it as root in the suite. Mounts and processes end with it.
inside() {
  local root=$keep/$1
  unshare --mount --pid --fork --kill-child bash -euo pipefail -c '
    mount --bind "$0" "$0" # a root that is a mount, which tools that look for file systems find
    mount -t proc proc "$0/proc"
    mount --bind -o ro /sys "$0/sys" # node_exporter does not live without
    mount --rbind /dev "$0/dev"
    mount -t tmpfs tmpfs "$0/dev/shm"
    exec chroot "$0" env HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash -euo pipefail -c "$1"
  ' "$root" "cd /reqtrail; export CI=${CI:-} SETUP_SKIP='$SETUP_SKIP' PG_MAJOR=${major[$1]}
    export PYTEST_ADDOPTS='${pytest_options[$1]:-}' PATH=/usr/lib/postgresql/${major[$1]}/bin:\$PATH; $2"
}

# compile_19: the extension against the server that is in experimental, without running it.
compile_19() {
  inside forky '
    list=/etc/apt/sources.list.d/experimental.list
    [[ -f $list ]] || sed "s/ forky / experimental /" /etc/apt/sources.list >$list
    export DEBIAN_FRONTEND=noninteractive
    if ! [[ -x /usr/lib/postgresql/19/bin/pg_config ]]; then
      apt-get update -qq
      RUNLEVEL=1 apt-get install -y -qq --no-install-recommends -t experimental postgresql-server-dev-19 >/dev/null
    fi
    rm -rf /tmp/pg19 && mkdir /tmp/pg19 && cd /tmp/pg19
    make -s -f /reqtrail/Makefile.pgxs PG_CONFIG=/usr/lib/postgresql/19/bin/pg_config COPT=-Werror'
}

results=()
status=0
# run NAME COMMAND...: notes the verdict and goes on.
run() {
  local name=$1 verdict=passed
  shift
  echo "matrix: $name"
  "$@" || { verdict=FAILED status=1; }
  results+=("$verdict  $name")
}

for suite in "${suites[@]}"; do
  install "$suite"
  run "$suite: tests on PostgreSQL ${major[$suite]}" inside "$suite" 'make build test-python'
  [[ $suite != forky ]] || run "forky: compiles on PostgreSQL 19" compile_19
done
printf '%s\n' "${results[@]}"
exit $status
