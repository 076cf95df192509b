#!/usr/bin/env bash
# What one run on a GPU should bring back, most wanted first; every result is written as it comes.
#   bash benchmarks/on_gpu.sh                        on the GPU; results in $OUT
#   TINY=1 OUT=/tmp/x bash benchmarks/on_gpu.sh      the same on a CPU in small shapes
# PARTS names some of the parts. A part that runs out of its time, or dies, leaves what it has written; the others run.
set -u -o pipefail
OUT=${OUT:-/tmp/out}; TOTAL=${TOTAL:-480}; HERE=$(dirname "$0"); PY=${PY:-python3}; tiny=${TINY:+--tiny}
PARTS=${PARTS:-machine warm smoke ops llava gpu-tests qwen waits kernel-tests sanitizers}
mkdir -p "$OUT"; exec > >(tee -a "$OUT/log.txt") 2>&1
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-/tmp/tc}
export CUBLAS_WORKSPACE_CONFIG=:4096:8
part() { # limit in seconds, name, command...
  local limit=$1 name=$2 left=$((TOTAL - SECONDS)); shift 2
  [[ " $PARTS " == *" $name "* ]] || return
  [ "$left" -lt 12 ] && { echo "== $name: left out, $left s left"; return; }
  [ "$limit" -gt "$left" ] && limit=$left
  echo "== $name, at most $limit s, at $SECONDS s"
  LIMIT=$limit timeout -k 5 "$limit" "$@"; echo "== $name: exit $? at $SECONDS s"
}
own() { # limit in seconds, name of the part, of the program's part, options...
  part "$1" "$2" "$PY" "$HERE/on_gpu.py" "$3" --out "$OUT" --name "$2" $tiny --seconds $(($1 - 4)) "${@:4}"
}
part 15 machine bash -c 'nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.sm,clocks.mem --format=csv; '"$PY"' -c "import torch,triton,transformers,numpy;print(torch.__version__,triton.__version__,transformers.__version__,numpy.__version__)"; which cc gcc compute-sanitizer ncu'
own 50 warm warm
own 60 ops ops
own 110 llava e2e --only llava-1.5-7b
own 80 qwen e2e --only qwen2.5-vl-7b
own 45 smoke smoke
own 40 waits waits
if [ -z "$tiny" ]; then
  part 45 gpu-tests "$PY" -m pytest tests/kernels/test_gpu.py -p no:cacheprovider -q --timeout 40
  part 90 kernel-tests "$PY" -m pytest tests/kernels --deselect tests/kernels/test_gpu.py --ignore tests/kernels/test_compiling.py -p no:cacheprovider -q -n 8 --timeout 60
fi
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck; do
    APET_KERNELS=on part 45 sanitizers compute-sanitizer --tool $tool --print-limit 20 "$PY" -c "
import torch; from apet.core import compress, compress_ragged
x = torch.randn(2, 70, 48, device='cuda').bfloat16(); compress(x, 9); compress(x.float()[0], 9, basis_size=20)
compress_ragged([x[0], x[1][:33]], [9, 5]); torch.cuda.synchronize(); print('$tool ran')"
  done
fi
ls -la "$OUT"; echo "all done at $SECONDS s"
