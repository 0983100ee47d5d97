"""The list of companies and their form."""

STRINGS: dict[str, tuple[str, str]] = {
    "companies.lead": (
        "关注 {count} 家公司、品牌或人物。",
        "{count} company, brand or person is watched.|{count} companies, brands and people are watched.",
    ),
    "companies.new": ("添加公司", "Add a company"),
    "companies.edit": ("编辑", "Edit"),
    "companies.edit.one": ("编辑 {name}", "Edit {name}"),
    "companies.found-by": ("匹配依据", "Found by"),
    "companies.name-alone": ("只按名称", "its name alone"),
    "companies.without": ("排除：{words}", "not in: {words}"),
    "companies.negative": ("负面 {count} 篇", "{count} negative"),
    "companies.disabled": ("已停用", "Switched off"),
    "companies.saved": (
        "已保存 {name}。正在后台匹配已有文章，几秒后数字会更新。",
        "{name} is saved. The documents that exist are matched in the background; the numbers follow in seconds.",
    ),
    "companies.saved.off": (
        "已保存 {name}。它已停用：保留已有文章，不再匹配。",
        "{name} is saved. It is switched off: it keeps what it has, and nothing is matched.",
    ),
    "companies.empty": ("还没有关注的公司", "No company is watched yet"),
    "companies.empty.do": (
        "添加第一家公司，输入时就能看到最近 30 天会匹配到哪些文章。",
        "Add the first one; while you type, you see what it would have found in the last 30 days.",
    ),
    "companies.viewer": ("您的密钥只能查看，请分析员来添加。", "Your key may only read; an analyst can add one."),
    "companies.name": ("名称", "Name"),
    "companies.name.hint": (
        "文章里怎么写就怎么填，2 到 60 个字。",
        "As articles write it, 2 to 60 characters.",
    ),
    "companies.aliases": ("别名", "Other names"),
    "companies.aliases.hint": (
        "简称、品牌、英文名、股票代码，用逗号或换行分开，如：苹果，iPhone，AAPL",
        "Short names, brands, tickers, separated by commas or lines, such as 苹果, iPhone, AAPL",
    ),
    "companies.exclude": ("排除词", "Exclude words"),
    "companies.exclude.hint": (
        "含有名称、但说的是别的东西的词，如“苹果”的排除词：苹果树，苹果醋",
        "Words that hold a name and mean something else: for 苹果 these are 苹果树, 苹果醋",
    ),
    "companies.query": ("布尔查询（可选）", "Boolean query (optional)"),
    "companies.query.hint": (
        "决定哪些文章与它有关：AND、OR、NOT、括号、引号、NEAR/20、600???.SH。留空则按名称匹配。",
        "Decides which documents are about it: AND, OR, NOT, parentheses, quotes, NEAR/20, 600???.SH. Empty: by its names.",
    ),
    "companies.enabled": ("继续关注", "Keep watching"),
    "companies.enabled.hint": (
        "停用后保留已有文章，不再匹配新文章。",
        "Switched off, it keeps what it has and gets nothing new.",
    ),
    "companies.watch": ("开始关注", "Start watching"),
    "list.comma": ("、", ", "),
    "preview": ("预览：最近 30 天", "Preview: the last 30 days"),
    "preview.waiting": ("输入名称，这里会显示它能匹配到的文章。", "Type a name, and what it would find appears here."),
    "preview.found": ("篇文章会匹配", "document would match|documents would match"),
    "preview.a-day": (
        "平均每天 {count} 篇。下面是最新的几篇和匹配到的词：",
        "About {count} a day. The latest, with the words that matched:",
    ),
    "preview.partly": (
        "只看了最新的 {count} 篇候选，实际更多。下面是最新的几篇和匹配到的词：",
        "Of the latest {count} candidates; there are more. The latest, with the words that matched:",
    ),
    "preview.nothing": (
        "最近 30 天没有匹配的文章；保存时还会匹配更早的文章。也可以试试别名，或放宽查询。",
        "Nothing matched in the last 30 days; older documents are matched, too, when it is saved. "
        "Or try other names, or a wider query.",
    ),
}
