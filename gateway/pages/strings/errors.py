"""Errors: what happened and what to do."""

STRINGS: dict[str, tuple[str, str]] = {
    "error.request": ("请求编号", "Request id"),
    "error.home": ("回到首页", "Back to the start"),
    "error.404": ("没有找到", "Not found"),
    "error.404.do": (
        "它不存在，或者不属于您的团队。",
        "It does not exist, or does not belong to your team.",
    ),
    "error.403": ("没有权限", "Not allowed"),
    "error.409": ("有冲突", "There is a conflict"),
    "error.412": ("别人刚刚改过", "Somebody else has changed it"),
    "error.412.do": (
        "返回上一页并刷新，看过新内容后再改一次。",
        "Go back, reload, look at the change, and make yours again.",
    ),
    "error.422": ("请求有误", "The request is not valid"),
    "error.503": ("服务暂时不可用", "Temporarily away"),
    "error.503.do": (
        "数据库或存储暂时没有响应，恢复后刷新即可。",
        "A database or store does not answer. Reload when it is back.",
    ),
    "error.other": ("出错了", "Something went wrong"),
    "error.other.do": ("请记下请求编号并告诉管理员。", "Note the request id and tell an operator."),
}
