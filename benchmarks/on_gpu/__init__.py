"""What one run on a GPU brings back; `benchmarks/on_gpu.sh` runs the parts, most wanted first."""
