"""Kubernetes: which cluster, how long to wait for it, and when a new adapter is good enough."""

from pathlib import Path

from pydantic import Field

from yuqing.settings.section import Section


class ClusterSettings(Section):
    """The cluster that `yuqing k8s` and the gateway talk to. In a pod its own, with the pod's service account."""

    kubeconfig: Path | None = Field(
        None, description="empty: KUBECONFIG or ~/.kube/config; in a pod its service account"
    )
    context: str | None = Field(None, description="of the kubeconfig; empty: its current one")
    namespace: str | None = Field(None, description="empty: the context's, or the pod's own")
    timeout_s: float = Field(10, gt=0, description="wait for an answer of the API server")
    poll_s: float = Field(2, gt=0, description="pause between two looks while something is waited for")
    rollout_timeout_s: float = Field(
        900, gt=0, description="until every server serves a new adapter; merging and a restart take minutes on a CPU"
    )
    canary_agreement: float = Field(
        0.6, ge=0, le=1, description="share of the canary's texts on whose sentiment a new adapter has to be right"
    )
