"""The overview: the watchlist, and what comes in."""

STRINGS: dict[str, tuple[str, str]] = {
    "overview": ("总览", "Overview"),
    "overview.lead": (
        "最近 {period}，{companies} 家公司共 {documents} 篇，其中负面 {negative} 篇。",
        "In the last {period}: {documents} documents on {companies} companies, {negative} of them negative.",
    ),
    "overview.unusual": ("声量明显高于平时：", "Far above their normal volume: "),
    "overview.calm": ("没有公司的声量明显高于平时。", "No company is far above its normal volume."),
    "overview.silence": ("最新的报道是 {day} 的。", "The newest document is of {day}."),
    "overview.normal": ("平时 {normal}", "normally {normal}"),
    "overview.times": ("{times} 倍", "{times}×"),
    "overview.no-normal": ("历史不足一周", "less than a week of history"),
    "overview.trend": ("近 30 天", "Last 30 days"),
    "overview.trend.label": (
        "近 30 天每天篇数：最少 {least}，最多 {most}，最近 24 小时 {latest}",
        "Documents a day over 30 days: least {least}, most {most}, latest {latest}",
    ),
    "overview.volume": ("声量", "Volume"),
    "overview.worst": ("最需要看的负面报道", "Worst negative document"),
    "overview.first": ("先看这些", "Read these first"),
    "overview.first.all": ("全部风险报道", "All risky documents"),
    "overview.none": ("没有负面报道", "no negative document"),
    "overview.order.attention": ("需要关注", "Attention"),
    "overview.all": ("显示全部 {count} 家公司", "Show all {count} companies"),
    "watchlist": ("关注名单", "Watchlist"),
    "watchlist.empty": ("还没有关注任何公司", "You watch no company yet"),
    "watchlist.empty.do": (
        "添加一家公司：已收集的报道会在几秒内匹配，新的报道会自动归入。",
        "Add one: collected documents are matched within seconds, new ones as they come.",
    ),
    "watchlist.add": ("添加公司", "Add a company"),
    "watchlist.viewer": (
        "您的密钥只能查看，请团队里的分析员添加。",
        "Your key may only read; ask an analyst of your team to add one.",
    ),
    "live": ("最新报道", "Latest documents"),
    "live.on": ("实时", "Live"),
    "live.off": ("未连接，正在重试", "Not connected, trying again"),
    "live.new": ("刚刚到达 {count} 条", "{count} just came"),
    "live.empty": ("还没有报道", "No documents yet"),
    "live.empty.do": (
        "关注的公司出现在新闻里，就会列在这里。请运行采集和分析：",
        "News that mention your companies will be listed here. Run a crawl and the analysis:",
    ),
    "live.more": ("查看全部报道", "All documents"),
}
