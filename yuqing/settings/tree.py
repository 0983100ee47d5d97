"""The one tree of settings: defaults that work, then `yuqing.toml`, then `YUQING_*` variables.

Nested names use two underscores: `YUQING_S3__ENDPOINT`. Secrets come from the environment or from files named by
`YUQING_SECRETS_DIR`, and are never printed. A setting that does not exist is an error that names the nearest that does.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from yuqing.errors import YuqingError
from yuqing.settings.asr import ASRSettings
from yuqing.settings.backup import BackupSettings
from yuqing.settings.cleaning import CleaningSettings
from yuqing.settings.cluster import ClusterSettings
from yuqing.settings.crawler import CrawlerSettings
from yuqing.settings.gateway import GatewaySettings
from yuqing.settings.llm import LLMSettings
from yuqing.settings.section import Section
from yuqing.settings.services import (
    DatabaseSettings,
    EmbeddedSettings,
    JobSettings,
    ModelSettings,
    RetentionSettings,
    S3Settings,
    TelemetrySettings,
)

PREFIX = "YUQING_"
# Read by the set-up script and by this module before the tree exists; they are not settings of the tree.
BOOTSTRAP_VARIABLES = frozenset({"YUQING_CONFIG", "YUQING_SECRETS_DIR", "YUQING_TORCH_INDEX", "YUQING_PYTHON"})


class SettingsError(YuqingError):
    """A setting is unknown or has a value of the wrong type."""


class Settings(BaseSettings):
    """Everything that can be tuned."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Path = Field(Path(".yuqing"), description="state of the embedded services")
    cache_dir: Path = Field(Path("~/.cache/yuqing"), description="model files and downloads")
    s3: S3Settings = S3Settings()
    database: DatabaseSettings = DatabaseSettings()
    jobs: JobSettings = JobSettings()
    llm: LLMSettings = LLMSettings()
    crawler: CrawlerSettings = CrawlerSettings()
    cleaning: CleaningSettings = CleaningSettings()
    asr: ASRSettings = ASRSettings()
    gateway: GatewaySettings = GatewaySettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    models: ModelSettings = ModelSettings()
    retention: RetentionSettings = RetentionSettings()
    backup: BackupSettings = BackupSettings()
    cluster: ClusterSettings = ClusterSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, secret files, yuqing.toml."""
        toml = TomlConfigSettingsSource(settings_cls, Path(os.environ.get("YUQING_CONFIG", "yuqing.toml")))
        return init_settings, env_settings, file_secret_settings, toml

    @property
    def state(self) -> Path:
        """The data folder as an absolute path."""
        return self.data_dir.expanduser().absolute()

    @property
    def cache(self) -> Path:
        """The cache folder as an absolute path."""
        return self.cache_dir.expanduser().absolute()


def setting_names(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every setting as a dotted name, such as `s3.endpoint`."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from setting_names(annotation, (*path, name))
        else:
            yield ".".join((*path, name))


def _nearest(name: str) -> str:
    match = difflib.get_close_matches(name, list(setting_names()), n=1, cutoff=0.5)
    return (
        f"did you mean {match[0]} ({PREFIX}{match[0].replace('.', '__').upper()})?" if match else "see `yuqing doctor`"
    )


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a `YUQING_*` variable that names no setting: a typing error must not be silent. Raises SettingsError."""
    known = {PREFIX + name.replace(".", "__").upper() for name in setting_names()} | BOOTSTRAP_VARIABLES
    sections = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in environment:
        if variable.startswith(PREFIX) and variable.upper() not in known | sections:
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            raise SettingsError(f"{variable} names no setting", cure=_nearest(name))


def load_settings(**overrides: Any) -> Settings:
    """Read and check all sources. Raises SettingsError: the setting, the reason and the nearest valid name."""
    check_environment(os.environ)
    try:
        return Settings(**overrides, _secrets_dir=os.environ.get("YUQING_SECRETS_DIR"))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise SettingsError(f"{name} names no setting", cure=_nearest(name)) from None
        variable = PREFIX + name.replace(".", "__").upper()
        raise SettingsError(
            f"setting {name} is not valid: {problem['msg']}", cure=f"mend it in yuqing.toml or in {variable}"
        ) from None
    except ValueError as error:  # broken TOML
        raise SettingsError(f"yuqing.toml cannot be read: {error}", cure="mend the file") from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return load_settings()
