#!/usr/bin/env bash
# Makes a Python environment (DIR, default .venv beside this file) with what the mixtures are compared with.
set -euo pipefail
target=$(realpath -m "${1:-$(dirname "$0")/.venv}")
python3 -m venv "$target"
"$target/bin/pip" install --quiet numpy scikit-learn
