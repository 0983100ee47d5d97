"""The kernel that every stage of yuqing (舆情) stands on."""

__version__ = "0.1.0"
