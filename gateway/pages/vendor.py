"""Fetch the pages' libraries again from their npm packages: python -m gateway.pages.vendor

Each folder's vendor.json names the packages, the files that are taken, and their SHA-256. What arrives with another one is
not written, so that a version is changed in vendor.json alone, with its hashes. No build step: the files are the packages' own.
"""

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

from yuqing.errors import YuqingError

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "gateway" / "pages" / "static" / "vendor", ROOT / "tests" / "gateway" / "axe")


class VendoredFileDiffers(YuqingError):
    """A file is not the one that vendor.json names."""


def check(folder: Path) -> None:
    """Raise VendoredFileDiffers unless the folder holds what its vendor.json names."""
    for package in json.loads((folder / "vendor.json").read_text("utf-8")):
        for name, wanted in package["files"].items():
            _check(folder / name, (folder / name).read_bytes(), wanted["sha256"])


def _check(path: Path, content: bytes, wanted: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise VendoredFileDiffers(
            f"{path} has the SHA-256 {found}, vendor.json says {wanted}", cure="python -m gateway.pages.vendor"
        )


def fetch(folder: Path) -> None:
    """Fetch the folder's packages with npm and write their files. Raises VendoredFileDiffers, CalledProcessError."""
    for package in json.loads((folder / "vendor.json").read_text("utf-8")):
        with tempfile.TemporaryDirectory() as temporary:
            wanted = f"{package['name']}@{package['version']}"
            subprocess.run(["npm", "pack", "--silent", wanted], cwd=temporary, check=True, stdout=subprocess.DEVNULL)
            (archive,) = Path(temporary).glob("*.tgz")
            with tarfile.open(archive) as opened:
                for name, file in package["files"].items():
                    member = opened.extractfile(f"package/{file['path']}")
                    assert member is not None, f"{wanted} has no {file['path']}"
                    content = member.read()
                    _check(folder / name, content, file["sha256"])
                    (folder / name).write_bytes(content)


if __name__ == "__main__":
    for each in FOLDERS:
        fetch(each)
        print(f"{each.relative_to(ROOT)} is complete")  # noqa: T201
