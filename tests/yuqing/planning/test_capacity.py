"""The plan: it grows as the load does, says what is full, refuses nonsense, and the page about it holds its numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from yuqing.planning.capacity import DAY_S, Load, Plan, Prices, plan
from yuqing.planning.figures import FiguresError, load, shipped
from yuqing.planning_cli import PlanError, app

ROOT = Path(__file__).parents[3]


def planned(sites: int = 1, *, gpu: bool = True, **changes: float) -> Plan:
    """With the shipped figures and prices."""
    return plan(Load(sites=sites, **changes), Prices(), shipped(), gpu=gpu)  # type: ignore[arg-type]


def need(found: Plan, name: str) -> float:
    """How far a part's one unit is filled."""
    return next(item.ratio for item in found.needs if item.name == name)


loads = st.builds(
    Load,
    sites=st.integers(1, 100_000),
    documents_per_day=st.floats(1, 5000),
    javascript_share=st.floats(0, 1),
    audio_hours_per_day=st.floats(0, 10),
    mention_share=st.floats(0, 1),
    reprint_share=st.floats(0, 1),
    peak=st.floats(1, 10),
    utilisation=st.floats(0.1, 1),
)


@given(loads, st.booleans(), st.integers(2, 50))
def test_more_sites_need_more_of_everything_and_cost_less_a_document(asked: Load, gpu: bool, times: int) -> None:
    few = plan(asked, Prices(), shipped(), gpu=gpu)
    many = plan(replace(asked, sites=asked.sites * times), Prices(), shipped(), gpu=gpu)
    assert many.cores > few.cores and many.s3_gb > few.s3_gb and many.database_gb > few.database_gb
    assert many.cost_day > few.cost_day
    assert many.cost_million <= few.cost_million * (1 + 1e-9)
    for item in few.needs:
        assert need(many, item.name) == pytest.approx(item.ratio * (1 if item.name == "one site" else times))
    assert list(few.needs) == sorted(few.needs, key=lambda item: -item.ratio)
    assert all(item.units >= max(1, item.ratio) for item in few.needs)
    assert {item.name for item in many.impossible} >= {item.name for item in few.impossible}


def test_the_numbers_follow_from_the_figures() -> None:
    found = planned(100, documents_per_day=864, peak=1, utilisation=1, mention_share=0.5, reprint_share=0)
    assert need(found, "cleaning") == pytest.approx(1 / shipped()["clean_documents_cpu_s"])  # a document a second
    assert need(found, "merge into PostgreSQL") == pytest.approx(shipped()["merge_s"])
    assert found.calls == pytest.approx(0.5 * (1 - shipped()["triage_share"]) * DAY_S)
    assert need(found, "language model") == pytest.approx(found.calls / DAY_S / shipped()["llm_calls_gpu_s"])
    slow = planned(1, documents_per_day=40_000)
    assert [item.name for item in slow.impossible] == ["one site"]
    assert slow.bottleneck.lever in slow.needs[0].lever
    cores = planned(100, gpu=False)
    assert cores.gpus == 0 and cores.cores > planned(100).cores


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sites": 0}, "sites is 0"),
        ({"documents_per_day": 0}, "documents_per_day is 0"),
        ({"documents_per_day": float("nan")}, "documents_per_day is nan"),
        ({"mention_share": 1.5}, "between 0 and 1"),
        ({"utilisation": 0}, "utilisation is 0"),
        ({"peak": float("inf")}, "peak is inf"),
        ({"raw_days": -1}, "raw_days is -1"),
    ],
)
def test_a_load_that_cannot_be_is_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        planned(**changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gpu_hour is -1"):
        plan(Load(), Prices(gpu_hour=-1), shipped(), gpu=True)


def test_figures_of_ones_own_take_the_place_of_the_shipped(tmp_path: Path) -> None:
    own = {"value": 40.0, "unit": "calls a second", "command": "benchmarks/analyze.py", "date": "2026-12-01"}
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"machine": "ours", "figures": {"llm_calls_gpu_s": own}}))
    found = load(path)
    assert (found["llm_calls_gpu_s"], found["merge_s"]) == (40, shipped()["merge_s"])
    assert found.machine.startswith("ours; crawl_pages_cpu_s, ") and found.machine.endswith(f": {shipped().machine}")
    for content, words in {
        "{": "cannot be read",
        "[]": "Input should be",
        json.dumps({"machine": "m", "figures": {"speed": own}}): "speed is no figure",
        json.dumps({"machine": "m", "figures": {"merge_s": {**own, "value": 0}}}): "above zero",
        '{"machine": "m", "figures": {"merge_s": {"value": 1}}}': "figures.merge_s.unit: Field required",
    }.items():
        path.write_text(content)
        with pytest.raises(FiguresError, match=words):
            load(path)
    with pytest.raises(FiguresError, match="cannot be read"):
        load(tmp_path / "none.json")


LINES = (
    {"benchmark": "crawl", "cores": 8, "gpus": 0, "pages_per_cpu_s": 300.0, "peak_mib": 200},
    {"benchmark": "clean", "cores": 8, "gpus": 0, "documents": 100, "documents_per_cpu_s": 70, "peak_mib": 900}
    | {"cpu_s": {"java": 3, "postgres": 0.4}},
    {"benchmark": "browser", "cores": 8, "gpus": 0, "pages_per_s": 12},
    {"benchmark": "asr", "cores": 8, "gpus": 0, "rtf": 0.03, "cer": 0.06},
    {"benchmark": "analyze", "cores": 8, "gpus": 0, "documents_per_s": 4},
    {"benchmark": "asr", "cores": 16, "gpus": 2, "rtf": 0.01},
    {"benchmark": "analyze", "cores": 16, "gpus": 2, "documents_per_s": 50},
    {"benchmark": "matcher", "cores": 16, "gpus": 2, "mib_per_cpu_s": 15},
)


def test_the_benchmarks_lines_are_figures(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text("\n".join(["[  1 s] installing", *map(json.dumps, LINES)]))
    found = load(path)
    read = {name for name, figure in found.figures.items() if figure != shipped().figures[name]}
    assert {name: round(found[name], 6) for name in read} == {
        "crawl_pages_cpu_s": 300,
        "crawler_mib": 200,
        "clean_documents_cpu_s": 70,
        "spark_mib": 900,
        "merge_s": 0.004,
        "browser_pages_core_s": 1.5,
        "speech_core_hours": 0.24,
        "llm_calls_core_s": 0.5,
        "speech_gpu_hours": 0.01,
        "llm_calls_gpu_s": 25,
    }
    assert found.machine.startswith("16 cores, 2 GPUs; ") and all(found.figures[name].measured for name in read)
    for content, words in {
        '{"benchmark": "crawl"}': "line 1 is not one of a benchmark: KeyError\\('cores'\\)",
        '{"benchmark": "crawl", "cores": 1}\n': "crawl_pages_cpu_s cannot be read",
        '["benchmark"]': "holds no figure",
        '{"benchmark": "analyze", "cores": 1, "documents_per_s": 0}': "llm_calls_core_s is 0",
        '{"benchmark": "matcher", "cores": 1}': "holds no figure",
        '{"benchmark": "crawl", "cores"': "is not one of a benchmark",
    }.items():
        path.write_text(content)
        with pytest.raises(FiguresError, match=words):
            load(path)


def test_the_benchmarks_print_what_is_read() -> None:
    for line in LINES:
        source = (ROOT / f"benchmarks/{line['benchmark']}.py").read_text(encoding="utf-8")
        names = line.keys() - {"benchmark", "cores", "gpus", "mib_per_cpu_s"}
        assert not [name for name in names if f'"{name}"' not in source], line["benchmark"]


def test_every_figure_says_where_it_comes_from() -> None:
    for name, figure in shipped().figures.items():
        assert figure.value > 0 and figure.date.startswith("20"), name
        program = figure.command.split()[0]
        if program.startswith(("benchmarks/", "docs/")):
            assert (ROOT / program).exists(), name
        else:
            assert not figure.measured or "procrastinate" in figure.command, name


def test_the_command_prints_tables_or_json() -> None:
    shown = CliRunner().invoke(app, ["--sites", "1", "--sites", "10000"], catch_exceptions=False)
    assert shown.exit_code == 0
    for words in (
        "1 sites: 200 documents",
        "10,000 sites: 2,000,000 documents",
        "cannot be multiplied",
        "not measured",
    ):
        assert words in shown.output
    answer = json.loads(CliRunner().invoke(app, ["--sites", "7", "--cpu", "--json"], catch_exceptions=False).output)
    assert answer[0]["gpus"] == 0 and answer[0]["bottleneck"] == answer[0]["needs"][0]["name"]
    assert answer[0]["cost_million"] == pytest.approx(planned(7, gpu=False).cost_million)
    with pytest.raises(PlanError, match="mention_share is 2"):
        CliRunner().invoke(app, ["--mention-share", "2"], catch_exceptions=False)


def test_the_page_holds_what_the_command_prints() -> None:
    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    for sites in (1, 100, 10_000):
        for gpu in (True, False):
            found = planned(sites, gpu=gpu)
            row = (
                f"| {sites:,} | {'GPUs' if gpu else 'cores alone'} | {found.documents:,.0f} | "
                f"{found.cores:,.1f} | {found.gpus:,.1f} | "
                f"{found.s3_gb:,.0f} | {found.database_gb:,.0f} | {found.bottleneck.name} | {found.cost_million:,.0f} |"
            )
            assert row in page, row
