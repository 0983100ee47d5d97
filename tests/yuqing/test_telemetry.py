"""What the log shows of a job that failed."""

import json
import logging

import pytest

from yuqing import telemetry
from yuqing.errors import YuqingError
from yuqing.settings import TelemetrySettings


def _logged(error: Exception, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    telemetry.configure(TelemetrySettings(json_logs=True), stage="test")
    try:
        raise error
    except type(error):
        logging.getLogger("procrastinate.worker").exception("Job %s ended", "analyze[1]")
    line: dict[str, str] = json.loads(capsys.readouterr().err.splitlines()[-1])
    return line


def test_an_expected_failure_is_one_message_with_its_cure(capsys: pytest.CaptureFixture[str]) -> None:
    line = _logged(YuqingError("the server is away", cure="start it"), capsys)
    assert line["event"] == "Job analyze[1] ended: the server is away — start it"
    assert "exception" not in line
    assert line["stage"] == "test"


def test_an_unexpected_one_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    line = _logged(ZeroDivisionError("oops"), capsys)
    assert "ZeroDivisionError: oops" in line["exception"]
