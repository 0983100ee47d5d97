# Cleaning on Spark: the driver, and the executors that it asks the cluster for
# Built from the repository's root by deploy/images/build.sh spark.
ARG BASE

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3.11 python3.11-venv maven \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY deploy/locks/images/build.txt deploy/locks/images/spark.txt locks/
# Wheels first, with a setuptools that is locked as well: nothing is fetched that no hash stands for.
RUN --mount=type=cache,target=/root/.cache/pip python3.11 -m venv tools \
    && tools/bin/pip install --no-deps --require-hashes -r locks/build.txt \
    && tools/bin/pip wheel --no-deps --no-build-isolation --require-hashes -w wheels -r locks/spark.txt
COPY . source/
RUN --mount=type=cache,target=/root/.cache/pip tools/bin/pip wheel --no-deps --no-build-isolation -w wheels ./source \
    && python3.11 -m venv --without-pip /opt/yuqing \
    && tools/bin/pip --python /opt/yuqing/bin/python install --no-deps --no-index wheels/*.whl
# Hadoop's client of S3 (s3a://) with the AWS SDK that it was built with; Spark's own package has neither.
COPY deploy/images/spark-jars.xml jars/pom.xml
RUN mvn --batch-mode --quiet --strict-checksums --file jars/pom.xml dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory=/opt/yuqing/lib/python3.11/site-packages/pyspark/jars

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="yuqing-spark" \
      org.opencontainers.image.description="Cleaning on Spark: the driver, and the executors that it asks the cluster for" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3.11 \
       openjdk-17-jre-headless procps tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 yuqing \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin yuqing \
    && install -d -o 10001 -g 10001 /var/lib/yuqing /var/cache/yuqing
COPY --from=build /opt/yuqing /opt/yuqing
RUN ln -s java-17-openjdk-"$(dpkg --print-architecture)" /usr/lib/jvm/default
COPY --chmod=0755 deploy/images/spark-entrypoint.sh /usr/local/bin/spark-entrypoint
# Nothing else is written to but /tmp and these two, which are volumes in the cluster: the root file system may be read-only.
ENV PATH=/opt/yuqing/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    YUQING_DATA_DIR=/var/lib/yuqing \
    YUQING_CACHE_DIR=/var/cache/yuqing \
    JAVA_HOME=/usr/lib/jvm/default \
    SPARK_HOME=/opt/yuqing/lib/python3.11/site-packages/pyspark \
    PYSPARK_PYTHON=/opt/yuqing/bin/python
USER 10001:10001
WORKDIR /var/lib/yuqing
# `executor` comes from Spark's own driver; everything else is a command of yuqing.
ENTRYPOINT ["tini", "--", "spark-entrypoint"]
CMD ["clean", "--json"]
