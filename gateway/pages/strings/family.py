"""A reprint family: its timeline and what each copy changed."""

STRINGS: dict[str, tuple[str, str]] = {
    "family": ("转载家族", "Reprint family"),
    "family.lead": (
        "{first} 于 {time} 首发；{hours} 小时内 {count} 篇、{sites} 个站点，一半影响在 {half} 小时内达到。",
        "{first} had it first, {time}; within {hours} h {count} documents on {sites} sites, half of the reach within {half} h.",
    ),
    "family.alone": ("还没有人转载这篇。", "Nobody has reprinted this document yet."),
    "family.document": ("返回原文页", "Back to the document"),
    "family.timeline": ("传播时间线", "How it spread"),
    "family.table": ("各篇转载", "The reprints"),
    "family.timeline.label": (
        "横轴为时间，纵轴为累计影响（媒体权重之和）",
        "Time to the right, reach (the sum of the media's weights) upwards",
    ),
    "family.reach": ("累计影响", "Reach so far"),
    "family.after": ("首发后", "After the first"),
    "family.hours": ("{hours} 小时", "{hours} h"),
    "family.changes": ("改动", "Changes"),
    "family.unchanged": ("一字未改", "to the letter"),
    "family.compare": ("对比", "Compare"),
    "family.shown": ("正在对比", "shown below"),
    "family.diff": ("改了什么", "What was changed"),
    "family.diff.of": ("{first}（首发）→ {other}", "{first} (first) → {other}"),
    "family.removed": ("删去的文字", "taken out"),
    "family.added": ("加上的文字", "put in"),
    "family.title": ("标题", "Title"),
    "family.same": ("两篇文字完全相同。", "The two texts are the same to the letter."),
    "family.cut": ("只对比了开头 20,000 字。", "Only the first 20,000 characters are compared."),
}
