"""What executors need that have neither the project nor its dependencies: both as archives that Spark unpacks beside them."""

import sys
import zipfile
from pathlib import Path

from yuqing.errors import YuqingError
from yuqing.settings import Settings

_PACKAGES = ("yuqing", "cleaning")


class PackagesMissing(YuqingError):
    """The archive with the executors' dependencies does not exist."""


def shipping_options(settings: Settings) -> dict[str, str]:
    """Spark's options that send this project, and the archive of dependencies where one is set. Raises PackagesMissing.

    The project always goes along, so that executors run the driver's code whatever their image holds.
    """
    archives = [f"{project_archive(settings.state)}#project"]
    if packages := settings.cleaning.executor_packages:
        if "://" not in packages and not Path(packages).is_file():
            raise PackagesMissing(
                f"there is no archive of dependencies at {packages}",
                cure="make it as docs/cleaning.md says, or unset YUQING_CLEANING__EXECUTOR_PACKAGES",
            )
        archives.append(f"{packages}#packages")
    names = [archive.rpartition("#")[2] for archive in archives]
    # Unpacked in the executor's working directory, from which its Python workers start.
    return {"spark.archives": ",".join(archives), "spark.executorEnv.PYTHONPATH": ":".join(names)}


def project_archive(folder: Path) -> Path:
    """A zip of the project's packages that executors import, written anew into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path, root = folder / "project.zip", Path(__file__).parents[1]
    partial = path.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            for file in sorted((root / package).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    archive.write(file, file.relative_to(root))
    partial.replace(path)
    return path


def planning_path() -> list[str]:
    """Where the driver's own modules are: Spark plans the data source on the driver, with the executors' interpreter."""
    return [str(Path(__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))]
