"""What all objects of the API have in common."""

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Model(BaseModel):
    """An object of the API. Fields that this release of the client does not know are left out."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    _etag: str | None = PrivateAttr(None)

    @property
    def etag(self) -> str | None:
        """The state that was read, for `if_match` of an edit; None where the server names none."""
        return self._etag
