"""A failure of a job in one sentence for its user; the traceback is in the log."""

_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
_DEVICE = ("UNAVAILABLE", "DEVICE_LOST", "CUDA_ERROR", "device is lost", "hipError")


def in_words(kind: str, error: BaseException) -> str:
    """What went wrong and what can be done.

    Args:
      kind: of the job ("train", "simulate", …).
      error: that ended it.
    """
    text = str(error)
    if isinstance(error, MemoryError) or any(word in text for word in _MEMORY):
        return (
            f"the {kind} job ran out of memory; ask for fewer replicas, frames or a smaller batch. "
            "What it had written is kept"
        )
    if any(word in text for word in _DEVICE):
        return (
            f"the {kind} job lost its device ({_first_line(text)}); what it had written is kept. "
            "Go on when the device is back, after starting the dashboard again"
        )
    return f"the {kind} job failed: {type(error).__name__}: {_first_line(text)}"


def _first_line(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= 300 else f"{first[:300]}…"
