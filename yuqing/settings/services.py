"""Where the services are: S3, the database, the job queue, the embedded ones, model files; logs and metrics; retention."""

from pathlib import Path

from pydantic import Field, SecretStr

from yuqing.settings.section import Section


class S3Settings(Section):
    """Where objects live. Without an endpoint the embedded SeaweedFS that `yuqing up` started is used."""

    endpoint: str | None = Field(None, description="URL of an S3 service; empty: the embedded one")
    bucket: str = "yuqing"
    prefix: str = Field("", description="every key is put under this prefix")
    region: str = "us-east-1"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    attempts: int = Field(5, ge=1, description="tries a request, with exponential back-off and jitter")
    multipart_bytes: int = Field(16 * 2**20, ge=5 * 2**20, description="larger objects go up in parts of this size")


class DatabaseSettings(Section):
    """The PostgreSQL 15+ that holds documents, verdicts, ledger and job queue."""

    url: SecretStr | None = Field(
        None, description="postgresql://user:password@host:port/name; empty: the embedded one"
    )
    pool_size: int = Field(5, ge=1)
    connect_timeout_s: int = Field(5, ge=1)


class JobSettings(Section):
    """The job queue. A job whose worker stopped its heartbeat is put back after `stalled_after_s`."""

    heartbeat_s: float = Field(3, gt=0)
    stalled_after_s: float = Field(30, gt=0)
    attempts: int = Field(3, ge=1, description="tries a job before it is quarantined")


class EmbeddedSettings(Section):
    """The services that `yuqing up` starts; the usual ports, replaced by free ones when they are taken."""

    postgres_port: int = Field(5433, ge=1024, le=65535)
    s3_port: int = Field(8333, ge=1024, le=65535)
    llm_port: int = Field(8001, ge=1024, le=65535)
    start_timeout_s: float = Field(60, gt=0)
    llm_start_timeout_s: float = Field(600, gt=0, description="loading weights and warming up takes 70-90 s on 2 cores")
    stop_timeout_s: float = Field(20, gt=0)


class TelemetrySettings(Section):
    """Logs and metrics."""

    level: str = Field("info", pattern="^(debug|info|warning|error)$")
    json_logs: bool | None = Field(None, description="empty: JSON unless standard error is a terminal")
    metrics_port: int | None = Field(None, ge=1, le=65535, description="Prometheus metrics of long-running processes")


class ModelSettings(Section):
    """Where model files come from."""

    folder: Path | None = Field(None, description="a local folder that holds model folders by name; tried first")
    hub: str | None = Field(None, description="base URL of a model hub; tried after the local folder")


class RetentionSettings(Section):
    """After how many days `yuqing retention` deletes; empty: never. raw/ and quarantine/ hold pages with personal data unmasked."""

    raw_days: int | None = Field(None, ge=1, description="raw batches, once the ledger says that they were cleaned")
    quarantine_days: int | None = Field(
        None, ge=1, description="what stages could not use; afterwards it cannot be replayed"
    )
    media_days: int | None = Field(
        None, ge=1, description="recordings, counted from the newest page that carries them; transcripts stay"
    )
    partial_days: int | None = Field(
        None, ge=1, description="finished windows of recordings whose transcription was never finished (partial/asr/)"
    )
    reports_days: int | None = Field(
        None, ge=1, description="crawls' reports and screenshots, once they are loaded; the newest of a site stays"
    )
    authors_days: int | None = Field(
        None, ge=1, description="authors' names in documents, counted from their last fetch"
    )
    audit_days: int | None = Field(None, ge=1, description="lines of the audit log: who changed what")
