"""Pages per CPU-second of the crawler against bare Scrapy: the same pages, the same machine, the same run.

    python benchmarks/crawl.py [--pages N]

Prints one JSON line: {"pages", "pages_per_cpu_s", "bare_scrapy_pages_per_cpu_s", "ratio_to_bare_scrapy", "peak_mib"}.
CPU seconds are those (user and system) of the crawling process alone, less those of a crawl of no pages, so that neither
start-up nor the web server counts. The crawler runs with everything on: robots.txt, seen URLs, header sets, batches on a
real S3. Bare Scrapy follows the same links with the same concurrency, reads each page's text and keeps nothing.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from yuqing import telemetry
from yuqing.embedded import services
from yuqing.embedded.supervisor import Supervisor
from yuqing.identity import new_ulid
from yuqing.settings import load_settings

ROOT = Path(__file__).parents[1]
CONCURRENCY = 8
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
        for link in response.css("a::attr(href)").getall():
            yield response.follow(link, callback=self.parse_page)
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
    """A hub and articles of about 12 KB, a third of it text, as news pages have."""
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
    found["/"] = "".join(f'<a href="{path}">{path}</a>' for path in found).encode()
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


def cost(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Run a command: (its CPU seconds, its peak memory in MiB, its standard output)."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().decode()
    if process.returncode:
        raise SystemExit(f"{command[:4]} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed


def crawl(folder: Path, address: str, hub: str, environment: dict[str, str]) -> tuple[float, float, int]:
    """One crawl of ours, with nothing seen before: (CPU seconds, peak MiB, new pages)."""
    site = {
        "name": "local", "title": "local", "start_urls": [address + hub], "articles": [r"http://127\.0\.0\.1:\d+/a/\d+"],
        "delay": 0, "concurrency": CONCURRENCY, "allow_private_addresses": True,
    }  # fmt: skip
    (folder / "local.yaml").write_text(yaml.safe_dump(site))
    prefix = {"YUQING_S3__PREFIX": f"benchmark-{new_ulid().lower()}", "YUQING_CRAWLER__SITES_FOLDERS": f'["{folder}"]'}
    command = [sys.executable, "-m", "yuqing", "crawl", "local", "--json"]
    seconds, peak, printed = cost(command, {**environment, **prefix})
    return seconds, peak, json.loads(printed)["crawled"]


def bare(folder: Path, address: str, hub: str) -> tuple[float, int]:
    """One crawl of bare Scrapy: (CPU seconds, pages)."""
    script = folder / "bare.py"  # a file, because Scrapy reads the source of its callbacks
    script.write_text(BARE)
    seconds, _, printed = cost([sys.executable, str(script), address + hub, str(CONCURRENCY)], dict(os.environ))
    return seconds, int(printed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pages", type=int, default=1000)
    count = parser.parse_args().pages
    telemetry.configure(stage="benchmark")
    address = serve(pages(count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "state").mkdir()
        bare_idle, _ = bare(folder, address, "/empty")
        bare_seconds, bare_brought = bare(folder, address, "/")
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
            idle, _, _ = crawl(folder, address, "/empty", environment)
            seconds, peak, brought = crawl(folder, address, "/", environment)
        finally:
            supervisor.stop()
    if brought != count or bare_brought != count:
        raise SystemExit(f"{count} pages were served, {brought} crawled and {bare_brought} by bare Scrapy")
    ours, theirs = count / (seconds - idle), count / (bare_seconds - bare_idle)
    figures = {
        "pages": count,
        "pages_per_cpu_s": round(ours, 1),
        "bare_scrapy_pages_per_cpu_s": round(theirs, 1),
        "ratio_to_bare_scrapy": round(ours / theirs, 3),
        "peak_mib": round(peak),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
