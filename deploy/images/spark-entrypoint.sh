#!/bin/bash
# `executor` is what Spark's driver tells a pod that it makes; the variables are Spark's contract with its images
# (org.apache.spark.deploy.k8s.features.BasicExecutorFeatureStep). Everything else is a command of yuqing.
set -euo pipefail

if [ "${1:-}" != executor ]; then
    exec yuqing "$@"
fi

options=()
while IFS= read -r name; do
    options+=("${!name}")
done < <(compgen -v | grep -E '^SPARK_JAVA_OPT_[0-9]+$' | sort -t_ -k4 -n)

exec "$JAVA_HOME/bin/java" "${options[@]}" \
    "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CONF_DIR:+$SPARK_CONF_DIR:}${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" \
    --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
