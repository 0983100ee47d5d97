"""Kubernetes through its own client: what runs, starting jobs, logs, rolling out an adapter. Imported where it is used.

What it expects of the manifests: every object bears the label `app.kubernetes.io/part-of: yuqing`, and every CronJob, Job
and pod `app.kubernetes.io/component` with one of COMPONENTS. The first container of a pod does the component's work.
"""

# crawl, clean, seen, retention and backup are CronJobs; asr (recordings), analyze (verdicts), llm (vLLM) and gateway stay.
COMPONENTS = ("crawl", "clean", "asr", "analyze", "llm", "gateway", "seen", "retention", "backup", "migrate")
