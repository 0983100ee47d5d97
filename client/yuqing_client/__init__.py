"""The API of yuqing 舆情 for Python: `Yuqing` has a method an operation; `models` has what they take and give."""

from yuqing_client import models
from yuqing_client.api import Yuqing
from yuqing_client.transport import ApiError, Event, every

__all__ = ["ApiError", "Event", "Yuqing", "every", "models"]
