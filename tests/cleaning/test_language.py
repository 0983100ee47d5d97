"""Which language a text is said to be in."""

import pytest

from cleaning.language import language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "zh"),
        ("2024.05.20 12%", "zh"),
        ("贵州茅台发布一季报,营收同比增长百分之十八。", "zh"),
        ("贵州茅臺發佈一季報,營收同比增長。", "zh"),
        ("Apple、Google 与 NVIDIA 三家公司的股价周一齐跌", "zh"),
        ("var comments = document.getElementById('list'); comments.hide();\n" * 30 + "公司回应称产品合格。" * 40, "zh"),
        ("トヨタ自動車は新しい電気自動車を発表しました。", "ja"),
        ("日本动画电影《となりのトトロ》将于下月在内地重新上映,片方周三公布了中文海报和新的预告片。", "zh"),
        ("삼성전자는 새로운 반도체 공장을 건설한다고 발표했다.", "ko"),
        (
            "var list = document.getElementById('list');\n" * 60
            + "トヨタ自動車は新しい電気自動車を発表しました。" * 20,
            "ja",
        ),
        ("Toyota, Honda, Nissan and Mazda shares トヨタ自動車は新しい電気自動車を発表", "ja"),
        ("Samsung Electronics Galaxy 삼성전자는 새로운 반도체 공장을 건설한다", "ko"),
        ("The company reported higher revenue for the first quarter of the year.", "en"),
        ("L'entreprise a publié son chiffre d'affaires du premier trimestre.", "fr"),
        ("Die 茅台 AG meldet für das erste Quartal einen höheren Umsatz als im Jahr zuvor.", "de"),
    ],
)
def test_language(text: str, expected: str) -> None:
    assert language(text) == expected
