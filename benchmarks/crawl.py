"""Pages per CPU-second of the crawler against bare Scrapy: the same pages, the same machine, the same run.

    python benchmarks/crawl.py [--pages N] [--rounds R]

Prints one JSON line: {"pages", "rounds", "pages_per_cpu_s", "bare_scrapy_pages_per_cpu_s", "ratio_to_bare_scrapy", "ratios",
"peak_mib", "mib_at_quarter", "mib_at_half", "mib_at_three_quarters", "mib_at_end", "growth_mib"}.
The two take turns, R times, and each figure is the median of its rounds; the ratio is the median of the rounds' ratios, which
`ratios` lists. Memory is that of the last round. CPU seconds are those (user and system) of the crawling process alone, less
those of a crawl of no pages, so that neither start-up nor the web server counts. The crawler runs with everything on:
robots.txt, seen URLs, header sets, limits, batches on a real S3. Bare Scrapy follows the same links with the same concurrency,
reads each page's text and keeps nothing.

Memory is the crawling process's resident set, sampled ten times a second; growth is that from a quarter of the run's time to
its end. What may grow is what a run must remember of each address, some 200 bytes: that it was asked for and is settled (two
Python integers in sets) and its hash in the open batch. 20,000 pages are 4 MiB.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import yaml

from yuqing import telemetry
from yuqing.embedded import services
from yuqing.embedded.supervisor import Supervisor
from yuqing.identity import new_ulid
from yuqing.settings import load_settings

ROOT = Path(__file__).parents[1]
CONCURRENCY = 8
LINKS = 100  # of a page of the list; a queue of all articles would hide what grows behind what shrinks
BARE = """
import sys
from scrapy import Request, Spider
from scrapy.crawler import CrawlerProcess

class Bare(Spider):
    name = "bare"
    read = 0
    async def start(self):
        yield Request(sys.argv[1], callback=self.parse_hub)
    def parse_hub(self, response):
        for link in response.css("ul a::attr(href)").getall():
            yield response.follow(link, callback=self.parse_page)
        for link in response.css("a.next::attr(href)").getall():
            yield response.follow(link, callback=self.parse_hub, priority=-1)
    def parse_page(self, response):
        Bare.read += 1
        yield {"url": response.url, "body": response.text}

process = CrawlerProcess({"LOG_ENABLED": False, "TELNETCONSOLE_ENABLED": False, "CONCURRENT_REQUESTS": 16,
                          "CONCURRENT_REQUESTS_PER_DOMAIN": int(sys.argv[2])})
process.crawl(Bare)
process.start()
print(Bare.read)
"""


def pages(count: int) -> dict[str, bytes]:
    """Articles of about 12 KB, a third of it text, as news pages have, and the pages of a list that link to them."""
    chance = random.Random(20_26)
    letters = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生"
    furniture = "".join(f'<li class="item"><a href="/x/{number}.html">导航{number}</a></li>' for number in range(120))
    found = {}
    for number in range(count):
        text = "".join(f"<p>{''.join(chance.choices(letters, k=90))}。</p>" for _ in range(14))
        found[f"/a/{number}.html"] = (
            f'<html><head><meta charset="utf-8"><title>{number}</title></head><body><ul>{furniture}</ul>'
            f"<article><h1>标题{number}</h1>{text}</article><ul>{furniture}</ul></body></html>"
        ).encode()
    paths = list(found)
    for first in range(0, count, LINKS):
        links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in paths[first : first + LINKS])
        following = f'<a class="next" href="/list/{first // LINKS + 1}">下一页</a>' if first + LINKS < count else ""
        found[f"/list/{first // LINKS}"] = f"<html><body><ul>{links}</ul>{following}</body></html>".encode()
    found["/empty"] = b"<html></html>"
    return found


def serve(contents: dict[str, bytes]) -> str:
    """Serve the pages in a child process; returns the address. The child ends with this process."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = contents.get(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        os.write(writer, str(server.server_port).encode())
        os.close(writer)
        parent = os.getppid()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while os.getppid() == parent:
            threading.Event().wait(0.5)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return f"http://127.0.0.1:{pipe.read()}"


@dataclass
class Cost:
    """What a command took: CPU seconds (user and system), peak memory, and its memory in time (MiB); what it printed."""

    seconds: float
    peak: float
    memory: list[float]
    printed: str

    def mib_at(self, share: float) -> float:
        """Resident memory at a share of the run's time: the median of a few samples around it."""
        middle = round(share * (len(self.memory) - 1))
        return median(self.memory[max(0, middle - 5) : middle + 6])


def cost(command: list[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end."""
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    memory: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        statm = Path(f"/proc/{process.pid}/statm")
        while not ended.wait(0.1):
            try:
                memory.append(int(statm.read_text().split()[1]) * page)
            except (OSError, IndexError):  # it has ended
                return

    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output)
        sampler = threading.Thread(target=sample)
        sampler.start()
        # Its peak is that of the samples: what wait4 tells begins with the memory of this process, which it is forked from.
        _, status, usage = os.wait4(process.pid, 0)
        ended.set()
        sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().decode()
    if process.returncode:
        raise SystemExit(f"{command[:4]} ended with status {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, max(memory, default=0.0), memory, printed)


def crawl(folder: Path, address: str, hub: str, environment: dict[str, str]) -> tuple[Cost, int]:
    """One crawl of ours, with nothing seen before: what it took, and the new pages."""
    site = {
        "name": "local", "title": "local", "articles": [r"http://127\.0\.0\.1:\d+/a/\d+"],
        "lists": [{"url": address + hub, "links": "ul", "next": "a.next", "pages": 1000}],
        "delay": 0, "concurrency": CONCURRENCY, "allow_private_addresses": True,
        "limits": {"pages": 10**6, "pages_per_pattern": 10**6, "depth": 10**4},
    }  # fmt: skip
    (folder / "local.yaml").write_text(yaml.safe_dump(site))
    prefix = {"YUQING_S3__PREFIX": f"benchmark-{new_ulid().lower()}", "YUQING_CRAWLER__SITES_FOLDERS": f'["{folder}"]'}
    command = [sys.executable, "-m", "yuqing", "crawl", "local", "--json"]
    taken = cost(command, {**environment, **prefix})
    return taken, json.loads(taken.printed)["crawled"]


def bare(folder: Path, address: str, hub: str) -> tuple[float, int]:
    """One crawl of bare Scrapy: (CPU seconds, pages)."""
    script = folder / "bare.py"  # a file, because Scrapy reads the source of its callbacks
    script.write_text(BARE)
    taken = cost([sys.executable, str(script), address + hub, str(CONCURRENCY)], dict(os.environ))
    return taken.seconds, int(taken.printed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    count = asked.pages
    telemetry.configure(stage="benchmark")
    address = serve(pages(count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "state").mkdir()
        planned = services.plan(load_settings(data_dir=folder / "state"), ["s3"])
        supervisor = Supervisor(planned.services, folder / "logs", 20, None)
        supervisor.start()
        try:
            supervisor.wait_until_ready()
            s3 = planned.addresses["s3"]
            environment = {
                **os.environ,
                "YUQING_DATA_DIR": str(folder / "state"),
                **{f"YUQING_S3__{key.upper()}": s3[key] for key in ("endpoint", "access_key", "secret_key")},
            }
            ours, theirs = [], []
            for _ in range(asked.rounds):
                bare_idle, _ = bare(folder, address, "/empty")
                bare_seconds, bare_brought = bare(folder, address, "/list/0")
                idle, _ = crawl(folder, address, "/empty", environment)
                taken, brought = crawl(folder, address, "/list/0", environment)
                if brought != count or bare_brought != count:
                    raise SystemExit(f"{count} pages were served, {brought} crawled and {bare_brought} by bare Scrapy")
                ours.append(count / (taken.seconds - idle.seconds))
                theirs.append(count / (bare_seconds - bare_idle))
        finally:
            supervisor.stop()
    ratios = [ours_once / theirs_once for ours_once, theirs_once in zip(ours, theirs, strict=True)]
    figures = {
        "pages": count,
        "rounds": asked.rounds,
        "pages_per_cpu_s": round(median(ours), 1),
        "bare_scrapy_pages_per_cpu_s": round(median(theirs), 1),
        "ratio_to_bare_scrapy": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "peak_mib": round(taken.peak),
        "mib_at_quarter": round(taken.mib_at(0.25), 1),
        "mib_at_half": round(taken.mib_at(0.5), 1),
        "mib_at_three_quarters": round(taken.mib_at(0.75), 1),
        "mib_at_end": round(taken.mib_at(1), 1),
        "growth_mib": round(taken.mib_at(1) - taken.mib_at(0.25), 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
