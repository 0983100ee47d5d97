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


def test_keys_are_cut_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    key = "yq_AbCdEfG" + "h" * 36
    for as_json in (True, False):
        telemetry.configure(TelemetrySettings(json_logs=as_json))
        try:
            raise RuntimeError(f"no such key: {key}")
        except RuntimeError:
            telemetry.get_logger("test").exception("failed", path=f"/v1/{key}/x")
        logging.getLogger("elsewhere").warning("Bearer %s", key)
    shown = capsys.readouterr().err
    assert "hhh" not in shown
    assert shown.count("yq_AbCdEfG…") >= 6


def test_a_traceback_shows_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (True, False):
        telemetry.configure(TelemetrySettings(json_logs=as_json))
        try:
            password = "hunter" + "2" * 9
            raise RuntimeError(f"refused, with {len(password)} characters")
        except RuntimeError:
            telemetry.get_logger("test").exception("failed")
            logging.getLogger("elsewhere").exception("failed")
    shown = capsys.readouterr().err
    assert shown.count("with 15 characters") >= 4
    assert "2" * 9 not in shown
