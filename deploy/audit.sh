#!/usr/bin/env bash
# Look the locked dependencies up among known vulnerabilities (osv.dev). Exit status 1: some have one; they are listed.
# Where osv.dev cannot be asked (no network, a proxy) that is a warning, so that `make lint` works everywhere;
# AUDIT=required makes it an error, for the machine that merges.
set -uo pipefail
cd "$(dirname "$0")/.."
report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT
status=0
for lock in deploy/locks/main.txt deploy/locks/vllm.txt; do
    timeout 300 .venv/bin/pip-audit --vulnerability-service osv --disable-pip --require-hashes --timeout 10 --progress-spinner off \
        --format json --output "$report/found.json" --requirement "$lock" >"$report/log" 2>&1
    if [ -s "$report/found.json" ]; then
        .venv/bin/python - "$lock" "$report/found.json" <<'END' || status=1
import json, sys
bad = [item for item in json.load(open(sys.argv[2]))["dependencies"] if item.get("vulns")]
for item in bad:
    for found in item["vulns"]:
        print(f"{sys.argv[1]}: {item['name']} {item['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no release'}")
sys.exit(bool(bad))
END
    else
        echo "warning: the dependencies of $lock were not audited: $(tail -n 1 "$report/log" | cut -c 1-200)" >&2
        [ "${AUDIT:-}" != required ] || status=1
        [ "${AUDIT:-}" = required ] || break # it would take as long again
    fi
    rm -f "$report/found.json"
done
exit $status
