"""The root command: what it lists, what it loads, how it fails."""

import importlib.metadata
import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from yuqing.cli import _COMMANDS
from yuqing.doctor import browser_data
from yuqing.settings import CrawlerSettings, Settings

ROOT = Path(__file__).parents[2]
STAGES = ("crawler", "cleaning", "asr", "llm", "gateway")
HEAVY = ("scrapy", "pyspark", "torch", "transformers", "fastapi", "boto3", "sqlalchemy", "procrastinate", "av")


def _yuqing(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "yuqing", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        timeout=120,
    )


def test_help_lists_the_commands_in_the_order_of_the_data() -> None:
    done = _yuqing("--help")
    assert done.returncode == 0
    lines = [line.split()[0] for line in done.stdout.split("Commands:")[1].splitlines() if line.strip()]
    listed = [name for name in lines if name in _COMMANDS]
    assert listed == list(_COMMANDS)


def test_help_loads_no_stage_and_nothing_heavy() -> None:
    program = (
        "import sys\nfrom yuqing.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {(*STAGES, *HEAVY)!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_loads_and_explains_itself(name: str) -> None:
    done = _yuqing(name, "--help")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 100


def test_a_stage_that_is_not_installed_is_neither_listed_nor_run() -> None:
    program = (
        "import sys, importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'pyspark' else real(name, *rest)\n"
        "from yuqing.cli import main\nmain(sys.argv[1:])"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)

    listed = run("--help").stdout
    assert "\n  clean" not in listed
    assert "\n  crawl" in listed
    refused = run("clean")
    assert refused.returncode == 2
    assert "pyspark" in refused.stderr
    assert "make setup" in refused.stderr


def test_a_wrong_setting_is_one_message_with_its_cure() -> None:
    done = _yuqing("status", YUQING_S3__BUKET="x")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "yuqing: YUQING_S3__BUKET names no setting",
        "  -> did you mean s3.bucket (YUQING_S3__BUCKET)?",
    ]


def test_doctor_answers_json_and_hides_secrets(tmp_path: Path) -> None:
    done = _yuqing("doctor", "--json", YUQING_DATA_DIR=str(tmp_path), YUQING_LLM__API_KEY="hush-hush")
    found = json.loads(done.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["python"]["state"] == "ok"
    assert checks["browser data"]["state"] in ("ok", "warning")
    assert checks["database"]["state"] == "failed"
    assert checks["database"]["cure"]
    assert "hush-hush" not in done.stdout
    assert done.returncode == 1


def test_doctor_warns_of_old_browser_data() -> None:
    path = ROOT / "crawler" / "data" / "user_agents.json"
    dated = date.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["dated"])
    (fresh,) = browser_data(Settings(), dated + timedelta(days=180))
    assert fresh.state == "ok"
    (old,) = browser_data(Settings(), dated + timedelta(days=181))
    assert old.state == "warning"
    assert "181 days" in old.detail
    assert "crawler.bot_identity" in old.cure
    (named,) = browser_data(Settings(crawler=CrawlerSettings(bot_identity="ournews/1.0")), dated + timedelta(days=181))
    assert named.state == "ok"


def test_each_top_level_name_has_one_owner() -> None:
    # crawler, llm and others are also names of unrelated packages: whichever comes first on the path would win.
    ours = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    owners = importlib.metadata.packages_distributions()
    foreign = {name: owner for name, owner in owners.items() if name in ours and set(owner) - {"yuqing"}}
    assert foreign == {}
