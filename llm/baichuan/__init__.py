"""Baichuan-7B and Baichuan2-7B checkpoints, and LoRA adapters trained on them, in the layout of LLaMA."""

from yuqing.errors import YuqingError


class ConversionError(YuqingError):
    """A checkpoint or an adapter cannot be converted: it is another model's, damaged, or not whole."""
