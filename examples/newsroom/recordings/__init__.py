"""The two recordings, and the articles that carry them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Recording:
    """A recording and the text around it. The company is named in the speech alone, not on the page."""

    file: str
    path: str
    """Its address on the medium."""
    content_type: str
    company: str
    """The watched company that the speech is about."""
    medium: Literal["finance", "portal"]
    channel: str
    title: str
    paragraphs: tuple[str, ...]

    def spoken_text(self) -> str:
        """What is said, as it was given to the synthesiser."""
        return (FOLDER / self.file).with_suffix(".txt").read_text(encoding="utf-8").strip()


RECORDINGS = (
    Recording(
        file="morning-bulletin.mp3",
        path="/audio/morning-bulletin.mp3",
        content_type="audio/mpeg",
        company="华为",
        medium="finance",
        channel="company",
        title="早间播报：半分钟听完昨天的公司新闻",
        paragraphs=(
            "每个工作日早上七点半，本网编辑部把前一天最受关注的公司新闻读给您听，时长不到一分钟，适合在洗漱和通勤路上收听。",
            "今天这一期说的是昨天下午在深圳举行的一场新品发布会：新手机有哪些变化，到场的用户怎么评价，价格又为什么引起了一些议论。"
            "完整内容请点击下方的播放按钮收听，也可以把音频下载到手机上离线播放。",
            "如果您对节目有意见和建议，或者希望我们关注某个行业的消息，欢迎在页面下方留言，我们会在周末的答读者问节目里选读其中的一部分。",
            "本节目为演示网站制作，语音由程序合成，内容纯属虚构。",
        ),
    ),
    Recording(
        file="evening-report.mp4",
        path="/video/evening-report.mp4",
        content_type="video/mp4",
        company="京东",
        medium="portal",
        channel="society",
        title="晚间视频报道：连日暴雨之后，快递什么时候能送到",
        paragraphs=(
            "入春以来，南方多个城市连日暴雨，部分道路积水，不少居民发现自己几天前下的订单迟迟没有送到，药品、奶粉和生鲜食品的配送尤其让人着急。",
            "记者走访了几处配送站点，看到快递员冒雨分拣包裹，一些小区门口摆满了等待领取的箱子。站点负责人介绍，他们正在调整路线，"
            "先送急需的物品，其余的包裹会在天气好转之后尽快送完。",
            "企业方面如何回应，延误造成的损失由谁承担，请看今天的晚间视频报道，时长约半分钟。",
            "本节目为演示网站制作，语音由程序合成，内容纯属虚构。",
        ),
    ),
)
