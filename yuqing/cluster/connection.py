"""The way to a cluster's API server, and its refusals in words.

In a pod the service account's token is used (its file is read again as the kubelet renews it), elsewhere a kubeconfig.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3

from yuqing.errors import YuqingError
from yuqing.settings import Settings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, ApiException, Configuration

T = TypeVar("T")
# Where the kubelet puts a pod's credentials: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Label keys of https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
PART_OF = "app.kubernetes.io/part-of=yuqing"
COMPONENT = "app.kubernetes.io/component"
_A_PAGE = 500  # as kubectl asks for
_CHUNK = 2**16
_CURE_NONE = "name a kubeconfig with YUQING_CLUSTER__KUBECONFIG or KUBECONFIG, or run this in a pod"


class ClusterError(YuqingError):
    """The API server refused a request."""


class NoCluster(ClusterError):
    """No cluster is configured here."""


class ClusterAway(ClusterError):
    """The API server does not answer, or answers that it cannot now."""


class NotAuthenticated(ClusterError):
    """The token or certificate is refused or has expired."""


class NotAllowed(ClusterError):
    """The account has not the right; the message holds the API server's own words: who, what, where."""


class NotFound(ClusterError):
    """The object does not exist."""


class Conflict(ClusterError):
    """The object exists already, or was changed meanwhile."""


class Outdated(ClusterError):
    """A watch began at a version that the API server has forgotten (410): list again."""


_BY_STATUS: dict[int, tuple[type[ClusterError], str]] = {
    401: (NotAuthenticated, "log in to the cluster again (`kubectl get pods` should work), then try again"),
    403: (NotAllowed, "have the account given this right (deploy/k8s holds the roles), or use another context"),
    404: (NotFound, "check the name and the namespace; `yuqing k8s status` shows what there is"),
    409: (Conflict, "look at it, then try again"),
    410: (Outdated, "list again"),
}


def inside() -> bool:
    """Whether this process runs in a pod that may talk to its cluster."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


class Cluster:
    """A cluster and a namespace in it. Every request goes through `ask`, which tells failures in words."""

    def __init__(self, settings: Settings) -> None:
        """Read the credentials; the cluster is not asked yet. Raises NoCluster."""
        self.settings = settings.cluster
        self.inside = inside() and settings.cluster.kubeconfig is None
        self._configuration, self.namespace = self._load()
        self._api: ApiClient | None = None

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._configuration.host)

    def _load(self) -> tuple[Configuration, str]:
        import yaml
        from kubernetes import client, config

        configuration = client.Configuration()
        chosen = self.settings.namespace
        try:
            if self.inside:
                from kubernetes.config.incluster_config import InClusterConfigLoader

                InClusterConfigLoader(str(SERVICE_ACCOUNT / "token"), str(SERVICE_ACCOUNT / "ca.crt")).load_and_set(
                    configuration
                )
                found = (SERVICE_ACCOUNT / "namespace").read_text().strip()
            else:
                path = str(self.settings.kubeconfig.expanduser()) if self.settings.kubeconfig else None
                context = self.settings.context
                config.load_kube_config(path, context, configuration, persist_config=False)
                contexts, current = config.list_kube_config_contexts(path)
                wanted = next((item for item in contexts if item["name"] == context), current)
                found = wanted["context"].get("namespace") or "default"
        except (config.ConfigException, OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise NoCluster(f"no Kubernetes cluster is configured: {reason}", cure=_CURE_NONE) from None
        # Only reading is repeated by itself: a POST whose answer was lost may have been heard.
        configuration.retries = urllib3.Retry(
            total=3,
            backoff_factor=0.2,
            backoff_jitter=0.1,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=("GET", "HEAD"),
            raise_on_status=False,
        )
        return configuration, chosen or found

    def ask(self, what: str, call: Callable[[ApiClient], T]) -> T:
        """What `call` makes of the API server's answer; `what` completes "cannot ..." in an error's message.

        Credentials that have expired are read again once. Raises NotAuthenticated, NotAllowed, NotFound, Conflict, Outdated,
        ClusterAway, and ClusterError for what else the API server refuses.
        """
        from kubernetes.client import ApiClient, ApiException

        for renewed in (False, True):
            if self._api is None:
                self._api = ApiClient(self._configuration)
            try:
                return call(self._api)
            except ApiException as error:
                status = _status(error)
                if status == 401 and not renewed:
                    self._configuration, self._api = self._load()[0], None
                    continue
                raise self._refused(what, status, error) from None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise self.away(what, error) from None
        raise AssertionError("the second try has returned or raised")

    def request(
        self,
        what: str,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        also: int = 0,
    ) -> dict[str, Any]:
        """The API server's answer as JSON, also when its status is `also`. Raises as `ask`."""

        def call(api: ApiClient) -> dict[str, Any]:
            response = self._send(api, method, path, query or {}, body, self.settings.timeout_s, also=also)
            try:
                found = json.loads(response.data)
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise ClusterAway(
                    f"cannot {what}: what {self.server} answers is no JSON object: {response.data[:80]!r}",
                    cure="check that the address is a Kubernetes API server's",
                )
            return found

        return self.ask(what, call)

    def items(self, what: str, path: str, **query: object) -> list[dict[str, Any]]:
        """All items of a list, page by page. Raises as `ask`."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self.request(what, "GET", path, {**query, "limit": _A_PAGE, "continue": token or None})
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return found

    def lines(self, what: str, path: str, silence_s: float | None = None, **query: object) -> Iterator[str]:
        """The lines of an answer that goes on (a log, a watch) until the server ends it.

        Raises as `ask`, also in the middle: ClusterAway when the connection breaks or is silent for longer than `silence_s`.
        """
        timeout = (self.settings.timeout_s, silence_s)
        response = self.ask(what, lambda api: self._send(api, "GET", path, query, None, timeout, wait=False)).response
        rest = b""
        try:
            for chunk in response.stream(_CHUNK, decode_content=True):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self.away(what, error) from None
        finally:
            response.close()
        if rest:
            yield rest.decode(errors="replace")

    def _send(
        self,
        api: ApiClient,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Mapping[str, Any] | None,
        timeout: object,
        *,
        wait: bool = True,
        also: int = 0,
    ) -> Any:
        from kubernetes.client import ApiException

        path = path.replace("{namespace}", self.namespace)
        values = [(name, str(value)) for name, value in query.items() if value is not None]
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = api.param_serialize(
            method, path, query_params=values, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        response = api.call_api(*request, _request_timeout=timeout)
        good = 200 <= response.status < 300 or response.status == also
        if wait or not good:
            response.read()
        if not good:
            raise ApiException(http_resp=response)
        return response

    def _refused(self, what: str, status: int, error: ApiException) -> ClusterError:
        kind, cure = _BY_STATUS.get(status, (ClusterError, ""))
        if status >= 500 or status == 429:
            kind, cure = ClusterAway, "try again later"
        reason = _words(error) or f"HTTP {status or ''} {error.reason or ''}".strip()
        return kind(f"cannot {what} (namespace {self.namespace}): {reason}", cure=cure)

    def away(self, what: str, error: Exception) -> ClusterAway:
        """The error to show for a connection that broke or was never made."""
        reason = getattr(error, "reason", None) or error
        return ClusterAway(
            f"cannot {what}: the API server {self.server} does not answer: {str(reason).rpartition('>: ')[2]}",
            cure="check that the cluster runs and that its address is right (`kubectl cluster-info`)",
        )


def _status(error: ApiException) -> int:
    """The HTTP status; that of a refused WebSocket stands in the text only."""
    found = re.search(r"Handshake status (\d{3})", str(error.reason or ""))
    return int(found[1]) if found else int(error.status or 0)


def _words(error: ApiException) -> str:
    """The message of the Status object that the API server sends with a refusal."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return ""
