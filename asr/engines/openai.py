"""openai-whisper (PyTorch): the reference, to compare with. Its package is the extra `asr-reference`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.audio import SAMPLE_RATE
from asr.engines.checkpoint import alignment_heads, as_checkpoint
from asr.engines.engine import Decoding, Samples, Spans, SpeechModelError, SpokenSegment, SpokenWord
from yuqing.settings import Settings

_HOP = 160  # samples a frame of the spectrogram


@dataclass(frozen=True)
class OpenAIWhisper:
    """A PyTorch model. `half`: computes in 16 bits, on a GPU only."""

    model: Any
    half: bool
    at_once: int = 1  # it keeps what it decodes in the model itself

    @classmethod
    def load(cls, place: Path, settings: Settings) -> "OpenAIWhisper":
        """Load a .pt file as openai-whisper distributes them, or a folder with CTranslate2 weights, which are converted once
        into the cache. int8 is CTranslate2's and counts as the widest that the device is fast in. Raises SpeechModelError.
        """
        try:
            import torch
            import whisper
        except ImportError as error:
            raise SpeechModelError(
                f"the engine openai-whisper is not installed: {error}",
                cure="pip install 'yuqing[asr-reference]', or YUQING_ASR__ENGINE=faster-whisper",
            ) from None
        chosen = settings.asr
        device = "cuda" if chosen.device == "auto" and torch.cuda.is_available() else chosen.device
        device = "cpu" if device == "auto" else device
        if chosen.threads:
            torch.set_num_threads(chosen.threads)
        try:
            file = as_checkpoint(place, settings.cache / "openai-whisper") if place.is_dir() else place
            model = whisper.load_model(str(file), device=device)
        except (RuntimeError, OSError, KeyError, ValueError, AssertionError) as error:
            raise SpeechModelError(
                f"the speech model {place} cannot be loaded by openai-whisper: {error}",
                cure="check YUQING_ASR__MODEL and YUQING_ASR__DEVICE",
            ) from None
        if place.is_dir() and (heads := alignment_heads(place)):
            mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
            for layer, head in heads:
                mask[layer, head] = True
            model.register_buffer("alignment_heads", mask.to_sparse().to(device), persistent=False)
        return cls(model, half=device == "cuda" and chosen.compute_type != "float32")

    def listen(self, samples: Samples, clips: Spans, decoding: Decoding) -> Iterator[SpokenSegment]:
        """See Engine. It has no hot words, so these begin the prompt, which is then shown with every half-minute; and it
        decodes one half-minute after the other whatever the batch size.
        """
        prompt = " ".join(part for part in (decoding.hot_words, decoding.prompt) if part)
        # It turns for ever on a clip that ends after the last frame.
        frames = len(samples) // _HOP
        moments = [
            min(int(moment * SAMPLE_RATE) // _HOP, frames) * _HOP / SAMPLE_RATE for clip in clips for moment in clip
        ]
        found = self.model.transcribe(
            samples,
            language=decoding.language,
            beam_size=decoding.beam_size,
            temperature=0.0,
            initial_prompt=prompt or None,
            carry_initial_prompt=bool(decoding.hot_words),
            word_timestamps=decoding.word_times,
            clip_timestamps=moments,
            no_speech_threshold=None,
            logprob_threshold=None,
            compression_ratio_threshold=None,
            fp16=self.half,
        )
        for segment in found["segments"]:
            if not segment["text"].strip():
                continue
            yield SpokenSegment(
                start_s=float(segment["start"]),
                end_s=float(segment["end"]),
                text=segment["text"],
                words=tuple(
                    SpokenWord(float(word["start"]), float(word["end"]), word["word"], float(word["probability"]))
                    for word in segment.get("words", ())
                ),
                no_speech_probability=float(segment["no_speech_prob"]),
                mean_log_probability=float(segment["avg_logprob"]),
                compression_ratio=float(segment["compression_ratio"]),
                language=found["language"],
            )

    def encode(self, samples: Samples) -> NDArray[np.float32]:
        """See Engine."""
        import torch
        from whisper.audio import log_mel_spectrogram, pad_or_trim

        spectrum = log_mel_spectrogram(pad_or_trim(samples), self.model.dims.n_mels).to(self.model.device)
        with torch.no_grad():
            encoded = self.model.embed_audio((spectrum.half() if self.half else spectrum).unsqueeze(0))
        return np.asarray(encoded[0].float().cpu().numpy(), dtype=np.float32)
