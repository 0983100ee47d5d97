"""What every section of the tree shares."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One stage's settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
