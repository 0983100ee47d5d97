"""The gateway's settings."""

from pydantic import Field, SecretStr

from yuqing.settings.section import Section


class GatewaySettings(Section):
    """The REST API and the pages."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    session_secret: SecretStr | None = Field(
        None, description="signs the pages' sessions; the same for all replicas; empty: one made in the data folder"
    )
    session_hours: float = Field(12, gt=0, description="a sign-in lasts a working day")
    time_zone: str = Field(
        "Asia/Shanghai", description="IANA zone of times on the pages and of times given without one"
    )
    page_size: int = Field(30, ge=1, le=100, description="documents a page")
    requests_per_minute: int = Field(
        1200, ge=1, description="of a key in the long run, unless it has a limit of its own"
    )
    burst: int = Field(200, ge=1, description="requests of a key that may come at once")
    key_cache_s: float = Field(
        2, ge=0, description="for so long a process knows a key that it looked up; 0: each request asks the database"
    )
    body_limit_bytes: int = Field(
        2**20, ge=2**10, description="largest request body; /v1/analyze takes 100,000 characters"
    )
    analyze_timeout_s: float = Field(60, gt=0, description="wait for the language model's answer to POST /v1/analyze")
    analyses_at_once: int = Field(8, ge=1, description="texts of a batch that are put to the language model at once")
    analyses_days: float = Field(7, gt=0, description="for so long a batch's texts and answers are kept")
    dependency_timeout_s: float = Field(2, gt=0, description="wait for each dependency that /readyz asks")
    shutdown_s: int = Field(20, ge=1, description="time that requests under way have to finish after SIGTERM")
    events_poll_s: float = Field(1, gt=0, description="how often a stream of live events looks for new ones")
    events_days: float = Field(7, gt=0, description="for so long a stream that was cut off can be resumed")
    streams: int = Field(100, ge=1, description="streams of live events a process")
    exports: int = Field(2, ge=1, description="exports written at the same time; each holds a database connection")
    export_s: float = Field(
        3600, gt=0, description="after this an export is cut off, so that a reader who stopped reading holds up nobody"
    )
    upload_limit_bytes: int = Field(512 * 2**20, ge=2**10, description="largest recording that may be uploaded")
    uploads: int = Field(
        4, ge=1, description="uploads received at the same time; each is a file in the temporary folder"
    )
    upload_s: float = Field(600, gt=0, description="time that an upload may take to arrive")
    transcription_wait_s: float = Field(
        30, ge=0, description="longest wait of an upload for its transcript; then the answer is 202"
    )
    match_limit: int = Field(20_000, ge=1, description="latest documents in which a new company is looked for")
