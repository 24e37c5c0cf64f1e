#!/usr/bin/env bash
# Holds the borders between the parts: who may include whom, and what the extension may need at run time.
# usage: check_borders.sh EXTENSION_SO
set -euo pipefail
cd "$(dirname "$0")/.."
extension=$1
failed=0

fail() {
  echo "border: $1" >&2
  failed=1
}

# allow DIR FORBIDDEN: no file below DIR includes anything that FORBIDDEN (an extended regular expression) matches.
forbid_includes() {
  local found
  if found=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($2)" "$1"); then
    fail "$1/ must not include this:"$'\n'"$found"
  fi
}

python='Python\.h|pybind11|structmember\.h'
postgres='postgres\.h|pg_extension/|access/|executor/|storage/|utils/|fmgr\.h|miscadmin\.h|libpq'
forbid_includes core "$python|$postgres|metrics/|log_sinks/|worker_hooks/|pyext/"
forbid_includes metrics "$python|$postgres|worker_hooks/|pyext/"
forbid_includes log_sinks "$python|$postgres|metrics/|worker_hooks/|pyext/"
forbid_includes pg_extension "$python|metrics/|log_sinks/|worker_hooks/|pyext/"
forbid_includes worker_hooks "$postgres|pyext/"
forbid_includes pyext "$postgres"

if found=$(grep -rln '#include "postgres\.h"' pg_extension | grep -vx 'pg_extension/pg\.h'); then
  fail "postgres.h is included through pg_extension/pg.h only, but also in: $found"
fi

# No libstdc++ or C++ runtime inside a backend: an exception must have nowhere to come from.
undefined=$(nm -u "$extension")
if found=$(grep -E ' (_Zn|_Zd|_ZSt|_ZNSt|_ZNKSt|_ZTI|_ZTV|__cxa_|__gxx_)' <<<"$undefined" | grep -v __cxa_finalize); then
  fail "$extension needs the C++ runtime:"$'\n'"$found"
fi
if found=$(ldd "$extension" | grep -E 'libstdc\+\+|libgcc_s'); then
  fail "$extension links the C++ runtime:"$'\n'"$found"
fi

[[ $failed == 0 ]] && echo "borders: held"
exit "$failed"
