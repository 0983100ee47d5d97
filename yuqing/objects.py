"""The object store: any S3 service through boto3, one code path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol, Self

from botocore.exceptions import BotoCoreError, ClientError

from yuqing.endpoints import S3Endpoint, s3_endpoint
from yuqing.errors import YuqingError
from yuqing.settings import Settings

if TYPE_CHECKING:
    from botocore.client import BaseClient

_CHUNK = 2**20
_FAILURES = (BotoCoreError, ClientError, OSError)
_MISSING = {"404", "NoSuchKey", "NotFound"}
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_EXISTS = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}


class ObjectStoreError(YuqingError):
    """S3 refused a request; the message names bucket, key and S3's own reason."""


class BucketMissing(ObjectStoreError):
    """There is no bucket of this name."""


class ObjectMissing(ObjectStoreError):
    """The key does not exist."""


class ObjectStoreAway(ObjectStoreError):
    """S3 does not answer, after all retries."""


@dataclass(frozen=True)
class ObjectInfo:
    """A listed object: key (without the settings' prefix), bytes, time of the last change (UTC), S3's entity tag."""

    key: str
    size: int
    modified: datetime
    tag: str = ""


class ObjectWriter(Protocol):
    """What takes objects: the store, or what hands them on to another."""

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> bool:
        """Store bytes under a key."""
        ...


@dataclass(frozen=True)
class ObjectStore:
    """Objects under one bucket and prefix. It connects when first used, so it can be sent to other processes."""

    endpoint: S3Endpoint

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The store that the settings name. Raises NotConfigured."""
        return cls(s3_endpoint(settings))

    def __getstate__(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    @cached_property
    def _client(self) -> "BaseClient":
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint.endpoint,
            region_name=self.endpoint.region,
            aws_access_key_id=self.endpoint.access_key,
            aws_secret_access_key=self.endpoint.secret_key,
            config=Config(
                # "standard" retries throttling, 5xx and connection errors with exponential back-off and full jitter.
                retries={"mode": "standard", "total_max_attempts": self.endpoint.attempts},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=32,
                s3={"addressing_style": "path"} if self.endpoint.endpoint else {},
            ),
        )

    def _full(self, key: str) -> str:
        prefix = self.endpoint.prefix.strip("/")
        return f"{prefix}/{key}" if prefix else key

    def _relative(self, key: str) -> str:
        prefix = self.endpoint.prefix.strip("/")
        return key.removeprefix(prefix + "/") if prefix else key

    def _fail(self, error: Exception, action: str, key: str) -> NoReturn:
        where = f"s3://{self.endpoint.bucket}/{self._full(key)}"
        if isinstance(error, ClientError):
            reason = error.response.get("Error", {})
            code = str(reason.get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _MISSING:
                raise ObjectMissing(f"{where} does not exist") from error
            if code == "NoSuchBucket":
                raise BucketMissing(
                    f"S3 has no bucket {self.endpoint.bucket} (to {action} {where})", cure="check the bucket's name"
                ) from error
            if code in _REFUSED:
                raise ObjectStoreError(
                    f"S3 refused to {action} {where}: {code}",
                    cure="check YUQING_S3__ACCESS_KEY, YUQING_S3__SECRET_KEY and the bucket's policy",
                ) from error
            kind = ObjectStoreAway if status >= 500 else ObjectStoreError
            raise kind(f"S3 could not {action} {where}: {code} {reason.get('Message', '')}".strip()) from error
        if isinstance(error, BotoCoreError | OSError):
            raise ObjectStoreAway(
                f"S3 at {self.endpoint.endpoint or 'AWS'} does not answer (to {action} {where}): {error}",
                cure="start the embedded one with `yuqing up`, or check YUQING_S3__ENDPOINT; `yuqing doctor` tells more",
            ) from error
        raise error

    def ensure_bucket(self) -> None:
        """Make the bucket unless it exists. Raises ObjectStoreAway, ObjectStoreError."""
        try:
            self._client.head_bucket(Bucket=self.endpoint.bucket)
        except ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) not in _MISSING | {"NoSuchBucket"}:
                self._fail(error, "open", "")
            try:
                self._client.create_bucket(Bucket=self.endpoint.bucket)
            except ClientError as refused:
                if refused.response.get("Error", {}).get("Code") not in (
                    "BucketAlreadyOwnedByYou",
                    "BucketAlreadyExists",
                ):
                    self._fail(refused, "create the bucket of", "")
        except (BotoCoreError, OSError) as error:
            self._fail(error, "open", "")

    def put(self, key: str, data: bytes, *, content_type: str | None = None, only_if_absent: bool = False) -> bool:
        """Store bytes. With only_if_absent one writer wins and the others get False. Raises ObjectStoreError."""
        options = {"IfNoneMatch": "*"} if only_if_absent else {}
        return self._put(key, data, content_type, options)

    def replace(self, key: str, data: bytes, tag: str, *, content_type: str | None = None) -> bool:
        """Store bytes where the object is still the one of that tag (see `get_tagged`); one writer wins, the others get False.

        Raises ObjectStoreError.
        """
        return self._put(key, data, content_type, {"IfMatch": tag})

    def _put(self, key: str, data: bytes, content_type: str | None, condition: dict[str, str]) -> bool:
        options: dict[str, Any] = {**condition, **({"ContentType": content_type} if content_type else {})}
        try:
            self._client.put_object(Bucket=self.endpoint.bucket, Key=self._full(key), Body=data, **options)
        except _FAILURES as error:
            code = str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
            if (condition and code in _EXISTS) or ("IfMatch" in condition and code in _MISSING):
                return False
            self._fail(error, "write", key)
        return True

    def put_stream(self, key: str, source: IO[bytes], *, content_type: str | None = None) -> None:
        """Store what a file or pipe gives until its end, in parts; memory stays bounded. Raises ObjectStoreError."""
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import TransferConfig

        size = self.endpoint.multipart_bytes
        try:
            self._client.upload_fileobj(
                source,
                self.endpoint.bucket,
                self._full(key),
                ExtraArgs={"ContentType": content_type} if content_type else None,
                Config=TransferConfig(multipart_threshold=size, multipart_chunksize=size, max_concurrency=2),
            )
        except S3UploadFailedError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, Exception) else error, "write", key)
        except _FAILURES as error:
            self._fail(error, "write", key)

    def put_file(self, key: str, path: Path, *, content_type: str | None = None) -> None:
        """Store a file, in parts when it is large; memory stays bounded. Raises ObjectStoreError."""
        try:
            source = path.open("rb")
        except OSError as error:
            self._fail(error, "write", key)
        with source:
            self.put_stream(key, source, content_type=content_type)

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises ObjectMissing, ObjectStoreAway."""
        return b"".join(self.stream(key))

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """An object's bytes and its entity tag, for `replace`. Raises ObjectMissing, ObjectStoreAway."""
        try:
            response = self._client.get_object(Bucket=self.endpoint.bucket, Key=self._full(key))
            with response["Body"] as body:
                return body.read(), str(response["ETag"])
        except _FAILURES as error:
            self._fail(error, "read", key)

    def opened(self, key: str) -> tuple[str, Iterator[bytes]]:
        """An object's content type, and its bytes in chunks of at most 1 MiB. Raises ObjectMissing, ObjectStoreAway."""
        try:
            response = self._client.get_object(Bucket=self.endpoint.bucket, Key=self._full(key))
        except _FAILURES as error:
            self._fail(error, "read", key)

        def chunks() -> Iterator[bytes]:
            try:
                with response["Body"] as body:
                    while chunk := body.read(_CHUNK):
                        yield chunk
            except _FAILURES as error:
                self._fail(error, "read", key)

        return str(response.get("ContentType") or ""), chunks()

    def stream(self, key: str, *, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """An object's bytes (from byte `first` to byte `last`, both included) in chunks of at most 1 MiB.

        Raises ObjectMissing, ObjectStoreAway.
        """
        part = {"Range": f"bytes={first}-{'' if last is None else last}"} if first or last is not None else {}
        try:
            response = self._client.get_object(Bucket=self.endpoint.bucket, Key=self._full(key), **part)
            with response["Body"] as body:
                while chunk := body.read(_CHUNK):
                    yield chunk
        except _FAILURES as error:
            self._fail(error, "read", key)

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file; the file appears whole or not at all. Raises ObjectMissing, ObjectStoreAway."""
        partial = path.with_name(path.name + ".part")
        try:
            with partial.open("wb") as target:
                for chunk in self.stream(key):
                    target.write(chunk)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        """Whether the key exists. Raises ObjectStoreAway."""
        try:
            self._client.head_object(Bucket=self.endpoint.bucket, Key=self._full(key))
        except _FAILURES as error:
            try:
                self._fail(error, "look at", key)
            except ObjectMissing:
                return False
        return True

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """The objects under a prefix in key order, page by page. Raises ObjectStoreAway."""
        options = {"StartAfter": self._full(start_after)} if start_after else {}
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.endpoint.bucket, Prefix=self._full(prefix), **options
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield ObjectInfo(
                        self._relative(item["Key"]), item["Size"], item["LastModified"], item.get("ETag", "")
                    )
        except _FAILURES as error:
            self._fail(error, "list", prefix)

    def folders(self, prefix: str) -> Sequence[str]:
        """The names of the "folders" directly under a prefix that ends in "/" (or is empty). Raises ObjectStoreAway."""
        full = self._full(prefix)
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.endpoint.bucket, Prefix=full, Delimiter="/"
            )
            return [
                item["Prefix"].removeprefix(full).rstrip("/")
                for page in pages
                for item in page.get("CommonPrefixes", [])
            ]
        except _FAILURES as error:
            self._fail(error, "list", prefix)

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error. Raises ObjectStoreAway."""
        try:
            self._client.delete_object(Bucket=self.endpoint.bucket, Key=self._full(key))
        except _FAILURES as error:
            self._fail(error, "delete", key)
