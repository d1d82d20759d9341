#!/usr/bin/env bash
# What llem says of a real NVIDIA GPU: the doctor with its sensor check, a small study on a random-weight model of about
# 1.1 billion parameters, and the audit that recomputes every figure. No download, no network. About ten minutes.
#
#   benchmarks/gpu_check.sh [FOLDER [STUDY]]   # what it shows is kept in FOLDER, ./gpu-check where left out;
#                                              # STUDY is examples/gpu_check.yaml where left out
#
# `llem` must be on the PATH: activate its environment first. Exit codes are llem's own: 3 where no GPU can be measured.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-gpu-check}
study_file=${2:-$here/examples/gpu_check.yaml}
mkdir -p "$folder"

if ! llem doctor --json >"$folder/doctor.json" 2>"$folder/doctor.err"; then
    cat "$folder/doctor.err" >&2
    exit 3
fi
if ! grep -q '"sensor": *"nvml"' "$folder/doctor.json"; then
    echo "No NVIDIA GPU can be measured here: see $folder/doctor.json" >&2
    exit 3
fi
llem doctor --quick | tee "$folder/doctor.txt"

llem study run "$study_file" --output "$folder" --yes 2>&1 | tee "$folder/run.txt"
study=$(sed -n 's/^study folder: //p' "$folder/run.txt" | tail -n 1)

llem study log "$study" --kind sensors_checked --json | python3 -m json.tool --json-lines | tee "$folder/check.json"
llem study log "$study" --verify
llem study verify "$study"
