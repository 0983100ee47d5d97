"""The root of the errors that a user may see."""


class YuqingError(Exception):
    """An expected failure: the message names the thing and the reason, `cure` says what to do about it.

    The command line prints both and exits with status 2; there is no traceback.
    """

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} — {self.cure}" if self.cure else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive the default pickling, and Spark sends errors from its executors.
        return _rebuild, (type(self), self.message, self.cure, self.__dict__)


def _rebuild(kind: type[YuqingError], message: str, cure: str, state: dict[str, object]) -> YuqingError:
    error = kind.__new__(kind)
    YuqingError.__init__(error, message, cure=cure)
    error.__dict__.update(state)
    return error


class NotConfigured(YuqingError):
    """A service has neither a setting nor an embedded instance that was started."""


class ContractError(YuqingError):
    """A record does not keep a data contract; the message names the field and the reason."""
