"""How much a medium counts: the `weight` of the site files that the crawler works by."""

from pathlib import Path

from yuqing.errors import YuqingError
from yuqing.settings import Settings
from yuqing.site_files import load_sites
from yuqing.telemetry import get_logger

log = get_logger("gateway")

# Where the crawler's own definitions lie in this repository; an image without them weighs all media alike.
SHIPPED = Path(__file__).parents[1] / "crawler" / "sites"
ORDINARY = 1.0


def media_weights(settings: Settings) -> dict[str, float]:
    """Site -> weight, 1.0 being an ordinary medium. Files that cannot be read are said in the log, and weigh nothing."""
    folders = [folder for folder in settings.crawler.sites_folders or (SHIPPED,) if folder.is_dir()]
    try:
        return {name: site.weight for name, site in load_sites(folders).items()}
    except YuqingError as error:
        log.warning("the site files cannot be read; all media count alike", reason=error.message)
        return {}
