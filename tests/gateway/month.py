"""Six weeks of a made-up press about the companies of rows.COMPANIES: what an analyst's screen looks like on a working day."""

import random
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from tests.gateway import rows
from tests.gateway.rows import Judgement, Story

MEDIA = (
    ("chenbao", "晨报"),
    ("caijing", "财经在线"),
    ("xibu", "西部新闻网"),
    ("dushi", "都市快讯"),
    ("keji", "科技观察"),
    ("nanfang", "南方商报"),
    ("zhengquan", "证券时讯"),
    ("jiangnan", "江南日报"),
)
CITIES = ("江州", "临海", "云城", "北湾", "石原", "青浦", "南山", "河口")
PEOPLE = ("程一苇", "许嘉禾", "陆川", "沈知微", "何远山", "苏明月")


@dataclass(frozen=True)
class Subject:
    """What is written about a company: {n} is a number, {city} a city; `quote` stands in the text and proves the verdict."""

    company: str
    title: str
    quote: str
    more: str
    sentiment: str
    risk: int = 0
    types: tuple[str, ...] = ()
    category: str = "新闻报道"
    keywords: tuple[str, ...] = ()
    weight: float = 1.0


SUBJECTS = (
    Subject(
        "星河汽车",
        "星河汽车{city}工厂投产，年产能{n}万辆",
        "星河汽车{city}工厂正式投产，规划年产能{n}万辆。",
        "工厂采用一体化压铸，预计带动当地就业三千人。首批下线的是中型轿车S7的改款。",
        "positive",
        keywords=("投产", "产能", "新能源"),
    ),
    Subject(
        "星河汽车",
        "星河汽车十月交付{n}千辆，环比基本持平",
        "星河汽车十月交付{n}千辆，与上月基本持平。",
        "公司表示，四季度交付目标不变。渠道人士称，门店客流较上月略有回升。",
        "neutral",
        category="公司公告",
        keywords=("交付", "销量"),
        weight=1.6,
    ),
    Subject(
        "星河汽车",
        "{city}车主投诉星河S7快充降速，门店称等待通知",
        "多名{city}车主投诉，星河汽车S7快充功率从上周起被限制到原来的一半。",
        "门店答复说还在等总部通知。律师认为，未经同意改变车辆性能可能侵犯消费者知情权。",
        "negative",
        2,
        ("产品质量", "舆论危机"),
        keywords=("快充", "投诉", "车主"),
    ),
    Subject(
        "星河汽车",
        "星河汽车被指延迟兑付经销商返利，涉及{n}家门店",
        "{n}家经销商联名致函星河汽车，称二季度返利至今没有到账。",
        "星河汽车回应说正在核对账目。业内人士认为，渠道资金紧张值得留意。",
        "negative",
        2,
        ("财务",),
        keywords=("经销商", "返利"),
    ),
    Subject(
        "星河汽车",
        "评论：新能源车企的价格战没有赢家",
        "星河汽车等企业把价格压到成本线附近，服务投入却在减少。",
        "价格战短期拉动销量，长期透支的是品牌。行业需要新的竞争方式。",
        "negative",
        1,
        ("市场竞争",),
        "评论",
        ("价格战", "新能源"),
    ),
    Subject(
        "澜山银行",
        "澜山银行发布{city}普惠金融报告，小微贷款增{n}%",
        "澜山银行小微企业贷款余额同比增长{n}%，平均利率继续下降。",
        "报告显示，首贷户占比提高到三成。行长周以宁说，明年将把审批时间压缩到一天。",
        "positive",
        category="财务报告",
        keywords=("普惠金融", "小微贷款"),
    ),
    Subject(
        "澜山银行",
        "澜山银行调整{city}网点布局",
        "澜山银行将撤并{city}的{n}个网点，业务就近转移。",
        "银行表示，撤并网点的客户可在一公里内找到替代网点，自助设备继续保留。",
        "neutral",
        category="公司公告",
        keywords=("网点",),
        weight=1.3,
    ),
    Subject(
        "澜山银行",
        "澜山银行{city}分行因贷款三查不尽职被罚{n}万元",
        "澜山银行{city}分行因贷款三查不尽职，被处以罚款{n}万元。",
        "监管部门同时对两名责任人给予警告。澜山银行表示接受处罚，已完成整改。",
        "negative",
        2,
        ("法律合规",),
        keywords=("处罚", "监管"),
    ),
    Subject(
        "澜山银行",
        "手机银行一度无法登录，澜山银行致歉",
        "澜山银行手机银行今天上午约{n}分钟无法登录，部分客户转账失败。",
        "银行解释为系统升级后的配置问题，已全部恢复，重复扣款将在两个工作日内退回。",
        "negative",
        2,
        ("舆论危机",),
        keywords=("手机银行", "故障"),
    ),
    Subject(
        "澜山银行",
        "分析师：澜山银行息差企稳，维持增持",
        "我们认为澜山银行净息差已经企稳，资产质量好于同业。",
        "预计全年净利润增长{n}%，维持增持评级。风险在于地产敞口。",
        "positive",
        category="分析师报告",
        keywords=("净息差", "评级"),
    ),
    Subject(
        "青禾乳业",
        "青禾乳业推出低乳糖新品，主打{city}市场",
        "青禾乳业推出三款低乳糖牛奶，首批在{city}的{n}家门店上架。",
        "公司说新品采用酶解工艺。市场人士认为细分品类竞争正在加剧。",
        "neutral",
        keywords=("新品", "低乳糖"),
        weight=1.4,
    ),
    Subject(
        "青禾乳业",
        "抽检{n}批次乳制品，青禾乳业全部合格",
        "本次抽检的青禾乳业{n}批次产品全部合格。",
        "监管部门公布了抽检结果，涉及菌落总数、蛋白质等指标。",
        "positive",
        keywords=("抽检", "食品安全"),
    ),
    Subject(
        "青禾乳业",
        "消费者称青禾酸奶有异物，企业介入调查",
        "{city}一名消费者称，在青禾乳业的酸奶里发现塑料碎片。",
        "青禾乳业表示已经封存同批次产品，并邀请第三方检测，结果将在{n}天内公布。",
        "negative",
        3,
        ("产品质量", "舆论危机"),
        keywords=("异物", "酸奶"),
    ),
    Subject(
        "青禾乳业",
        "青禾乳业牧场粪污处理不当被通报",
        "青禾乳业{city}牧场的粪污没有按规定贮存，被责令{n}日内整改。",
        "当地生态环境部门已立案。公司表示将改造贮存设施。",
        "negative",
        2,
        ("法律合规",),
        keywords=("环保", "牧场"),
    ),
    Subject(
        "云岭通信",
        "云岭通信在{city}开通第{n}座低空基站",
        "云岭通信在{city}开通第{n}座面向低空物流的基站。",
        "该基站可覆盖三百米以下空域，将服务无人机配送试点。",
        "positive",
        keywords=("低空", "基站"),
    ),
    Subject(
        "云岭通信",
        "云岭通信与{city}签署算力合作协议",
        "云岭通信将在{city}建设可容纳{n}千架机柜的算力中心。",
        "双方约定明年二季度开工，电力以绿电为主。",
        "neutral",
        category="公司公告",
        keywords=("算力", "合作"),
        weight=1.4,
    ),
    Subject(
        "云岭通信",
        "套餐难降？{city}用户质疑云岭通信设置门槛",
        "{city}用户反映，云岭通信的低价套餐只能到营业厅办理，线上没有入口。",
        "记者致电客服{n}次，得到三种答复。云岭通信称会优化流程。",
        "negative",
        1,
        ("舆论危机",),
        keywords=("套餐", "投诉"),
    ),
    Subject(
        "云岭通信",
        "云岭通信系统漏洞致{n}万条用户信息外泄",
        "安全研究者披露，云岭通信一个测试接口没有鉴权，约{n}万条用户信息可被读取。",
        "公司已关闭接口并报告主管部门。专家建议用户留意诈骗电话。",
        "negative",
        4,
        ("数据泄露", "法律合规"),
        keywords=("数据泄露", "漏洞"),
        weight=0.5,
    ),
    Subject(
        "北辰航空",
        "北辰航空{city}航线客座率达{n}%",
        "北辰航空{city}航线开航满月，平均客座率达{n}%。",
        "公司计划从下月起每周增加两班。票价与去年同期相当。",
        "positive",
        keywords=("航线", "客座率"),
    ),
    Subject(
        "北辰航空",
        "北辰航空调整燃油附加费",
        "北辰航空宣布，下月起国内航线燃油附加费下调{n}元。",
        "已出票的旅客不受影响。多家航空公司此前作了同样调整。",
        "neutral",
        category="公司公告",
        keywords=("燃油附加费",),
        weight=1.5,
    ),
    Subject(
        "北辰航空",
        "航班延误{n}小时无人解释，北辰航空旅客滞留{city}",
        "北辰航空一架航班在{city}延误{n}小时，旅客称没有得到解释和餐食。",
        "公司致歉并承诺按规定补偿。民航部门已经介入了解。",
        "negative",
        2,
        ("舆论危机",),
        keywords=("延误", "旅客"),
    ),
    Subject(
        "北辰航空",
        "北辰航空飞行员工会就排班发出公开信",
        "工会称北辰航空的排班让飞行员连续{n}天没有完整休息。",
        "公司回应说排班符合规定，愿意与工会协商。",
        "negative",
        2,
        ("劳资", "安全事故"),
        keywords=("飞行员", "排班"),
    ),
)

RATES = {"星河汽车": 3.2, "澜山银行": 2.4, "青禾乳业": 1.5, "云岭通信": 1.9, "北辰航空": 1.3}


def _story(chance: random.Random, subject: Subject, hours_ago: float) -> Story:
    filled = {"n": chance.choice((3, 6, 8, 12, 15, 18, 21, 28, 36)), "city": chance.choice(CITIES)}
    site, source = chance.choice(MEDIA)
    title, quote = subject.title.format(**filled), subject.quote.format(**filled)
    person = chance.choice(PEOPLE)
    body = (
        f"{filled['city']}消息 {quote}\n\n{subject.more.format(**filled)}\n\n"
        f"记者{person}就此联系{subject.company}，截至发稿，对方表示会尽快公布进一步的信息。编号{chance.randrange(10**6):06}。"
    )
    verdict = Judgement(subject.sentiment, (quote,), subject.risk, subject.types, round(chance.uniform(0.62, 0.97), 2))
    return Story(
        title,
        body,
        site=site,
        source=source,
        hours_ago=hours_ago,
        category=subject.category,
        summary=quote[:58],
        sentiment=subject.sentiment,
        keywords=subject.keywords,
        verdicts={subject.company: verdict},
        author=person,
        url=f"https://{site}.example/{chance.randrange(10**9):09}.html",
    )


def _reprinted(chance: random.Random, story: Story, first: str, hours_ago: float) -> Story:
    site, source = chance.choice(MEDIA)
    text = story.text
    if chance.random() < 0.4:
        text = text.rsplit("\n\n", 1)[0]
    if chance.random() < 0.5:
        text += "\n\n声明：本文转载自其他媒体，不代表本网立场。"
    title = story.title if chance.random() < 0.6 else f"{story.title.split('，', maxsplit=1)[0]} 官方回应来了"
    return replace(
        story,
        title=title,
        text=text,
        site=site,
        source=source,
        hours_ago=hours_ago,
        reprint_of=first,
        url=f"https://{site}.example/{chance.randrange(10**9):09}.html",
    )


def add_month(connection: Connection, days: int = 42, seed: int = 11) -> int:
    """Write the stories for companies that exist (rows.add_press makes them); returns how many documents."""
    chance = random.Random(seed)
    written = 0
    for company, rate in RATES.items():
        subjects = [subject for subject in SUBJECTS if subject.company == company]
        for day in range(days):
            busy = 4.5 if company == "星河汽车" and day < 2 else 1.0
            weekend = 0.55 if (day % 7) in (2, 3) else 1.0
            for _ in range(round(chance.gammavariate(3, rate * busy * weekend / 3))):
                weights = [subject.weight * (2.2 if busy > 1 and subject.risk else 1) for subject in subjects]
                hours = day * 24 + chance.uniform(0.2, 23.8)
                story = _story(chance, chance.choices(subjects, weights)[0], hours)
                first = rows.add_story(connection, story)
                written += 1
                later = hours
                for _ in range(chance.choices((0, 1, 2, 5), (70, 15, 10, 5))[0]):
                    later -= chance.uniform(0.2, 5)
                    if later <= 0.1:
                        break
                    rows.add_story(connection, _reprinted(chance, story, first, later))
                    written += 1
    return written
