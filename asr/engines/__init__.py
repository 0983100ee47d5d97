"""The programs that run Whisper: one protocol, chosen by YUQING_ASR__ENGINE."""
