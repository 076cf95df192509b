#!/usr/bin/env bash
# What one run on a GPU should bring back in 8 minutes, most wanted first. From the root of the repository:
#   OUT=/tmp/out bash benchmarks/on_gpu.sh              on the GPU, with torch, Triton and transformers installed
#   TINY=1 OUT=/tmp/out bash benchmarks/on_gpu.sh       the same in small shapes on a CPU
#   cp /tmp/out/gpu.json benchmarks/results/ && make performance
# PARTS names some of the parts, TOTAL the seconds. Every result is written as it comes: a part that runs out of its
# time, or dies, leaves what it has written, and the others run all the same.
set -u -o pipefail
OUT=${OUT:-/tmp/out}; TOTAL=${TOTAL:-480}; PY=${PY:-python3}; tiny=${TINY:+--tiny}
PARTS=${PARTS:-machine warm operation llava-1.5-7b qwen2.5-vl-7b agreement gpu-tests waits kernel-tests memcheck racecheck initcheck}
mkdir -p "$OUT"; exec > >(tee -a "$OUT/log.txt") 2>&1
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1
export TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-/tmp/triton-cache} CUBLAS_WORKSPACE_CONFIG=:4096:8
part() { # limit in seconds, name, command...
  local limit=$1 name=$2 left=$((TOTAL - SECONDS)); shift 2
  [[ " $PARTS " == *" $name "* ]] || return 0
  [ "$left" -lt 12 ] && { echo "== $name: left out, $left s left"; return 0; }
  [ "$limit" -gt "$left" ] && limit=$left
  echo "== $name, at most $limit s, at $SECONDS s"
  LIMIT=$limit timeout -k 5 "$limit" "$@"; echo "== $name: exit $? at $SECONDS s"
}
own() { # the interpreter takes its time
  local limit=$(($1 * ${TINY:+4*}1))
  part "$limit" "$2" "$PY" -m benchmarks.on_gpu "$2" --out "$OUT" $tiny --seconds $((limit - 4))
}
part 15 machine bash -c 'nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.sm,clocks.mem --format=csv; '"$PY"' -c "
import torch, triton, transformers, numpy
print(*(one.__version__ for one in (torch, triton, transformers, numpy)))"'
own 45 warm
own 60 operation
own 150 llava-1.5-7b
own 110 qwen2.5-vl-7b
own 45 agreement
if [ -z "$tiny" ]; then part 45 gpu-tests "$PY" -m pytest tests/kernels/test_gpu.py -p no:cacheprovider -q; fi
own 40 waits
if [ -z "$tiny" ]; then part 90 kernel-tests "$PY" -m pytest tests/kernels -m "not gpu" -p no:cacheprovider -q; fi
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck initcheck; do
    APET_KERNELS=on part 45 $tool compute-sanitizer --tool $tool --print-limit 20 "$PY" -c "
import torch; from apet.core import compress, compress_ragged
x = torch.randn(2, 70, 48, device='cuda').bfloat16(); compress(x, 9); compress(x.float()[0], 9, basis_size=20)
compress_ragged([x[0], x[1][:33]], [9, 5]); torch.cuda.synchronize(); print('$tool ran')"
  done
fi
"$PY" -m benchmarks.on_gpu collect --out "$OUT"; ls -la "$OUT"; echo "all done at $SECONDS s"
