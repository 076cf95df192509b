# vLLM's OpenAI server with fewer visual tokens, for NVIDIA GPUs:
#   docker build -t apet .
#   docker run --gpus all --ipc host -p 8000:8000 apet llava-hf/llava-1.5-7b-hf --keep 0.25 --host 0.0.0.0
FROM python:3.11-slim-bookworm

# Triton compiles its launchers with a C compiler when a model starts.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

RUN --mount=type=bind,target=/src \
    pip install --no-cache-dir '/src[vllm]' \
    && useradd --create-home --uid 1000 apet

USER 1000
WORKDIR /home/apet
EXPOSE 8000
HEALTHCHECK --start-period=10m --timeout=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=9)"]
ENTRYPOINT ["apet", "serve"]
# Without a model named: the small embedded one.
CMD ["--keep", "0.25", "--host", "0.0.0.0"]
