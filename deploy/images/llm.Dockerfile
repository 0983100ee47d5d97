# The language model's server: vLLM in an environment of its own, for CUDA or (DEVICE=cpu) for the CPU
# Built from the repository's root by deploy/images/build.sh llm.
ARG BASE
ARG DEVICE=cuda

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY deploy/locks/torch.txt deploy/locks/vllm.txt locks/
COPY deploy/locks/images/build.txt deploy/locks/images/llm-cuda.txt deploy/locks/images/llm-cpu.txt deploy/locks/images/vllm-cuda.txt locks/
RUN --mount=type=cache,target=/root/.cache/pip python3.11 -m venv tools \
    && tools/bin/pip install --no-deps --require-hashes -r locks/build.txt \
    && python3.11 -m venv --without-pip /opt/yuqing \
    && python3.11 -m venv --without-pip /opt/vllm
COPY . source/
RUN --mount=type=cache,target=/root/.cache/pip tools/bin/pip wheel --no-deps --no-build-isolation -w own ./source

FROM build AS environments-cuda
RUN --mount=type=cache,target=/root/.cache/pip tools/bin/pip --python /opt/vllm/bin/python install --no-deps --require-hashes -r locks/vllm-cuda.txt \
    && tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes -w wheels -r locks/llm-cuda.txt

# The CPU's server is given merged weights, which the project's environment makes: it needs torch as well.
FROM build AS environments-cpu
ARG TORCH_INDEX
RUN --mount=type=cache,target=/root/.cache/pip tools/bin/pip --python /opt/vllm/bin/python install --no-deps --require-hashes \
        --extra-index-url "${TORCH_INDEX}" -r locks/torch.txt -r locks/vllm.txt \
    && tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes \
        --extra-index-url "${TORCH_INDEX}" -w wheels -r locks/torch.txt -r locks/llm-cpu.txt

# hadolint ignore=DL3006
FROM environments-${DEVICE} AS environments
RUN --mount=type=cache,target=/root/.cache/pip tools/bin/pip --python /opt/yuqing/bin/python install --no-deps --no-index own/*.whl wheels/*.whl

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="yuqing-llm" \
      org.opencontainers.image.description="The language model's server: vLLM in an environment of its own, for CUDA or (DEVICE=cpu) for the CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A C compiler stays in this image alone: Triton, in which vLLM's kernels for adapters are written, compiles its launchers
# when the server starts.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev libnuma1 python3.11 python3.11-dev tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 yuqing \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin yuqing \
    && install -d -o 10001 -g 10001 /var/lib/yuqing /var/cache/yuqing
COPY --from=environments /opt/vllm /opt/vllm
COPY --from=environments /opt/yuqing /opt/yuqing
# Nothing else is written to but /tmp and these two, which are volumes in the cluster: the root file system may be read-only.
ENV PATH=/opt/yuqing/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    YUQING_DATA_DIR=/var/lib/yuqing \
    YUQING_CACHE_DIR=/var/cache/yuqing \
    YUQING_LLM__PYTHON=/opt/vllm/bin/python \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /var/lib/yuqing
EXPOSE 8001
# -s: in the cluster the pod's containers share their processes, and tini is not the first of them.
ENTRYPOINT ["tini", "-s", "--", "yuqing"]
CMD ["llm", "serve", "--host", "0.0.0.0", "--port", "8001"]
