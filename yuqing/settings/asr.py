"""The Whisper worker's settings."""

from typing import Literal

from pydantic import Field

from yuqing.settings.section import Section


class ASRSettings(Section):
    """Speech recognition. The defaults were measured with the base weights on Mandarin news (docs/asr.md)."""

    engine: Literal["faster-whisper", "openai-whisper"] = Field(
        "faster-whisper", description="openai-whisper is the reference to compare with: slower, twice the memory"
    )
    model: str = Field(
        "whisper-base",
        description="a name of `yuqing models list`, or a folder with CTranslate2 weights; openai-whisper: also a .pt file",
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$")
    compute_type: str = Field(
        "int8",
        description="CTranslate2's: int8 on a CPU (float32: no fewer errors measured, half as much time again), float16 on a GPU",
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0: all cores")
    beam_size: int = Field(5, ge=1, description="1 makes a quarter more errors than 5")
    batch_size: int = Field(
        1,
        ge=1,
        description="half-minutes decoded at once, each without the one before: CER .079 for .059; on two cores no faster",
    )
    parallel_parts: int = Field(
        2,
        ge=1,
        description="parts of a window that are listened to side by side, each with its share of the threads; a part does not "
        "know what was said in the one before",
    )
    correct_names: bool = Field(
        True, description="what sounds like a watched company's name, and the model was not sure of, becomes that name"
    )
    hot_words: bool = Field(False, description="watched companies' names are shown to the model with every half-minute")
    numbers: Literal["heard", "spoken", "written"] = Field(
        "heard", description="as the model wrote them, all in characters (百分之三), or in digits (3%)"
    )
    word_times: bool = Field(True, description="seconds and probability of each word")
    language: str | None = Field("zh", description="the language spoken; empty: found from the sound")
    prompt: str = Field(
        "以下是普通话的句子。", description="makes the model write punctuation, on which sentences depend"
    )
    limit_bytes: int = Field(
        4 * 2**30, ge=2**10, description="larger files are refused: hours of video have 1 to 3 GiB"
    )
    limit_s: float = Field(6 * 3600, gt=0, description="longer recordings are refused, whatever their container claims")
    window_s: float = Field(300, ge=30, description="audio held in memory at once; cut where it is quietest")
    voice_threshold: float = Field(0.3, gt=0, lt=1, description="Silero's probability from which a sound is a voice")
    pause_s: float = Field(3, ge=0, description="longer stretches without a voice are not shown to the model")
    unheard_s: float = Field(
        3,
        ge=1,
        description="a stretch with a voice for which the model wrote nothing is listened to again from here on",
    )
    voice_share: float = Field(0.1, ge=0, le=1, description="a segment with less voice in it was invented")
    loop_repeats: int = Field(5, ge=3, description="the same words so often in a row are a loop of the decoder")
    no_speech_probability: float = Field(0.6, ge=0, le=1, description="above it, and below the next, nobody spoke")
    mean_log_probability: float = Field(-1.0, le=0, description="of a segment's tokens; Whisper's own threshold")
    compression_ratio: float = Field(2.4, gt=1, description="text that zlib shrinks further is a loop; Whisper's own")
