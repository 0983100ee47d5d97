"""The tables. Keys come from yuqing.identity; every derived row carries its lineage."""

from yuqing.database.models.access import ApiKey, AuditEntry, IdempotentRequest, RateLimit, SavedSearch
from yuqing.database.models.analyses import Correction, DocumentAnalysisRow, VerdictRow
from yuqing.database.models.base import Base
from yuqing.database.models.coverage import Coverage, CoverageCount
from yuqing.database.models.documents import (
    Document,
    DocumentVersion,
    MentionRow,
    ReprintGroup,
    Signature,
    StagedArticle,
)
from yuqing.database.models.pipeline import AnalysisBatch, AnalysisItem, CrawlRun, Event, LedgerRow
from yuqing.database.models.recordings import DocumentMedia, Media, TranscriptRow, Upload
from yuqing.database.models.watchlist import Company, Team

__all__ = [
    "AnalysisBatch",
    "AnalysisItem",
    "ApiKey",
    "AuditEntry",
    "Base",
    "Company",
    "Correction",
    "Coverage",
    "CoverageCount",
    "CrawlRun",
    "Document",
    "DocumentAnalysisRow",
    "DocumentMedia",
    "DocumentVersion",
    "Event",
    "IdempotentRequest",
    "LedgerRow",
    "Media",
    "MentionRow",
    "RateLimit",
    "ReprintGroup",
    "SavedSearch",
    "Signature",
    "StagedArticle",
    "Team",
    "TranscriptRow",
    "Upload",
    "VerdictRow",
]
