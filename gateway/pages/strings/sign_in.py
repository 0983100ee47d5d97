"""The sign-in page."""

STRINGS: dict[str, tuple[str, str]] = {
    "sign-in": ("登录", "Sign in"),
    "sign-in.lead": (
        "媒体怎样谈论您关注的公司——有原文为证。",
        "What the media say about the companies you watch, with proof.",
    ),
    "sign-in.key": ("API 密钥", "API key"),
    "sign-in.wrong": ("这个密钥不存在、已过期或已被吊销。", "This key does not exist, has expired or was revoked."),
    "sign-in.help": (
        "还没有密钥？请向团队的管理员索取，或在服务器上运行：",
        "No key yet? Ask your team's administrator, or run on the server:",
    ),
    "sign-in.again": (
        "登录已过期，请重新登录，之后会回到刚才的页面。",
        "Your session has ended. Sign in again and you are back where you were.",
    ),
}
