"""One raw document to one article: the steps of the folder in the order of the data, without Spark."""

from dataclasses import dataclass

from cleaning import extract, images, metadata
from cleaning.decode import repair
from cleaning.language import language
from cleaning.quality import reason_to_drop
from cleaning.repeated import without_lines
from yuqing.contracts import Article, ImageReference, RawDocument, TimedSpan
from yuqing.errors import YuqingError
from yuqing.identity import content_hash, doc_id
from yuqing.settings import CleaningSettings
from yuqing.text.mask import mask
from yuqing.text.normalise import normalise

# Goes into every article's lineage; raise it when a step changes what comes out.
CLEANING_VERSION = "4"

_LINES_BEFORE_TEXT = 5  # further down a line that equals the title is a heading of the article
_LONGEST_LINE_BEFORE_TEXT = 60  # a longer one above it is the article's lead


class Unusable(YuqingError):
    """A document that cannot become an article; the message is the reason that quarantine keeps."""


@dataclass(frozen=True)
class Draft:
    """A document with its normalised title and text, and what it says of itself; not yet judged."""

    document: RawDocument
    title: str
    text: str
    found: metadata.Metadata
    segments: tuple[TimedSpan, ...] = ()
    link_share: float = 0.0
    images: tuple[ImageReference, ...] = ()


def clean(document: RawDocument, batch: str, settings: CleaningSettings) -> Article:
    """Extract, describe, normalise, judge and mask a document by itself. Raises Unusable with the reason."""
    return finish(draft(document), batch, settings)


def draft(document: RawDocument) -> Draft:
    """Extract, describe and normalise. The body is read and let go. Raises Unusable with the reason."""
    if document.http_status >= 400:
        raise Unusable(f"the server answered {document.http_status}")
    if document.kind == "transcript":
        return _from_transcript(document)
    body = repair(document.body)
    if not body.strip():
        raise Unusable("the body is empty")
    try:
        page = extract.read(body)
        found = metadata.read(
            page,
            hint_title=document.title,
            hint_author=document.author,
            hint_published_at=document.published_at,
            fetched_at=document.fetched_at,
        )
        text, pictures = _text(document, page, body)
    except ValueError as error:
        raise Unusable(str(error)) from None
    title = one_line(found.title)
    text = without_title(normalise(text).text, title)
    links = 0.0 if document.text_selector else extract.link_share(page)
    shown = images.references(pictures, images.base_address(page.tree, document.url)) if pictures else ()
    return Draft(document.model_copy(update={"body": ""}), title, text, found, link_share=links, images=shown)


def _text(document: RawDocument, page: extract.Page, body: str) -> tuple[str, list[images.Picture]]:
    if document.kind == "feed_entry":  # the text itself, without a page around it
        return extract.tidy(page.blocks), page.pictures
    # A redesign outdates a selector; then the page is judged as any other.
    selected = extract.selected(page, document.text_selector) if document.text_selector else None
    if selected and (text := extract.tidy(selected.blocks)):
        return text, extract.article_pictures(selected)
    return extract.main_text(page, body), extract.article_pictures(page)


def _from_transcript(document: RawDocument) -> Draft:
    """Speech needs no extraction; each segment becomes a line, and keeps its seconds."""
    if not document.segments:
        text = normalise(repair(document.body)).text
        spans: list[TimedSpan] = []
    else:
        lines: list[str] = []
        spans = []
        position = 0
        for segment in document.segments:
            if line := one_line(segment.text):
                lines.append(line)
                spans.append(
                    TimedSpan(start=position, end=position + len(line), start_s=segment.start, end_s=segment.end)
                )
                position += len(line) + 1
        text = "\n".join(lines)
    found = metadata.Metadata(document.title or "", document.published_at, document.author, None)
    return Draft(document.model_copy(update={"body": ""}), one_line(found.title), text, found, tuple(spans))


def finish(
    drafted: Draft, batch: str, settings: CleaningSettings, lines_of_site: frozenset[str] = frozenset()
) -> Article:
    """Drop the site's lines, judge and mask. Raises Unusable with the reason."""
    document, title, found = drafted.document, drafted.title, drafted.found
    # A transcript's spans point into its text.
    text = drafted.text if document.kind == "transcript" else without_lines(drafted.text, lines_of_site)
    if reason := reason_to_drop(title, text, settings, drafted.link_share):
        raise Unusable(reason)
    hidden = [mask(part) for part in (title, text, one_line(found.author or ""))]
    title, text, author = (part.text for part in hidden)
    captions = [mask(one_line(image.alt)) for image in drafted.images]
    recording = document.media[0].sha256 if document.kind == "transcript" and document.media else None
    return Article(
        doc_id=doc_id(document.kind, document.canonical_url, recording),
        # What an analysis sees is title and text: a change of either is a new version.
        content_hash=content_hash(f"{title}\n{text}"),
        kind=document.kind,
        site=document.site,
        url=document.url,
        canonical_url=document.canonical_url,
        title=title,
        text=text,
        published_at=found.published_at,
        fetched_at=document.fetched_at,
        author=author or None,
        source=one_line(found.source or "") or None,
        language=language(text),
        media=document.media,
        images=tuple(
            image.model_copy(update={"alt": caption.text})
            for image, caption in zip(drafted.images, captions, strict=True)
        ),
        segments=drafted.segments,
        parent_url=document.parent_url,
        batch=batch,
        cleaning_version=CLEANING_VERSION,
        masked=sum(part.counts.total() for part in (*hidden, *captions)),
    )


def one_line(text: str) -> str:
    """A normalised text without line breaks."""
    return normalise(text).text.replace("\n", " ")


def without_title(text: str, title: str) -> str:
    """What follows the title, where a page repeats it above the text (with the site's path before it, at times)."""
    lines = text.split("\n")
    above = lines[:_LINES_BEFORE_TEXT]
    if title and title in above and all(len(line) <= _LONGEST_LINE_BEFORE_TEXT for line in above[: above.index(title)]):
        return "\n".join(lines[lines.index(title) + 1 :]) or text
    return text
