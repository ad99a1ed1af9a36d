# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts in tools/: where things are, and how progress is shown. Source it.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${DKI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dki}
export DKI_MODELS=${DKI_MODELS:-$CACHE/models}
export DKI_DATA=${DKI_DATA:-$ROOT/../shared/data}
BUILD=$ROOT/build

# ccache finds the same file again from another checkout.
export CCACHE_BASEDIR=/ CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then BOLD=$'\e[1m'; RED=$'\e[31m'; OFF=$'\e[0m'; else BOLD=; RED=; OFF=; fi

STARTED=$SECONDS
step() { printf '%s[%3ds] %s%s\n' "$BOLD" $((SECONDS - STARTED)) "$*" "$OFF"; }
die() { printf '%serror:%s %s\n' "$RED" "$OFF" "$*" >&2; exit 1; }

# A Python with what tools and tests need, in a folder of its own; prints its path. $1: requirements file.
python_env() {
  local requirements=$1 hash dir
  hash=$(sha256sum "$requirements" | cut -c1-12)
  dir=$CACHE/python-$hash
  if [ ! -f "$dir/.complete" ]; then
    rm -rf "$dir"
    python3 -m venv "$dir" >&2
    "$dir/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
    touch "$dir/.complete"
  fi
  echo "$dir/bin/python"
}
