"""Settings: sources, precedence, and errors that help."""

from pathlib import Path

import pytest

from yuqing.settings import Settings, SettingsError, check_environment, load_settings, setting_names


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_work() -> None:
    settings = load_settings()
    assert settings.s3.bucket == "yuqing"
    assert settings.state.is_absolute()


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("yuqing.toml").write_text('[s3]\nbucket = "from-file"\nregion = "cn-north-1"\n')
    monkeypatch.setenv("YUQING_S3__BUCKET", "from-environment")
    settings = load_settings()
    assert (settings.s3.bucket, settings.s3.region) == ("from-environment", "cn-north-1")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [("YUQING_S3__ENDPOIN", "s3.endpoint"), ("YUQING_DATABSE__URL", "database.url"), ("YUQING_DATADIR", "data_dir")],
)
def test_an_unknown_variable_names_the_nearest_setting(variable: str, nearest: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_environment({variable: "x"})
    assert variable in refused.value.message
    assert nearest in refused.value.cure


def test_an_unknown_name_in_the_file_is_refused() -> None:
    Path("yuqing.toml").write_text('[s3]\nbuckett = "x"\n')
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "s3.buckett" in refused.value.message
    assert "s3.bucket" in refused.value.cure


def test_a_wrong_type_names_the_setting_and_where_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YUQING_S3__ATTEMPTS", "many")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "s3.attempts" in refused.value.message
    assert "YUQING_S3__ATTEMPTS" in refused.value.cure


def test_a_broken_file_is_named() -> None:
    Path("yuqing.toml").write_text("[s3\n")
    with pytest.raises(SettingsError, match=r"yuqing\.toml"):
        load_settings()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YUQING_S3__SECRET_KEY", "hush-hush")
    monkeypatch.setenv("YUQING_DATABASE__URL", "postgresql://u:hush-hush@h/d")
    settings = load_settings()
    assert "hush-hush" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_every_setting_is_reachable_by_a_variable() -> None:
    assert {"s3.endpoint", "database.url", "data_dir"} <= set(setting_names())
    assert all(field.annotation is not None for field in Settings.model_fields.values())
