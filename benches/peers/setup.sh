#!/usr/bin/env bash
# Makes a Python environment with the peers (DIR, default .venv beside this file). PyTorch's standard wheel takes about 4 GB on disk
# with its CUDA libraries, which are not used: `setup.sh DIR mixtures` skips it.
set -euo pipefail
target=$(realpath -m "${1:-$(dirname "$0")/.venv}")
python3 -m venv "$target"
"$target/bin/pip" install --quiet numpy scikit-learn
[ "${2:-}" = mixtures ] || "$target/bin/pip" install --quiet torch
