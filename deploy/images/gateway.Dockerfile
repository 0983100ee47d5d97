# The gateway, and all that is light: analysis worker, migrations, retention, backups, model store
# Built from the repository's root by deploy/images/build.sh gateway.
ARG BASE

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY deploy/locks/images/build.txt deploy/locks/images/gateway.txt locks/
# Wheels first, with a setuptools that is locked as well: nothing is fetched that no hash stands for.
RUN --mount=type=cache,target=/root/.cache/pip python3.11 -m venv tools \
    && tools/bin/pip install --no-deps --require-hashes -r locks/build.txt \
    && tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes -w wheels -r locks/gateway.txt
COPY . source/
RUN --mount=type=cache,target=/root/.cache/pip tools/bin/pip wheel --no-deps --no-build-isolation -w wheels ./source \
    && python3.11 -m venv --without-pip /opt/yuqing \
    && tools/bin/pip --python /opt/yuqing/bin/python install --no-deps --no-index wheels/*.whl

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="yuqing-gateway" \
      org.opencontainers.image.description="The gateway, and all that is light: analysis worker, migrations, retention, backups, model store" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3.11 tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 yuqing \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin yuqing \
    && install -d -o 10001 -g 10001 /var/lib/yuqing /var/cache/yuqing
COPY --from=build /opt/yuqing /opt/yuqing
# Nothing else is written to but /tmp and these two, which are volumes in the cluster: the root file system may be read-only.
ENV PATH=/opt/yuqing/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    YUQING_DATA_DIR=/var/lib/yuqing \
    YUQING_CACHE_DIR=/var/cache/yuqing
USER 10001:10001
WORKDIR /var/lib/yuqing
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=3)"]
# A process that is the first of its container is not ended by SIGTERM unless it says how; tini is the first, and passes it on.
ENTRYPOINT ["tini", "--", "yuqing"]
CMD ["serve", "--host", "0.0.0.0"]
