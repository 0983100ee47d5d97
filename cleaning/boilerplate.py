"""Lines inside an article's block that are the site's, not the article's: labels, disclaimers, share prompts, controls.

Each pattern is matched at the start of a line. Where its words could also begin a sentence of an article, the line has to be
short: labels up to LABEL_LENGTH characters after the colon, prompts up to PROMPT_LENGTH after the words.
"""

import re

LABEL_LENGTH = 60
PROMPT_LENGTH = 30

_OPENING = r"[\s\[【(（<《>》·•■●◆▲*—-]*"

_LABELS = (
    "责任?编辑?|网络?编辑|值班编辑|编辑|美编|校对|审核|审校|编审|监制|值班主任|终审|来源|稿源|文章来源|本文来源|作者|记者|原标题|原文链接|"
    "发布时间|时间|日期|发表于|字体|字号|浏览次数|点击次?数?|阅读次?数?|人气|标签|关键[词字]|Tags?"
)
_DISCLAIMERS = (
    "(?:免责|版权|特别|郑重)声明|声明[:：]|风险提示[:：]|版权所有|未经.{0,12}(?:授权|许可|允许).{0,30}(?:转载|使用|复制)|"
    "(?:转载|引用)请(?:注明|联系|保留)|"
    "(?:本文|以上内容|文章|本站).{0,20}(?:仅代表作者|仅供参考|不代表本[网站]|不构成投资建议|系作者个人观点)"
)
_PROMPTS = (
    "分享[到至给]|转发到|扫一扫|扫码|扫描.{0,6}二维码|长按.{0,6}(?:识别|二维码)|点击(?:图片|这里|进入|查看|关注|下载|上方|下方)|"
    "关注我们|微信扫|打开微信|(?:下载|打开).{0,8}(?:APP|客户端)|展开全文|阅读全文|海量资讯|欢迎关注|打印本?[页稿]|打印此|关闭窗口|收藏本[页文]|加入收藏|"
    "我要(?:评论|纠错|投稿|分享)|发表评论|查看评论|网友评论|返回(?:首页|顶部|列表|目录)|回到顶部|上一[篇页条]|下一[篇页条]|[上下]篇[:：]|"
    "当前位置|您的浏览器(?:版本过低|不支持)|您(?:现在)?的?位置|首页\\s*[>›»]"
)
_WHOLE = r"【?关闭】?|举报|纠错|评论|分享|收藏|打印|\[?\d+\]?\s*(?:下一页|尾页)"

_NOT_THE_ARTICLE = re.compile(
    f"{_OPENING}(?:(?:{_LABELS})\\s*[:：/].{{0,{LABEL_LENGTH}}}$|(?:{_DISCLAIMERS})|(?:{_PROMPTS}).{{0,{PROMPT_LENGTH}}}$|"
    f"(?:{_WHOLE})$)",
    re.IGNORECASE,
)
_DATE = r"\d{2,4}\s*[-/.年]\s*\d{1,2}(?:\s*[-/.月]\s*\d{1,2}\s*日?)?(?:\s*\d{1,2}[:：]\d{2}(?:[:：]\d{2})?)?"
# "2011年06月08日 09:15 来源：江城晚报 作者：陈立新", or a date alone.
_ATTRIBUTIONS = r"(?:来源|作者|记者|责编|编辑|浏览|阅读|点击|字[体号]|评论)\s*[:：(（]|(?:作者|来源|责编) "
_DATELINE = re.compile(
    f"(?=.{{0,100}}$).*{_DATE}.*(?:{_ATTRIBUTIONS})|{_OPENING}(?:(?:发布|发表|编辑|更新|修改)于\\s*)?{_DATE}\\s*$|.{{0,30}}版权所有.{{0,30}}$"
)
_END = re.compile(
    f"{_OPENING}(?:相关(?:阅读|新闻|报道|文章|链接|专题|推荐|资讯|内容)|延伸阅读|推荐(?:阅读|新闻)|热门(?:推荐|文章|新闻|评论)|猜你喜欢|"
    "更多(?:精彩|新闻|阅读)|精彩推荐|推荐文章|最新(?:评论|文章)|(?:网友|全部|相关|最新|热门)(?:评论|跟[帖贴])|(?:跟[帖贴]|评论)\\s*[(（]?\\d+|评论列表|今日热点|大家都在看|往期(?:回顾|精彩))"
    r"[\s\]】)）:：>》]*.{0,8}$|"
    rf"{_OPENING}(?:反?侵权|著作权|版权|免责|法律|转载)(?:声明|公告|说明|须知)[\s\]】)）:：]*$"
)
_EDITOR_AT_END = re.compile(r"[\s(（\[【]*(?:责任?编辑|责编|网络?编辑|编辑)\s*[:：]\s*[^，。,；;]{1,16}[)）\]】]?\s*$")


def is_boilerplate(line: str) -> bool:
    """Whether a line is the site's own."""
    return _NOT_THE_ARTICLE.match(line) is not None or _DATELINE.match(line) is not None


def ends_article(line: str) -> bool:
    """Whether a line is a heading under which other articles, or readers, have the word."""
    return _END.match(line) is not None


def without_editor(line: str) -> str:
    """A line without "（责任编辑：王芳）" at its end."""
    return _EDITOR_AT_END.sub("", line)
