"""What all tables share."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, String, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEY = String(32)
SHA256 = String(64)
SENTIMENT = "sentiment IN ('positive', 'neutral', 'negative')"


class Base(DeclarativeBase):
    """All times have a zone; all JSON is JSONB; all lists of strings are text[]."""

    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: ARRAY(Text),
    }


def created() -> Mapped[datetime]:
    """The column that says when a row was made."""
    return mapped_column(server_default=func.now())
