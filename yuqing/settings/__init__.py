"""The one tree of settings (tree.py); a file a stage.

From here everything is imported: `from yuqing.settings import Settings`.
"""

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
from yuqing.settings.tree import (
    BOOTSTRAP_VARIABLES,
    PREFIX,
    Settings,
    SettingsError,
    check_environment,
    get_settings,
    load_settings,
    setting_names,
)

__all__ = [
    "BOOTSTRAP_VARIABLES",
    "PREFIX",
    "ASRSettings",
    "BackupSettings",
    "CleaningSettings",
    "ClusterSettings",
    "CrawlerSettings",
    "DatabaseSettings",
    "EmbeddedSettings",
    "GatewaySettings",
    "JobSettings",
    "LLMSettings",
    "ModelSettings",
    "RetentionSettings",
    "S3Settings",
    "Section",
    "Settings",
    "SettingsError",
    "TelemetrySettings",
    "check_environment",
    "get_settings",
    "load_settings",
    "setting_names",
]
