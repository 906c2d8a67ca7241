#!/usr/bin/env bash
# Makes a Python environment (DIR, default .venv beside this file) with what is compared with. PyTorch's ordinary wheel is large
# (about 4 GB on disk with its CUDA libraries, which are not used): `setup.sh DIR mixtures` leaves it out.
set -euo pipefail
target=$(realpath -m "${1:-$(dirname "$0")/.venv}")
python3 -m venv "$target"
"$target/bin/pip" install --quiet numpy scikit-learn
[ "${2:-}" = mixtures ] || "$target/bin/pip" install --quiet torch
